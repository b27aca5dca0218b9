//! Clone and fetch from a plain folder: drives `protocol::UploadPack`, answering from files.
//!
//! Source: git-upload-pack(1), gitprotocol-v2(5), gitprotocol-pack(5).
//! Bounds: [`PIECES`] pieces of a pack wait for a client that reads slowly.
//! Invariant: the refs and objects of a conversation are those it began with.
//! Not here: which objects go into a pack (`git::fetch`).

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use packhorse_protocol::{
    Offer, Transport, UploadPack, Version,
    filter::Allowed,
    upload_pack::{Deepen, DeepenRequest, PackReply, PackRequest},
};

use super::{
    BareError, Conversation,
    config::Config,
    dialogue::{AGENT, Dialogue},
    folder::Folder,
    hidden::Hidden,
    refs::{self, Refs, Shown},
};
use crate::{
    git::{
        self, ObjectReader, PackSet, ReadError, Repository,
        fetch::{Boundary, DeepenError, FetchRequest, Names, SparseError, Stopped, WriteError},
    },
    model::{ObjectId, RefSnapshot},
};

/// Pieces of a pack on their way from the thread that makes them.
const PIECES: usize = 4;
/// Bytes of such a piece: what fits into two packets.
const PIECE_BYTES: usize = 2 * 65_515;

/// What may be wanted, `uploadpack.allow…SHA1InWant`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    hidden_tips: bool,
    reachable: bool,
    any: bool,
}

/// The keys that concern a fetch.
#[derive(Debug)]
struct Settings {
    wanted: Wanted,
    keepalive: Option<Duration>,
    hidden: Hidden,
    /// Whether clients that ask for it see a `HEAD` whose branch has no commit yet.
    unborn: bool,
}

/// Everything that a fetch is answered from.
struct Service {
    settings: Settings,
    offer: Arc<Offer>,
    repository: Repository,
    packs: Arc<PackSet>,
    head: Option<Shown>,
    refs: Vec<Shown>,
    hidden_tips: Vec<ObjectId>,
    shallow: Vec<ObjectId>,
    conversation: Conversation,
}

/// Holds one conversation of `git-upload-pack`.
pub(super) fn upload_pack(
    folder: &Folder,
    conversation: Conversation,
    dialogue: &mut Dialogue<'_>,
) -> Result<(), BareError> {
    Service::open(folder, conversation)?.converse(dialogue)
}

impl Service {
    fn open(folder: &Folder, conversation: Conversation) -> Result<Self, BareError> {
        let (settings, mut offer) = settings(&folder.config, folder)?;
        offer.shallow_repository = !folder.shallow.is_empty();
        // Nothing is received, so nothing ever lies where packs under way would.
        let repository = folder.repository(folder.own_objects())?;
        let packs = repository.packs();
        let refs = Refs::read(&refs::store(folder), refs::namespace()?)?;
        let mut reader = ObjectReader::new(Arc::clone(&packs));
        let head = refs.shown_head(&settings.hidden, &mut reader)?;
        let (shown, hidden_tips) = refs.shown(&settings.hidden, &mut reader)?;
        Ok(Self {
            settings,
            offer: Arc::new(offer),
            repository,
            packs,
            head,
            refs: shown,
            hidden_tips,
            shallow: folder.shallow.clone(),
            conversation,
        })
    }

    fn shown(&self) -> impl Iterator<Item = &Shown> {
        self.head.iter().chain(&self.refs)
    }

    fn converse(&self, dialogue: &mut Dialogue<'_>) -> Result<(), BareError> {
        let mut state = UploadPack::start(
            self.conversation.version,
            self.conversation.transport,
            Arc::clone(&self.offer),
            &mut dialogue.buffer,
        );
        self.conversation.behead(&mut dialogue.buffer);
        loop {
            state = match state {
                UploadPack::NeedsInput(wait) => dialogue.receive(|bytes| wait.receive(bytes))?,
                UploadPack::Advertise(reply) => {
                    let refs = self.shown().map(Shown::advertised);
                    let next = reply.send(refs, &mut dialogue.buffer);
                    advertise_shallow(&self.shallow, &mut dialogue.buffer);
                    dialogue.told(next)?
                }
                UploadPack::LsRefs(mut asked, reply) => {
                    asked.unborn &= self.settings.unborn;
                    let refs = self.shown().filter(|shown| asked.matches(&shown.name));
                    let refs = refs.map(Shown::advertised);
                    let next = reply.send(&asked, refs, &mut dialogue.buffer);
                    dialogue.told(next)?
                }
                UploadPack::ObjectInfo(asked, reply) => {
                    let mut reader = ObjectReader::new(Arc::clone(&self.packs));
                    let sizes = asked.ids.iter().map(|id| reader.size(id));
                    let sizes = sizes.collect::<Result<Vec<_>, _>>()?;
                    let next = reply.send(&asked, sizes, &mut dialogue.buffer);
                    dialogue.told(next)?
                }
                UploadPack::Wants(asked, reply) => {
                    let mut named = Vec::with_capacity(asked.refs.len());
                    let mut absent = None;
                    for name in asked.refs {
                        match self.find(&name) {
                            Some(id) => named.push((name, id)),
                            None => absent = absent.or(Some(name)),
                        }
                    }
                    if let Some(name) = absent {
                        let last = reply.refuse_ref(&name, &mut dialogue.buffer);
                        let reason = format!("unknown ref {}", name.escape_ascii());
                        return Err(dialogue.refused(last, reason));
                    }
                    match self.refused_want(&asked.ids)? {
                        None => {
                            let next = reply.accept(named, &mut dialogue.buffer);
                            dialogue.told(next)?
                        }
                        Some(id) => {
                            let last = reply.refuse_id(&id, &mut dialogue.buffer);
                            let reason = format!("git upload-pack: not our ref {id}");
                            return Err(dialogue.refused(last, reason));
                        }
                    }
                }
                UploadPack::Deepen(asked, reply) => match self.boundary(&asked)? {
                    Ok(boundary) => {
                        let next =
                            reply.send(boundary.shallow, boundary.unshallow, &mut dialogue.buffer);
                        dialogue.told(next)?
                    }
                    Err(reason) => {
                        let last = reply.refuse(&reason, &mut dialogue.buffer);
                        return Err(dialogue.refused(last, reason));
                    }
                },
                UploadPack::Negotiate(asked, reply) => {
                    let mut negotiation = git::fetch::Negotiation::new(Arc::clone(&self.packs));
                    let common = negotiation.common(&asked.haves);
                    let all: Vec<_> = asked.common.iter().chain(&common).copied().collect();
                    let ready = asked.asks_ready && negotiation.ready(&asked.wants, &all)?;
                    let next = reply.answer(&common, ready, &mut dialogue.buffer);
                    dialogue.told(next)?
                }
                UploadPack::Pack(asked, reply) => self.send_pack(asked, reply, dialogue)?,
                UploadPack::Finished => return dialogue.flush(),
            };
        }
    }

    /// What a name that is shown points to.
    fn find(&self, name: &[u8]) -> Option<ObjectId> {
        self.shown().find(|shown| shown.name == name)?.id
    }

    /// The first of these that may not be wanted.
    fn refused_want(&self, wants: &[ObjectId]) -> Result<Option<ObjectId>, BareError> {
        let wanted = self.settings.wanted;
        let absent = wants.iter().find(|want| !self.packs.contains(want));
        // In version 2 git itself gives away whatever it has.
        if wanted.any || self.conversation.version == Version::V2 || absent.is_some() {
            return Ok(absent.copied());
        }
        let tips: Vec<_> = self.shown().filter_map(|shown| shown.id).collect();
        let is_tip = |want: &ObjectId| {
            tips.contains(want) || (wanted.hidden_tips && self.hidden_tips.contains(want))
        };
        let mut others: Vec<_> = wants.iter().filter(|want| !is_tip(want)).copied().collect();
        others.dedup();
        if others.is_empty() {
            return Ok(None);
        }
        // Between two requests of one conversation a ref may have moved on.
        let stateless = self.conversation.transport == Transport::Stateless;
        if !wanted.reachable && !stateless {
            return Ok(others.first().copied());
        }
        let mut refs = self.snapshot();
        if wanted.hidden_tips {
            let hidden = self.hidden_tips.iter().map(|id| refs::tip(*id));
            let all: Vec<_> = self.shown().cloned().chain(hidden).collect();
            refs = refs::snapshot(&all);
        }
        Ok(git::fetch::refused(
            &self.repository,
            &self.packs,
            &refs,
            &others,
        )?)
    }

    fn snapshot(&self) -> RefSnapshot {
        refs::snapshot(self.shown())
    }

    /// Where the client's history will be cut, or why it can't be.
    fn boundary(&self, asked: &DeepenRequest) -> Result<Result<Boundary, String>, BareError> {
        let deepen = match &asked.deepen {
            Deepen::Depth {
                depth,
                relative: true,
            } => git::fetch::Deepen::By(*depth),
            Deepen::Depth { depth, .. } => git::fetch::Deepen::Depth(*depth),
            Deepen::Excluding { since, not } => {
                let mut excluded = Vec::with_capacity(not.len());
                for name in not {
                    match self.named(name) {
                        Some(id) => excluded.push(id),
                        None => {
                            let name = name.escape_ascii();
                            return Ok(Err(format!(
                                "git upload-pack: deepen-not is not a ref: {name}"
                            )));
                        }
                    }
                }
                git::fetch::Deepen::Excluding {
                    since: since.map(|since| i64::try_from(since).unwrap_or(i64::MAX)),
                    not: excluded,
                }
            }
        };
        let packs = Arc::clone(&self.packs);
        match git::fetch::boundary(packs, &asked.wants, &asked.shallows, &deepen) {
            Ok(boundary) => Ok(Ok(boundary)),
            Err(error @ DeepenError::NothingSelected) => Ok(Err(error.to_string())),
            Err(DeepenError::Read(error)) => Err(error.into()),
        }
    }

    /// As git resolves a name given by a user: whole, then as a tag, then as a branch.
    fn named(&self, name: &[u8]) -> Option<ObjectId> {
        ["", "refs/", "refs/tags/", "refs/heads/", "refs/remotes/"]
            .iter()
            .find_map(|prefix| self.find(&[prefix.as_bytes(), name].concat()))
    }

    /// Makes the pack on a thread of its own and sends it, with signs of life while it is silent.
    fn send_pack(
        &self,
        asked: PackRequest,
        reply: PackReply,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<UploadPack, BareError> {
        let progress = asked.progress;
        let refs = self.snapshot();
        let names = Names {
            git: &self.repository,
            packs: &self.packs,
            refs: &refs,
        };
        let filter = match asked
            .filter
            .as_ref()
            .map(|asked| names.filter(asked))
            .transpose()
        {
            Ok(filter) => filter,
            Err(SparseError::Read(error)) => return Err(error.into()),
            Err(refused) => {
                let reason = refused.to_string();
                let last = reply.fail(&reason, &mut dialogue.buffer);
                return Err(dialogue.refused(last, reason));
            }
        };
        let request = FetchRequest::of(asked, filter);
        let (repository, packs) = (&self.repository, Arc::clone(&self.packs));
        let (sender, pieces) = mpsc::sync_channel(PIECES);
        dialogue.flush()?;
        let written = std::thread::scope(|scope| {
            let worker = scope
                .spawn(move || make_pack(repository, packs, &refs, &request, sender, progress));
            let sent = self.pass_on(&pieces, &reply, dialogue);
            // A peer that is gone must not leave the worker waiting for room.
            drop(pieces);
            let made = worker.join().unwrap_or(Err(WriteError::Stopped(Stopped)));
            sent.map(|()| made)
        })?;
        match written {
            Ok(()) => {
                let next = reply.finish(&mut dialogue.buffer);
                dialogue.told(next)
            }
            Err(WriteError::Stopped(_)) => Err(BareError::HungUp),
            Err(WriteError::Read(error)) => {
                let reason = match &error {
                    ReadError::TooManyPaths => error.to_string(),
                    _ => "upload-pack: cannot read an object".to_owned(),
                };
                let last = reply.fail(&reason, &mut dialogue.buffer);
                drop(dialogue.refused(last, reason));
                Err(error.into())
            }
        }
    }

    fn pass_on(
        &self,
        pieces: &mpsc::Receiver<Piece>,
        reply: &PackReply,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<(), BareError> {
        loop {
            let piece = match self.settings.keepalive {
                Some(patience) => pieces.recv_timeout(patience),
                None => pieces.recv().map_err(Into::into),
            };
            match piece {
                Ok(Piece::Pack(bytes)) => reply.chunk(&bytes, &mut dialogue.buffer),
                Ok(Piece::Progress(line)) => reply.progress(&line, &mut dialogue.buffer),
                Err(mpsc::RecvTimeoutError::Timeout) => reply.keepalive(&mut dialogue.buffer),
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            }
            dialogue.flush()?;
        }
    }
}

/// What the thread that makes a pack has for the peer.
enum Piece {
    Pack(Vec<u8>),
    Progress(String),
}

fn make_pack(
    repository: &Repository,
    packs: Arc<PackSet>,
    refs: &RefSnapshot,
    request: &FetchRequest,
    pieces: mpsc::SyncSender<Piece>,
    progress: bool,
) -> Result<(), WriteError> {
    /// Objects between two lines.
    const STEP: u64 = 20_000;
    let tell = |line: String| {
        if progress {
            // A peer that reads slowly gets fewer lines, never a slower pack.
            pieces.try_send(Piece::Progress(line)).ok();
        }
    };
    let mut told = 0;
    let plan = git::fetch::prepare(repository, packs, refs, request, &mut |found| {
        if let git::fetch::Progress::Counting(count) = found
            && count >= told + STEP
        {
            told = count;
            tell(format!("Counting objects: {count}\r"));
        }
    })?;
    tell(format!(
        "Counting objects: {}, done.\n",
        plan.object_count()
    ));
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    let send = |piece: Vec<u8>| pieces.send(Piece::Pack(piece)).map_err(|_| Stopped);
    plan.write_to(
        &mut |mut bytes| {
            while piece.len() + bytes.len() > PIECE_BYTES {
                let (now, later) = bytes.split_at(PIECE_BYTES - piece.len());
                piece.extend_from_slice(now);
                bytes = later;
                send(std::mem::replace(
                    &mut piece,
                    Vec::with_capacity(PIECE_BYTES),
                ))?;
            }
            piece.extend_from_slice(bytes);
            Ok(())
        },
        &mut |_| (),
    )?;
    if !piece.is_empty() {
        send(piece)?;
    }
    Ok(())
}

/// Puts the repository's own boundary before the flush that ends an advertisement.
pub(super) fn advertise_shallow(shallow: &[ObjectId], output: &mut Vec<u8>) {
    if shallow.is_empty() || !output.ends_with(b"0000") {
        return;
    }
    output.truncate(output.len() - 4);
    for id in shallow {
        let line = format!("shallow {id}");
        output.extend_from_slice(format!("{:04x}{line}", line.len() + 4).as_bytes());
    }
    output.extend_from_slice(b"0000");
}

fn settings(config: &Config, folder: &Folder) -> Result<(Settings, Offer), BareError> {
    let any = config.flag("uploadpack.allowAnySHA1InWant", false)?;
    let wanted = Wanted {
        hidden_tips: any || config.flag("uploadpack.allowTipSHA1InWant", false)?,
        reachable: any || config.flag("uploadpack.allowReachableSHA1InWant", false)?,
        any,
    };
    let mut offer = Offer::new(folder.format.kind(), AGENT);
    offer.filter = config.flag("uploadpack.allowFilter", false)?;
    offer.filters = allowed_filters(config)?;
    offer.ref_in_want = config.flag("uploadpack.allowRefInWant", false)?;
    offer.sideband_all = config.flag("uploadpack.allowSidebandAll", false)?;
    offer.object_info = config.flag("transfer.advertiseObjectInfo", false)?;
    offer.allow_tip_sha1_in_want = wanted.hidden_tips;
    offer.allow_reachable_sha1_in_want = wanted.reachable;
    offer.session_id = super::session_id(config)?;
    let unborn = config.texts("lsrefs.unborn").pop();
    let unborn = unborn.as_deref().unwrap_or("advertise");
    if !["advertise", "allow", "ignore"].contains(&unborn) {
        return Err(BareError::Config {
            place: "lsrefs.unborn".to_owned(),
            reason: format!("invalid value for 'lsrefs.unborn': '{unborn}'"),
        });
    }
    offer.unborn = unborn == "advertise";
    let unborn = unborn != "ignore";
    let keepalive = keepalive(config, "uploadpack.keepAlive")?;
    let hidden = Hidden::of(config, "uploadpack");
    Ok((
        Settings {
            wanted,
            keepalive,
            hidden,
            unborn,
        },
        offer,
    ))
}

/// Seconds of silence before a sign of life; 0 stands for never.
pub(super) fn keepalive(config: &Config, key: &str) -> Result<Option<Duration>, BareError> {
    let seconds = config.number(key)?.unwrap_or(5);
    Ok(u64::try_from(seconds)
        .ok()
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs))
}

fn allowed_filters(config: &Config) -> Result<Allowed, BareError> {
    let default = config.flag("uploadpackfilter.allow", true)?;
    let of = |name: &str| {
        let flag = config.flag_of("uploadpackfilter", name, "allow")?;
        Ok::<_, BareError>(flag.unwrap_or(default))
    };
    let depth = config.number_of("uploadpackfilter", "tree", "maxDepth")?;
    let tree = config.flag_of("uploadpackfilter", "tree", "allow")?;
    Ok(Allowed {
        blob_none: of("blob:none")?,
        blob_limit: of("blob:limit")?,
        tree: tree.unwrap_or(default || depth.is_some()),
        object_type: of("object:type")?,
        sparse_oid: of("sparse:oid")?,
        combine: of("combine")?,
        tree_depth_max: depth
            .and_then(|depth| u64::try_from(depth).ok())
            .unwrap_or(u64::MAX),
    })
}
