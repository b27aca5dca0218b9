//! The pack of a push: received, checked, stored, and whether all it leads to is here.
//!
//! Source: git-config(1) `receive.unpackLimit`, `receive.keepAlive`; git-receive-pack(1).
//! Invariant: a tip counts as connected only if everything it reaches is here, or is reached by a
//! ref that was there before; what merely lies about may lack its other half.

use std::{
    io::{self, Read},
    path::Path,
    sync::mpsc,
};

use packhorse_protocol::receive_pack::{PushRequest, ReceiveReply};

use super::{incoming::Incoming, settings::Settings, sharing::Sharing};
use crate::{
    bare::{
        BareError,
        dialogue::Dialogue,
        folder::Folder,
        refs::{self, Refs},
    },
    git::{
        ObjectKind, ReadError, Repository,
        fetch::{FetchRequest, hidden, prepare},
        receive::{self, Notices, Quarantine, ReceiveError},
    },
    model::ObjectId,
};

/// Objects that are here, but not yet among those that others see.
pub(super) struct Arrived {
    repository: Repository,
    incoming: Option<Incoming>,
    /// Commits that came without their parents, which are not here.
    new_shallow: Vec<ObjectId>,
    notices: Notices,
}

impl Arrived {
    /// What there is to say about them.
    pub(super) fn notices(&self) -> &Notices {
        &self.notices
    }

    /// Where they lie.
    pub(super) fn incoming(&self) -> Option<&Path> {
        self.incoming.as_ref().map(Incoming::path)
    }

    /// Whether everything that `tip` reaches is here.
    pub(super) fn is_connected(&self, tip: &ObjectId, refs: &Refs) -> Result<bool, BareError> {
        if refs.all().iter().any(|named| named.id == *tip) {
            return Ok(true);
        }
        let packs = self.repository.packs();
        let mut haves: Vec<_> = refs.all().iter().map(|named| named.id).collect();
        haves.sort_unstable();
        haves.dedup();
        haves.retain(|id| packs.contains(id));
        let request = FetchRequest {
            wants: vec![*tip],
            haves,
            ..FetchRequest::default()
        };
        match prepare(
            &self.repository,
            packs,
            &refs::snapshot([]),
            &request,
            &mut |_| {},
        ) {
            Ok(_) => Ok(true),
            Err(ReadError::Missing(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Those commits without parents that `tip` reaches.
    pub(super) fn shallow_of(&self, tip: ObjectId) -> Result<Vec<ObjectId>, BareError> {
        if self.new_shallow.is_empty() {
            return Ok(Vec::new());
        }
        let packs = self.repository.packs();
        let refs = refs::snapshot([&refs::tip(tip)]);
        let beyond = hidden(&self.repository, &packs, &refs, &self.new_shallow)?;
        let reached = self.new_shallow.iter().filter(|id| !beyond.contains(*id));
        Ok(reached.copied().collect())
    }

    /// Moves them to where everybody sees them.
    pub(super) fn publish(self) -> Result<Repository, BareError> {
        if let Some(incoming) = self.incoming {
            incoming.migrate()?;
        }
        Ok(self.repository)
    }
}

/// Receives the pack, if one comes; the inner error is for the pusher. `drains` says that the rest of
/// a pack that is refused is to be read, which ends only where the input does.
pub(super) fn receive(
    folder: &Folder,
    settings: &Settings,
    sharing: Sharing,
    request: &PushRequest,
    drains: bool,
    reply: &mut ReceiveReply,
    dialogue: &mut Dialogue<'_>,
) -> Result<Result<Arrived, String>, BareError> {
    if !request.expects_pack {
        return Ok(Ok(Arrived {
            repository: folder.repository(folder.own_objects())?,
            incoming: None,
            new_shallow: Vec::new(),
            notices: Notices::default(),
        }));
    }
    let incoming = Incoming::make(folder.own_objects(), sharing)?;
    let repository = folder.repository(incoming.path())?;
    let quarantine = match ingest(&repository, settings, request, drains, reply, dialogue)? {
        Ok(quarantine) => quarantine,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let new_shallow = cut_off(&quarantine, &request.shallows)?;
    let notices = quarantine.notices().clone();
    let count = quarantine.new_objects().len();
    if count > 0 && count < settings.unpack_limit {
        quarantine.store_loose(incoming.path())?;
        repository.add_loose(incoming.path())?;
    } else if count > 0 {
        let index = quarantine.store_pack(&incoming.path().join("pack"))?;
        repository.add_pack(&index)?;
    }
    if !new_shallow.is_empty() {
        repository.cut_at(&[&*folder.shallow, &*new_shallow].concat());
    }
    Ok(Ok(Arrived {
        repository,
        incoming: Some(incoming),
        new_shallow,
        notices,
    }))
}

/// Those of the pusher's commits without parents that arrived, and whose parents are not here either.
fn cut_off(quarantine: &Quarantine, shallows: &[ObjectId]) -> Result<Vec<ObjectId>, BareError> {
    let (mut reader, mut content) = (quarantine.reader(), Vec::new());
    let mut cut = Vec::new();
    for id in shallows.iter().filter(|id| quarantine.contains(id)) {
        // What is no commit has no parents, and may be large.
        if reader.kind(id)? != Some(ObjectKind::Commit) {
            continue;
        }
        reader.find(id, &mut content)?;
        let lines = content
            .split(|byte| *byte == b'\n')
            .take_while(|line| !line.is_empty());
        let parents =
            lines.filter_map(|line| ObjectId::from_hex(line.strip_prefix(b"parent ")?).ok());
        for parent in parents.collect::<Vec<_>>() {
            if reader.kind(&parent)?.is_none() {
                cut.push(*id);
                break;
            }
        }
    }
    Ok(cut)
}

/// Works on the pack on a thread of its own, while this one passes on what there is to say.
fn ingest(
    repository: &Repository,
    settings: &Settings,
    request: &PushRequest,
    drains: bool,
    reply: &mut ReceiveReply,
    dialogue: &mut Dialogue<'_>,
) -> Result<Result<Quarantine, ReceiveError>, BareError> {
    let limits = &receive::Limits {
        shallow: request.shallows.iter().copied().collect(),
        ..settings.limits.clone()
    };
    let buffered = reply.take_buffered();
    let mut source = dialogue.lend_input();
    let (lines, said) = mpsc::channel();
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            let mut percent = 0;
            let mut tell = |progress| {
                let receive::Progress::Resolving { deltas, total } = progress else {
                    // The client counts what it sends by itself.
                    return;
                };
                let now = u64::from(deltas) * 100 / u64::from(total.max(1));
                if now != percent || deltas == total {
                    percent = now;
                    let end = if deltas == total { ", done.\n" } else { "\r" };
                    lines
                        .send(format!(
                            "Resolving deltas: {now:3}% ({deltas}/{total}){end}"
                        ))
                        .ok();
                }
            };
            let mut nothing = io::empty();
            let rest: &mut (dyn Read + Send) = match &mut source {
                Some(source) => &mut **source,
                None => &mut nothing,
            };
            let mut input = io::Cursor::new(buffered).chain(rest);
            let taken = receive::ingest(repository, &mut input, limits, &mut tell);
            if taken.is_err() && drains {
                drain(&mut input);
            }
            (taken, source)
        });
        let told = loop {
            let line = match settings.keepalive {
                Some(patience) => said.recv_timeout(patience),
                None => said.recv().map_err(Into::into),
            };
            match line {
                Ok(line) if !request.quiet => reply.progress(&line, &mut dialogue.buffer),
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Timeout) => reply.keepalive(&mut dialogue.buffer),
                Err(mpsc::RecvTimeoutError::Disconnected) => break Ok(()),
            }
            if let Err(error) = dialogue.flush() {
                break Err(error);
            }
        };
        let (taken, source) = worker.join().map_err(|_| BareError::HungUp)?;
        dialogue.give_back(source);
        told.map(|()| taken)
    })
}

/// Reads what a refused client still sends, within bounds, so that it gets to read why.
fn drain(input: &mut dyn Read) {
    const BYTES_MAX: u64 = 64 << 20;
    // Whatever is left is the client's loss.
    io::copy(&mut input.take(BYTES_MAX), &mut io::sink()).ok();
}

/// What the refs of the folders point to that this one borrows objects from.
pub(super) fn borrowed_tips(folder: &Folder) -> Result<Vec<ObjectId>, BareError> {
    let prefixes: Vec<_> = folder
        .config
        .texts("core.alternateRefsPrefixes")
        .iter()
        .flat_map(|value| value.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let mut tips = Vec::new();
    for objects in &folder.objects[1..] {
        let Some(lender) = objects
            .parent()
            .filter(|lender| lender.join("refs").is_dir())
        else {
            continue;
        };
        let store = gix_ref::file::Store::at(lender.to_owned(), folder.format.kind());
        let refs = Refs::read(&store, Vec::new())?;
        let wanted = |name: &[u8]| {
            prefixes.is_empty()
                || prefixes
                    .iter()
                    .any(|prefix| name.starts_with(prefix.as_bytes()))
        };
        tips.extend(
            refs.all()
                .iter()
                .filter(|named| wanted(&named.name))
                .map(|named| named.id),
        );
    }
    Ok(tips)
}
