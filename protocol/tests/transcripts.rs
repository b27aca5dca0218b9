//! Replays the dialogues of `fixtures/transcripts`: as they happened, byte by byte, and all at once.
//!
//! Source: the format is told in `fixtures/transcripts/README.md`.
//! Bounds: none; the dialogues are ours.
//! Invariant: how input is cut changes neither the questions nor a byte of the answers.
//! Not here: single parsers, which have tables beside the code.
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test are no `#[test]`s"
)]
#![expect(
    clippy::panic,
    reason = "a transcript that does not replay is a failed test"
)]

use std::{fmt::Write as _, fs, path::Path, sync::Arc};

use gix_hash::{Kind, ObjectId};
use packhorse_protocol::{
    AdvertisedRef, Offer, ProtocolError, ReceivePack, Transport, UploadPack, Version,
    receive_pack::{CommandKind, CommandStatus, Outcome, PushRequest, RefUpdate},
    upload_pack::{Deepen, PackRequest},
};

#[test]
fn every_transcript_replays_however_its_input_is_cut() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/transcripts");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    assert!(paths.len() >= 30, "only {} transcripts found", paths.len());
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let transcript = Transcript::parse(&name, &text);
        transcript.replay_as_it_happened();
        transcript.replay_in_one_go("byte by byte", 1);
        transcript.replay_in_one_go("in pieces of 7 bytes", 7);
        transcript.replay_in_one_go("all at once", usize::MAX);
    }
}

/// What the repository of a transcript holds and what its server decides.
#[derive(Default)]
struct Scene {
    receive: bool,
    version: Version,
    transport: Option<Transport>,
    hash: Option<Kind>,
    offer: Vec<String>,
    refs: Vec<Ref>,
    objects: Vec<ObjectId>,
    ready_on: Option<ObjectId>,
    shallow: Vec<ObjectId>,
    unshallow: Vec<ObjectId>,
    refused: Option<String>,
    pack: Vec<u8>,
    fail: Option<String>,
    progress: Option<String>,
    unpack: Option<String>,
    statuses: Vec<String>,
}

struct Ref {
    name: String,
    id: Option<ObjectId>,
    peeled: Option<ObjectId>,
    target: Option<String>,
}

/// Part of a dialogue: what the client says, then what that must lead to.
#[derive(Default, Debug)]
struct Turn {
    input: Vec<u8>,
    hangs_up: bool,
    output: Vec<u8>,
    questions: Vec<String>,
}

struct Transcript {
    name: String,
    scene: Scene,
    turns: Vec<Turn>,
}

impl Transcript {
    fn parse(name: &str, text: &str) -> Self {
        let mut scene = Scene::default();
        let mut turns = vec![Turn::default()];
        for (number, line) in text.lines().enumerate() {
            let at = format!("{name}:{}", number + 1);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line
                .split_once(": ")
                .unwrap_or_else(|| panic!("{at}: no key in {line:?}"));
            let value = scene.expand(value);
            if key.starts_with('C') && turns.last().is_some_and(|turn| turn.spoken_to()) {
                turns.push(Turn::default());
            }
            let turn = turns.last_mut().unwrap();
            match key {
                "C" if value == "EOF" => turn.hangs_up = true,
                "C" => turn.input.extend(packet(&value)),
                "C raw" => turn.input.extend(unescape(&value)),
                "S" => turn.output.extend(packet(&value)),
                "S raw" => turn.output.extend(unescape(&value)),
                "Q" => turn.questions.push(value),
                _ => scene
                    .set(key, &value)
                    .unwrap_or_else(|| panic!("{at}: can't read {line:?}")),
            }
        }
        Self {
            name: name.to_owned(),
            scene,
            turns,
        }
    }

    fn replay_as_it_happened(&self) {
        let mut dialogue = Dialogue::start(&self.scene);
        for (number, turn) in self.turns.iter().enumerate() {
            if !turn.input.is_empty() {
                dialogue.receive(&turn.input);
            }
            if turn.hangs_up {
                dialogue.receive(b"");
            }
            let at = format!("{}, turn {number}, as it happened", self.name);
            self.compare(&at, &turn.output, &turn.questions, &dialogue);
            dialogue.output.clear();
            dialogue.questions.clear();
        }
        assert!(
            dialogue.is_over(),
            "{}: the conversation is not over",
            self.name
        );
    }

    fn replay_in_one_go(&self, how: &str, piece: usize) {
        let mut dialogue = Dialogue::start(&self.scene);
        let all = |part: fn(&Turn) -> &[u8]| {
            self.turns
                .iter()
                .flat_map(part)
                .copied()
                .collect::<Vec<u8>>()
        };
        let input = all(|turn| &turn.input);
        for piece in input.chunks(piece.min(input.len()).max(1)) {
            dialogue.receive(piece);
        }
        if self.turns.iter().any(|turn| turn.hangs_up) {
            dialogue.receive(b"");
        }
        let questions: Vec<String> = self
            .turns
            .iter()
            .flat_map(|turn| turn.questions.clone())
            .collect();
        let at = format!("{}, {how}", self.name);
        self.compare(&at, &all(|turn| &turn.output), &questions, &dialogue);
    }

    fn compare(&self, at: &str, output: &[u8], questions: &[String], dialogue: &Dialogue<'_>) {
        assert_eq!(dialogue.questions, questions, "questions of {at}");
        let (got, expected) = (shown(&dialogue.output), shown(output));
        assert_eq!(
            got, expected,
            "answers of {at}\n got: {got:#?}\n expected: {expected:#?}"
        );
        assert_eq!(dialogue.output, output, "bytes of {at}");
    }
}

impl Turn {
    fn spoken_to(&self) -> bool {
        !self.output.is_empty() || !self.questions.is_empty() || self.hangs_up
    }
}

impl Scene {
    fn kind(&self) -> Kind {
        self.hash.unwrap_or(Kind::Sha1)
    }

    /// Replaces `{a}` by an id whose hex form repeats what stands inside.
    fn expand(&self, text: &str) -> String {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (pattern, after) = after
                .split_once('}')
                .unwrap_or_else(|| panic!("no }} in {text:?}"));
            expanded.push_str(before);
            if pattern.is_empty() {
                expanded.push_str("{}"); // as in `capabilities^{}`
            } else {
                expanded.extend(pattern.chars().cycle().take(self.kind().len_in_hex()));
            }
            rest = after;
        }
        expanded + rest
    }

    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        let ids = |text: &str| {
            text.split(' ')
                .map(|hex| ObjectId::from_hex(hex.as_bytes()).ok())
                .collect::<Option<Vec<_>>>()
        };
        match key {
            "service" => self.receive = value == "receive-pack",
            "version" => {
                self.version = match value {
                    "0" => Version::V0,
                    "1" => Version::V1,
                    "2" => Version::V2,
                    _ => return None,
                }
            }
            "transport" => {
                self.transport = Some(match value {
                    "stateful" => Transport::Stateful,
                    "stateless" => Transport::Stateless,
                    "advertisement" => Transport::Advertisement,
                    _ => return None,
                });
            }
            "hash" => self.hash = Some(Kind::Sha256).filter(|_| value == "sha256"),
            "offer" => self.offer = value.split(' ').map(str::to_owned).collect(),
            "ref" => {
                let mut words = value.split(' ');
                let name = words.next()?.to_owned();
                let id = words
                    .next()
                    .filter(|&word| word != "unborn")
                    .map(|hex| ObjectId::from_hex(hex.as_bytes()).unwrap());
                let mut each = Ref {
                    name,
                    id,
                    peeled: None,
                    target: None,
                };
                while let Some(word) = words.next() {
                    match word {
                        "->" => each.target = Some(words.next()?.to_owned()),
                        "peeled" => each.peeled = ObjectId::from_hex(words.next()?.as_bytes()).ok(),
                        _ => return None,
                    }
                }
                self.refs.push(each);
            }
            "objects" => self.objects = ids(value)?,
            "ready-on" => self.ready_on = ids(value)?.first().copied(),
            "shallow" => self.shallow = ids(value)?,
            "unshallow" => self.unshallow = ids(value)?,
            "refuse" => self.refused = Some(value.to_owned()),
            "pack" => self.pack = unescape(value),
            "fail" => self.fail = Some(String::from_utf8(unescape(value)).unwrap()),
            "progress" => self.progress = Some(String::from_utf8(unescape(value)).unwrap()),
            "unpack" => self.unpack = Some(value.to_owned()),
            "status" => self
                .statuses
                .push(String::from_utf8(unescape(value)).unwrap()),
            _ => return None,
        }
        Some(())
    }

    fn offer(&self) -> Offer {
        let mut offer = Offer::new(self.kind(), "packhorse/test");
        for word in &self.offer {
            let (flag, name) = (word.starts_with('+'), word.trim_start_matches(['+', '-']));
            match name {
                "filter" => offer.filter = flag,
                "allow-tip-sha1-in-want" => offer.allow_tip_sha1_in_want = flag,
                "allow-reachable-sha1-in-want" => offer.allow_reachable_sha1_in_want = flag,
                "ref-in-want" => offer.ref_in_want = flag,
                "object-info" => offer.object_info = flag,
                "sideband-all" => offer.sideband_all = flag,
                "wait-for-done" => offer.wait_for_done = flag,
                "session-id" => offer.session_id = flag.then(|| "s 1".to_owned()),
                "atomic" => offer.atomic = flag,
                "push-options" => offer.push_options = flag,
                _ => panic!("unknown offer {word}"),
            }
        }
        offer
    }

    fn advertised(&self) -> impl Iterator<Item = AdvertisedRef<'_>> {
        self.refs.iter().map(|each| AdvertisedRef {
            name: each.name.as_bytes(),
            id: each.id.as_deref(),
            peeled: each.peeled.as_deref(),
            symref_target: each.target.as_ref().map(String::as_bytes),
        })
    }

    fn statuses(&self) -> Vec<CommandStatus<'_>> {
        self.statuses
            .iter()
            .map(|status| {
                let (name, rest) = status.split_once(' ').unwrap();
                let outcome = match rest.split_once(' ') {
                    None => Outcome::Done,
                    Some(("ng", reason)) => Outcome::Rejected(reason),
                    Some((_, updates)) => {
                        Outcome::DoneAs(updates.split(" and ").map(ref_update).collect())
                    }
                };
                CommandStatus {
                    name: name.as_bytes(),
                    outcome,
                }
            })
            .collect()
    }
}

fn ref_update(text: &str) -> RefUpdate<'_> {
    let mut update = RefUpdate::default();
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        let id = |hex: &str| ObjectId::from_hex(hex.as_bytes()).unwrap();
        match word {
            "name" => update.name = words.next().map(str::as_bytes),
            "old" => update.old = words.next().map(id),
            "new" => update.new = words.next().map(id),
            "forced" => update.forced = true,
            _ => panic!("unknown word {word} in a status"),
        }
    }
    update
}

/// The server's side, and what it did.
struct Dialogue<'a> {
    scene: &'a Scene,
    state: Option<State>,
    output: Vec<u8>,
    questions: Vec<String>,
}

enum State {
    Upload(UploadPack),
    Receive(ReceivePack),
}

impl<'a> Dialogue<'a> {
    fn start(scene: &'a Scene) -> Self {
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

    fn receive(&mut self, bytes: &[u8]) {
        self.run(Some(bytes));
    }

    fn is_over(&self) -> bool {
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

/// One packet; special ones are spelt out.
fn packet(text: &str) -> Vec<u8> {
    if matches!(text, "0000" | "0001" | "0002") {
        return text.as_bytes().to_vec();
    }
    let data = unescape(text);
    let mut packet = format!("{:04x}", data.len() + 4).into_bytes();
    packet.extend(data);
    packet
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (length, byte) = match after.chars().next().unwrap() {
            'n' => (1, b'\n'),
            'r' => (1, b'\r'),
            '0' => (1, 0),
            'x' => (3, u8::from_str_radix(after.get(1..3).unwrap(), 16).unwrap()),
            other => panic!("unknown escape \\{other}"),
        };
        bytes.push(byte);
        rest = after.get(length..).unwrap();
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// Output as lines, so that a difference can be seen.
fn shown(output: &[u8]) -> Vec<String> {
    let mut rest = output;
    let mut lines = Vec::new();
    while let Ok(Some(line)) = packhorse_protocol::pkt_line::decode(&mut rest) {
        lines.push(match line {
            packhorse_protocol::pkt_line::PktLine::Data(data) => data.escape_ascii().to_string(),
            special => format!("{special:?}"),
        });
    }
    if !rest.is_empty() {
        lines.push(format!("raw {}", rest.escape_ascii()));
    }
    lines
}
