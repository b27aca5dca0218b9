//! Clone and fetch: drives `protocol::UploadPack`, answering its questions from refs and packs.
//!
//! Source: gitprotocol-v2(5), gitprotocol-pack(5).
//! Bounds: one slot from the first want on, a computation permit while objects are counted, chunks
//! in flight, idle and total time.
//! Invariant: the refs and packs of a conversation are those it began with; a push that lands
//! meanwhile changes nothing in it.
//! Not here: framing (`stream`), which objects go into a pack (`git`).

use std::sync::Arc;

use packhorse_protocol::{
    Offer, UploadPack,
    filter::{Filter, ObjectType},
    upload_pack::{Deepen, DeepenRequest, NegotiateRequest, PackReply, PackRequest, WantsRequest},
};
use tokio::sync::mpsc;

use super::{
    Conversation, Input, Output, Wire, WireError,
    dialogue::{AGENT, Dialogue, KEEPALIVE},
    plans::Question,
    slots::Slot,
    stream::{CHUNKS_IN_FLIGHT, PackFramer, Piece},
};
use crate::{
    git::{
        self,
        fetch::{Boundary, DeepenError, PackPlan, WriteError},
    },
    hosting::Repository,
    model::{Caller, ObjectId, RefSnapshot},
    policy::{self, Authorized},
};

/// What a peer reads when objects that should be there can't be read; the log knows more.
const UNREADABLE: &str = "the server could not read its objects";

/// A repository opened for one fetch conversation.
pub struct Fetching {
    wire: Wire,
    caller: Caller,
    repository: Repository,
    allowed: Arc<Authorized<policy::Fetch>>,
}

impl Fetching {
    pub(super) fn new(
        wire: Wire,
        caller: Caller,
        repository: Repository,
        allowed: Authorized<policy::Fetch>,
    ) -> Self {
        Self {
            wire,
            caller,
            repository,
            allowed: Arc::new(allowed),
        }
    }

    /// Holds the conversation to its end.
    ///
    /// # Errors
    /// When it ends badly; [`WireError::was_told`] says whether the peer knows already.
    pub async fn run<O: Output>(
        self,
        conversation: Conversation,
        input: Input,
        output: &mut O,
    ) -> Result<(), WireError> {
        let total = self.wire.0.limits.total_timeout();
        let mut dialogue = Dialogue::new(input, output, self.wire.0.limits.idle_timeout());
        let ended = tokio::time::timeout(total, self.converse(conversation, &mut dialogue)).await;
        let outcome = ended.unwrap_or(Err(WireError::Disconnected));
        let label = if outcome.is_ok() { "ok" } else { "failed" };
        metrics::counter!("packhorse_fetches_total", "outcome" => label).increment(1);
        outcome
    }

    async fn converse<O: Output>(
        self,
        conversation: Conversation,
        dialogue: &mut Dialogue<'_, O>,
    ) -> Result<(), WireError> {
        let hosting = &self.wire.0.hosting;
        let refs = shown(hosting.refs(&self.allowed).await.map_err(super::internal)?);
        let id = self.repository.facts.id;
        let offer = Arc::new(Offer::new(self.repository.row.object_format.kind(), AGENT));
        let mut state = UploadPack::start(
            conversation.version,
            conversation.transport,
            Arc::clone(&offer),
            &mut dialogue.buffer,
        );
        let mut work: Option<Work> = None;
        loop {
            state = match state {
                UploadPack::NeedsInput(wait) => {
                    dialogue.flush().await?;
                    dialogue.receive(|bytes| wait.receive(bytes)).await?
                }
                UploadPack::Advertise(reply) => {
                    let answer = self.wire.0.advertisements.upload_pack(
                        id,
                        &refs,
                        &offer,
                        conversation.transport,
                    )?;
                    dialogue.answer(answer).await?;
                    reply.sent()
                }
                UploadPack::LsRefs(asked, reply) => {
                    let answer = self.wire.0.advertisements.ls_refs(id, &refs, &asked)?;
                    dialogue.answer(answer).await?;
                    let next = reply.sent();
                    dialogue.told(next).await?
                }
                UploadPack::ObjectInfo(asked, reply) => {
                    let work = self.work(&mut work, &refs).await?;
                    let sizes = work.sizes(asked.ids.clone()).await?;
                    let next = reply.send(&asked, sizes, &mut dialogue.buffer);
                    dialogue.told(next).await?
                }
                UploadPack::Wants(asked, reply) => {
                    let named = match named_wants(&refs, &asked) {
                        Ok(named) => named,
                        Err(name) => {
                            let next = reply.refuse_ref(&name, &mut dialogue.buffer);
                            return dialogue.refused(next, "unknown ref").await;
                        }
                    };
                    let work = self.work(&mut work, &refs).await?;
                    match work.refused_want(Arc::clone(&asked.ids)).await? {
                        None => {
                            let next = reply.accept(named, &mut dialogue.buffer);
                            dialogue.told(next).await?
                        }
                        Some(id) => {
                            let next = reply.refuse_id(&id, &mut dialogue.buffer);
                            return dialogue.refused(next, "not our ref").await;
                        }
                    }
                }
                UploadPack::Deepen(asked, reply) => {
                    let work = self.work(&mut work, &refs).await?;
                    match work.boundary(asked).await? {
                        Ok(boundary) => {
                            let next = reply.send(
                                boundary.shallow,
                                boundary.unshallow,
                                &mut dialogue.buffer,
                            );
                            dialogue.told(next).await?
                        }
                        Err(reason) => {
                            let next = reply.refuse(&reason, &mut dialogue.buffer);
                            return dialogue.refused(next, &reason).await;
                        }
                    }
                }
                UploadPack::Negotiate(asked, reply) => {
                    let work = self.work(&mut work, &refs).await?;
                    let known = work.negotiate(asked).await?;
                    let next = reply.answer(&known.common, known.ready, &mut dialogue.buffer);
                    dialogue.told(next).await?
                }
                UploadPack::Pack(asked, reply) => {
                    let work = self.work(&mut work, &refs).await?;
                    work.send_pack(asked, reply, dialogue).await?
                }
                UploadPack::Finished => return dialogue.flush().await,
            };
        }
    }

    /// Slot, packs and refs of this conversation's object work, taken when the first question needs them.
    async fn work<'a>(
        &self,
        work: &'a mut Option<Work>,
        refs: &Arc<RefSnapshot>,
    ) -> Result<&'a Work, WireError> {
        let taken = match work.take() {
            Some(taken) => taken,
            None => {
                let shared = Arc::clone(&self.wire.0);
                let caller = super::caller_key(&self.caller);
                let slot = shared
                    .fetches
                    .acquire(self.repository.facts.id, caller)
                    .await?;
                let allowed = Arc::clone(&self.allowed);
                let hosting = shared.hosting.clone();
                let git = tokio::task::spawn_blocking(move || hosting.objects(&allowed))
                    .await
                    .map_err(super::internal)?
                    .map_err(super::internal)?;
                Work {
                    packs: git.packs(),
                    git,
                    refs: Arc::clone(refs),
                    repository: self.repository.facts.id,
                    wire: self.wire.clone(),
                    _slot: slot,
                }
            }
        };
        Ok(work.insert(taken))
    }
}

/// The refs without those of other namespaces, which nothing in a plain conversation may reach.
fn shown(refs: Arc<RefSnapshot>) -> Arc<RefSnapshot> {
    let hidden = super::advertisement::HIDDEN_PREFIX.as_bytes();
    if refs.with_prefix(hidden).is_empty() {
        return refs;
    }
    let entries = refs.entries().iter();
    let kept = entries.filter(|entry| !entry.name.as_str().as_bytes().starts_with(hidden));
    Arc::new(RefSnapshot::new(
        refs.generation(),
        refs.head().clone(),
        kept.cloned().collect(),
    ))
}

/// The refs that `want-ref` lines name, or the first that is none to be seen.
fn named_wants(
    refs: &RefSnapshot,
    asked: &WantsRequest,
) -> Result<Vec<(Vec<u8>, ObjectId)>, Vec<u8>> {
    let resolve = |name: &Vec<u8>| match visible_ref(refs, name) {
        Some(id) => Ok((name.clone(), id)),
        None => Err(name.clone()),
    };
    asked.refs.iter().map(resolve).collect()
}

/// What the ref of this full name, or `HEAD`, points to.
fn visible_ref(refs: &RefSnapshot, name: &[u8]) -> Option<ObjectId> {
    let name = std::str::from_utf8(name).ok()?;
    if name == "HEAD" {
        return refs.head_id();
    }
    refs.find(name).map(|entry| entry.id)
}

/// As git resolves a name given by a user: whole, then as a tag, then as a branch.
fn named_ref(refs: &RefSnapshot, name: &[u8]) -> Option<ObjectId> {
    ["", "refs/", "refs/tags/", "refs/heads/"]
        .iter()
        .find_map(|prefix| visible_ref(refs, &[prefix.as_bytes(), name].concat()))
}

/// What the object questions of one conversation are answered from.
struct Work {
    wire: Wire,
    repository: u64,
    git: git::Repository,
    packs: Arc<git::PackSet>,
    refs: Arc<RefSnapshot>,
    _slot: Slot,
}

impl Work {
    /// Runs blocking work once the processor has room for it.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, git::ReadError> + Send + 'static,
    ) -> Result<T, WireError> {
        let permit = Arc::clone(&self.wire.0.computations)
            .acquire_owned()
            .await
            .map_err(super::internal)?;
        let computed = tokio::task::spawn_blocking(move || {
            let computed = work();
            drop(permit);
            computed
        });
        computed
            .await
            .map_err(super::internal)?
            .map_err(super::internal)
    }

    /// The first of these that no ref shown to the caller reaches.
    async fn refused_want(&self, wants: Arc<Vec<ObjectId>>) -> Result<Option<ObjectId>, WireError> {
        let (git, packs, refs) = (
            self.git.clone(),
            Arc::clone(&self.packs),
            Arc::clone(&self.refs),
        );
        self.compute(move || git::fetch::refused(&git, &packs, &refs, &wants))
            .await
    }

    /// Sizes of those objects that the caller may see, in the order asked for.
    async fn sizes(&self, ids: Vec<ObjectId>) -> Result<Vec<Option<u64>>, WireError> {
        let (git, packs, refs) = (
            self.git.clone(),
            Arc::clone(&self.packs),
            Arc::clone(&self.refs),
        );
        self.compute(move || {
            let mut reader = git::ObjectReader::new(Arc::clone(&packs));
            let size = |id: &ObjectId| match git::fetch::refused(&git, &packs, &refs, &[*id])? {
                None => reader.size(id),
                Some(_) => Ok(None),
            };
            ids.iter().map(size).collect()
        })
        .await
    }

    /// Where the client's history will be cut, or why it can't be.
    async fn boundary(&self, asked: DeepenRequest) -> Result<Result<Boundary, String>, WireError> {
        let deepen = match asked.deepen {
            Deepen::Depth {
                depth,
                relative: true,
            } => git::fetch::Deepen::By(depth),
            Deepen::Depth { depth, .. } => git::fetch::Deepen::Depth(depth),
            Deepen::Excluding { since, not } => {
                let mut excluded = Vec::with_capacity(not.len());
                for name in &not {
                    match named_ref(&self.refs, name) {
                        Some(id) => excluded.push(id),
                        None => {
                            return Ok(Err(format!(
                                "deepen-not is not a ref: {}",
                                name.escape_ascii()
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
        self.compute(move || {
            match git::fetch::boundary(packs, &asked.wants, &asked.shallows, &deepen) {
                Ok(boundary) => Ok(Ok(boundary)),
                Err(error @ DeepenError::NothingSelected) => Ok(Err(error.to_string())),
                Err(DeepenError::Read(error)) => Err(error),
            }
        })
        .await
    }

    /// Which of the client's objects are here, and whether they suffice.
    async fn negotiate(&self, asked: NegotiateRequest) -> Result<Known, WireError> {
        let packs = Arc::clone(&self.packs);
        self.compute(move || {
            let mut negotiation = git::fetch::Negotiation::new(packs);
            let common = negotiation.common(&asked.haves);
            let all: Vec<_> = asked.common.iter().chain(&common).copied().collect();
            let ready = asked.asks_ready && negotiation.ready(&asked.wants, &all)?;
            Ok(Known { common, ready })
        })
        .await
    }

    /// Which objects answer the request; found once for all who ask the same.
    async fn plan(
        &self,
        request: git::fetch::FetchRequest,
        mut teller: Teller,
    ) -> Result<Arc<PackPlan>, WireError> {
        let question = Question {
            repository: self.repository,
            generation: self.refs.generation(),
            request: request.clone(),
        };
        let (packs, refs) = (Arc::clone(&self.packs), Arc::clone(&self.refs));
        let count = teller.clone();
        let compute = move || {
            self.compute(move || {
                git::fetch::prepare(packs, &refs, &request, &mut |progress| {
                    teller.tell(progress);
                })
            })
        };
        let plan = self.wire.0.plans.get(question, compute).await?;
        count.counted(plan.object_count());
        Ok(plan)
    }

    /// Makes the pack and sends it, with progress and signs of life.
    async fn send_pack<O: Output>(
        &self,
        asked: PackRequest,
        reply: PackReply,
        dialogue: &mut Dialogue<'_, O>,
    ) -> Result<UploadPack, WireError> {
        let (sideband, progress) = (reply.sideband(), asked.progress);
        let request = match fetch_request(asked) {
            Ok(request) => request,
            Err(reason) => {
                let last = reply.fail(reason, &mut dialogue.buffer);
                dialogue.refused(last, reason).await?;
                return Ok(UploadPack::Finished);
            }
        };
        let (sender, mut pieces) = mpsc::channel(CHUNKS_IN_FLIGHT);
        let planned = {
            let planning = self.plan(request, Teller::new(progress.then(|| sender.clone())));
            tokio::pin!(planning);
            loop {
                tokio::select! {
                    planned = planning.as_mut() => break planned,
                    waited = tokio::time::timeout(KEEPALIVE, pieces.recv()) => {
                        pass_on(waited.ok().flatten(), &reply, dialogue).await?;
                    }
                }
            }
        };
        let plan = match planned {
            Ok(plan) => plan,
            Err(error) => {
                let last = reply.fail(UNREADABLE, &mut dialogue.buffer);
                dialogue.refused(last, UNREADABLE).await?;
                return Err(error);
            }
        };
        let job = tokio::task::spawn_blocking(move || {
            let mut framer = PackFramer::new(sideband, sender);
            plan.write_to(&mut |bytes| framer.write(bytes), &mut |_| ())?;
            framer.finish()?;
            Ok::<_, WriteError>(())
        });
        loop {
            match tokio::time::timeout(KEEPALIVE, pieces.recv()).await {
                Ok(None) => break,
                waited => pass_on(waited.ok().flatten(), &reply, dialogue).await?,
            }
        }
        match job.await.map_err(super::internal)? {
            Ok(()) => {
                let next = reply.finish(&mut dialogue.buffer);
                dialogue.told(next).await
            }
            Err(WriteError::Stopped(_)) => Err(WireError::Disconnected),
            Err(error) => {
                super::internal(error);
                let last = reply.fail(UNREADABLE, &mut dialogue.buffer);
                dialogue
                    .refused(last, "internal error")
                    .await
                    .map(|()| UploadPack::Finished)
            }
        }
    }
}

/// Sends what a blocking thread has, or a sign of life if it has nothing for long.
async fn pass_on<O: Output>(
    piece: Option<Piece>,
    reply: &PackReply,
    dialogue: &mut Dialogue<'_, O>,
) -> Result<(), WireError> {
    match piece {
        Some(Piece::Framed(bytes)) => {
            dialogue.flush().await?;
            dialogue.send(bytes).await
        }
        Some(Piece::Progress(line)) => {
            reply.progress(&line, &mut dialogue.buffer);
            dialogue.flush().await
        }
        None => {
            reply.keepalive(&mut dialogue.buffer);
            dialogue.flush().await
        }
    }
}

/// What a batch of haves taught.
struct Known {
    common: Vec<ObjectId>,
    ready: bool,
}

/// The request in the engine's words, or why it can't be served.
fn fetch_request(asked: PackRequest) -> Result<git::fetch::FetchRequest, &'static str> {
    Ok(git::fetch::FetchRequest {
        wants: asked.wants.to_vec(),
        haves: asked.common.to_vec(),
        client_shallows: asked.shallows.to_vec(),
        shallow: asked.new_shallow,
        unshallow: asked.unshallow,
        filter: asked.filter.map(filter).transpose()?,
        thin_pack: asked.thin_pack,
        ofs_delta: asked.ofs_delta,
        include_tag: asked.include_tag,
    })
}

fn filter(asked: Filter) -> Result<git::fetch::Filter, &'static str> {
    Ok(match asked {
        Filter::BlobNone => git::fetch::Filter::BlobNone,
        Filter::BlobLimit(bytes) => git::fetch::Filter::BlobLimit(bytes),
        Filter::TreeDepth(depth) => git::fetch::Filter::TreeDepth(depth),
        Filter::ObjectType(kind) => git::fetch::Filter::ObjectType(match kind {
            ObjectType::Blob => git::ObjectKind::Blob,
            ObjectType::Tree => git::ObjectKind::Tree,
            ObjectType::Commit => git::ObjectKind::Commit,
            ObjectType::Tag => git::ObjectKind::Tag,
        }),
        Filter::SparseOid(_) => return Err("filter 'sparse:oid' is not served here"),
        Filter::Combine(parts) => {
            git::fetch::Filter::Combine(parts.into_iter().map(filter).collect::<Result<_, _>>()?)
        }
    })
}

/// Turns counts into lines for the user's terminal.
#[derive(Clone)]
struct Teller {
    pieces: Option<mpsc::Sender<Piece>>,
    told: u64,
}

impl Teller {
    /// Objects between two lines.
    const STEP: u64 = 20_000;

    fn new(pieces: Option<mpsc::Sender<Piece>>) -> Self {
        Self { pieces, told: 0 }
    }

    fn tell(&mut self, progress: git::fetch::Progress) {
        let git::fetch::Progress::Counting(count) = progress else {
            return;
        };
        if count >= self.told + Self::STEP {
            self.told = count;
            self.line(format!("Counting objects: {count}\r"));
        }
    }

    fn counted(&self, count: u32) {
        self.line(format!("Counting objects: {count}, done.\n"));
    }

    fn line(&self, line: String) {
        if let Some(pieces) = &self.pieces {
            // A peer that reads slowly gets fewer lines, never a slower pack.
            pieces.try_send(Piece::Progress(line)).ok();
        }
    }
}
