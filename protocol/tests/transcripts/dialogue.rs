//! A caller of the crate that answers every question out of a transcript's scene.
//!
//! Source: the questions of `UploadPack` and `ReceivePack`.
//! Bounds: none; the transcripts are ours.
//! Invariant: each question is written down before it is answered.
//! Not here: what answers are right; the transcript says so.

use std::{fmt::Write as _, sync::Arc};

use gix_hash::ObjectId;
use packhorse_protocol::{
    ProtocolError, ReceivePack, UploadPack,
    receive_pack::{CommandKind, PushRequest},
    upload_pack::{Deepen, PackRequest},
};

use super::scene::Scene;

/// The server's side, and what it did.
pub(super) struct Dialogue<'a> {
    scene: &'a Scene,
    state: Option<State>,
    pub(super) output: Vec<u8>,
    pub(super) questions: Vec<String>,
}

enum State {
    Upload(UploadPack),
    Receive(ReceivePack),
}

impl<'a> Dialogue<'a> {
    pub(super) fn start(scene: &'a Scene) -> Self {
        let mut output = Vec::new();
        let transport = scene.transport.expect("a transcript names its transport");
        let offer = Arc::new(scene.offer());
        let state = if scene.receive {
            State::Receive(ReceivePack::start(
                scene.version,
                transport,
                offer,
                &mut output,
            ))
        } else {
            State::Upload(UploadPack::start(
                scene.version,
                transport,
                offer,
                &mut output,
            ))
        };
        let mut dialogue = Self {
            scene,
            state: Some(state),
            output,
            questions: Vec::new(),
        };
        dialogue.run(None);
        dialogue
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.run(Some(bytes));
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(
            self.state,
            None | Some(
                State::Upload(UploadPack::Finished) | State::Receive(ReceivePack::Finished)
            )
        )
    }

    /// Goes on until there is a need for more input. A conversation that is over reads nothing.
    fn run(&mut self, mut bytes: Option<&[u8]>) {
        while let Some(state) = self.state.take() {
            let next = match state {
                State::Upload(state) => self
                    .step_upload(state, &mut bytes)
                    .map(|next| next.map(State::Upload)),
                State::Receive(state) => self
                    .step_receive(state, &mut bytes)
                    .map(|next| next.map(State::Receive)),
            };
            match next {
                Ok(Moved::On(state)) => self.state = Some(state),
                Ok(Moved::Waits(state)) => {
                    self.state = Some(state);
                    return;
                }
                Err(error) => error.write_to(&mut self.output),
            }
        }
    }

    fn ask(&mut self, question: String) {
        self.questions.push(question.trim_end().to_owned());
    }

    fn step_upload(
        &mut self,
        state: UploadPack,
        bytes: &mut Option<&[u8]>,
    ) -> Result<Moved<UploadPack>, ProtocolError> {
        let scene = self.scene;
        let next = match state {
            UploadPack::Finished => return Ok(Moved::Waits(UploadPack::Finished)),
            UploadPack::NeedsInput(wait) => match bytes.take() {
                None => return Ok(Moved::Waits(UploadPack::NeedsInput(wait))),
                Some(bytes) => wait.receive(bytes)?,
            },
            UploadPack::Advertise(reply) => {
                self.ask("advertise".to_owned());
                reply.send(scene.advertised(), &mut self.output)?
            }
            UploadPack::LsRefs(asked, reply) => {
                let mut question = "ls-refs".to_owned();
                flags(
                    &mut question,
                    &[
                        (asked.peel, "peel"),
                        (asked.symrefs, "symrefs"),
                        (asked.unborn, "unborn"),
                    ],
                );
                for prefix in &asked.prefixes {
                    write!(question, " prefix={}", prefix.escape_ascii()).unwrap();
                }
                for option in &asked.server_options {
                    write!(question, " option={}", option.escape_ascii()).unwrap();
                }
                self.ask(question);
                reply.send(&asked, scene.advertised(), &mut self.output)?
            }
            UploadPack::ObjectInfo(asked, reply) => {
                let mut question = "object-info".to_owned();
                flags(&mut question, &[(asked.size, "size")]);
                ids(&mut question, "ids", &asked.ids);
                self.ask(question);
                let sizes = asked
                    .ids
                    .iter()
                    .map(|id| scene.objects.contains(id).then_some(42));
                reply.send(&asked, sizes, &mut self.output)?
            }
            UploadPack::Wants(asked, reply) => {
                let mut question = "wants".to_owned();
                ids(&mut question, "", &asked.ids);
                let mut resolved = Vec::new();
                for name in &asked.refs {
                    write!(question, " ref={}", name.escape_ascii()).unwrap();
                    let found = scene.refs.iter().find(|each| each.name.as_bytes() == name);
                    let Some(id) = found.and_then(|each| each.id) else {
                        self.ask(question);
                        return Ok(Moved::On(reply.refuse_ref(name, &mut self.output)));
                    };
                    resolved.push((name.clone(), id));
                }
                self.ask(question);
                match asked
                    .ids
                    .iter()
                    .find(|id| Some(id.to_string()) == scene.refused)
                {
                    Some(id) => reply.refuse_id(id, &mut self.output),
                    None => reply.accept(resolved, &mut self.output)?,
                }
            }
            UploadPack::Deepen(asked, reply) => {
                let mut question = "deepen".to_owned();
                match &asked.deepen {
                    Deepen::Depth { depth, relative } => {
                        write!(question, " depth={depth}").unwrap();
                        flags(&mut question, &[(*relative, "relative")]);
                    }
                    Deepen::Excluding { since, not } => {
                        if let Some(since) = since {
                            write!(question, " since={since}").unwrap();
                        }
                        for name in not {
                            write!(question, " not={}", name.escape_ascii()).unwrap();
                        }
                    }
                }
                ids(&mut question, "shallows", &asked.shallows);
                self.ask(question);
                match &scene.refused {
                    Some(message) => reply.refuse(message, &mut self.output),
                    None => reply.send(
                        scene.shallow.clone(),
                        scene.unshallow.clone(),
                        &mut self.output,
                    )?,
                }
            }
            UploadPack::Negotiate(asked, reply) => {
                let mut question = "negotiate".to_owned();
                ids(&mut question, "haves", &asked.haves);
                ids(&mut question, "common", &asked.common);
                flags(&mut question, &[(asked.asks_ready, "asks-ready")]);
                self.ask(question);
                let common: Vec<ObjectId> = asked
                    .haves
                    .iter()
                    .copied()
                    .filter(|id| scene.objects.contains(id))
                    .collect();
                let ready = scene
                    .ready_on
                    .is_some_and(|id| common.contains(&id) || asked.common.contains(&id));
                reply.answer(&common, ready, &mut self.output)?
            }
            UploadPack::Pack(asked, reply) => {
                self.ask(pack_question(&asked));
                if let Some(text) = &scene.progress {
                    reply.progress(text, &mut self.output);
                }
                match &scene.fail {
                    Some(message) => reply.fail(message, &mut self.output),
                    None => {
                        reply.chunk(&scene.pack, &mut self.output);
                        reply.finish(&mut self.output)?
                    }
                }
            }
        };
        Ok(Moved::On(next))
    }

    fn step_receive(
        &mut self,
        state: ReceivePack,
        bytes: &mut Option<&[u8]>,
    ) -> Result<Moved<ReceivePack>, ProtocolError> {
        let scene = self.scene;
        let next = match state {
            ReceivePack::Finished => return Ok(Moved::Waits(ReceivePack::Finished)),
            ReceivePack::NeedsInput(wait) => match bytes.take() {
                None => return Ok(Moved::Waits(ReceivePack::NeedsInput(wait))),
                Some(bytes) => wait.receive(bytes)?,
            },
            ReceivePack::Advertise(reply) => {
                self.ask("advertise".to_owned());
                reply.send(scene.advertised(), &mut self.output)?
            }
            ReceivePack::Receive(asked, reply) => {
                assert!(
                    scene.pack.starts_with(reply.buffered()),
                    "bytes after the request belong to the pack"
                );
                self.ask(push_question(&asked));
                if let Some(text) = &scene.progress {
                    reply.progress(text, &mut self.output);
                }
                match &scene.fail {
                    Some(message) => reply.fail(message, &mut self.output),
                    None => {
                        let unpack = scene.unpack.as_deref().map_or(Ok(()), Err);
                        reply.report(unpack, scene.statuses(), &mut self.output)
                    }
                }
            }
        };
        Ok(Moved::On(next))
    }
}

enum Moved<S> {
    On(S),
    Waits(S),
}

impl<S> Moved<S> {
    fn map<T>(self, wrap: impl FnOnce(S) -> T) -> Moved<T> {
        match self {
            Self::On(state) => Moved::On(wrap(state)),
            Self::Waits(state) => Moved::Waits(wrap(state)),
        }
    }
}

fn pack_question(asked: &PackRequest) -> String {
    let mut question = "pack".to_owned();
    ids(&mut question, "wants", &asked.wants);
    ids(&mut question, "common", &asked.common);
    ids(&mut question, "shallows", &asked.shallows);
    ids(&mut question, "new-shallow", &asked.new_shallow);
    ids(&mut question, "unshallow", &asked.unshallow);
    if let Some(filter) = &asked.filter {
        write!(question, " filter={filter:?}").unwrap();
    }
    flags(
        &mut question,
        &[
            (asked.deepened, "deepened"),
            (asked.thin_pack, "thin-pack"),
            (asked.ofs_delta, "ofs-delta"),
            (asked.include_tag, "include-tag"),
            (asked.progress, "progress"),
        ],
    );
    write!(question, " sideband={:?}", asked.sideband).unwrap();
    question
}

fn push_question(asked: &PushRequest) -> String {
    let mut question = "push".to_owned();
    for command in &asked.commands {
        let verb = match command.kind() {
            CommandKind::Create => "create",
            CommandKind::Update => "update",
            CommandKind::Delete => "delete",
        };
        let (name, old, new) = (command.name.escape_ascii(), command.old, command.new);
        write!(question, " {verb} {name} {old} {new}").unwrap();
    }
    ids(&mut question, "shallows", &asked.shallows);
    for option in &asked.push_options {
        write!(question, " option={}", option.escape_ascii()).unwrap();
    }
    flags(
        &mut question,
        &[
            (asked.atomic, "atomic"),
            (asked.quiet, "quiet"),
            (asked.expects_pack, "with-pack"),
        ],
    );
    question
}

fn ids(question: &mut String, noun: &str, ids: &[ObjectId]) {
    if !ids.is_empty() && !noun.is_empty() {
        write!(question, " {noun}").unwrap();
    }
    for id in ids {
        write!(question, " {id}").unwrap();
    }
}

fn flags(question: &mut String, flags: &[(bool, &str)]) {
    for (_, name) in flags.iter().filter(|(set, _)| *set) {
        write!(question, " {name}").unwrap();
    }
}
