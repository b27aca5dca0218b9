//! The questions of a fetch that need objects: what may be wanted, what is common, the pack.
//!
//! Bounds: a computation permit while objects are looked for, chunks in flight while a pack is sent.
//! Invariant: nothing here blocks the runtime; a stalled peer holds a slot and a few chunks.
//! Not here: the order of the questions (`fetch`), framing (`stream`), the answers themselves (`git`).

use std::sync::Arc;

use packhorse_protocol::{
    UploadPack,
    filter::Filter,
    upload_pack::{Deepen, DeepenRequest, NegotiateRequest, PackReply, PackRequest},
};
use tokio::sync::mpsc;

use super::{
    Output, Wire, WireError,
    dialogue::{Dialogue, KEEPALIVE},
    plans::Question,
    remote::Remote,
    slots::Slot,
    stream::{Buffers, CHUNKS_IN_FLIGHT, PackFramer, Piece},
};
use crate::{
    config::Wants,
    git::{
        self,
        fetch::{Boundary, DeepenError, PackPlan, SparseError, WriteError},
    },
    model::{ObjectId, RefSnapshot},
};

/// What a peer reads when objects that should be there can't be read; the log knows more.
pub(super) const UNREADABLE: &str = "the server could not read its objects";

/// What the object questions of one conversation are answered from.
pub(super) struct Work {
    wire: Wire,
    repository: u64,
    remote: Remote,
    git: git::Repository,
    pub(super) packs: Arc<git::PackSet>,
    pub(super) refs: Arc<RefSnapshot>,
    _slot: Slot,
}

impl Work {
    pub(super) fn new(
        wire: Wire,
        repository: u64,
        git: git::Repository,
        (remote, refs): (Remote, Arc<RefSnapshot>),
        slot: Slot,
    ) -> Self {
        Self {
            wire,
            repository,
            remote,
            packs: git.packs(),
            git,
            refs,
            _slot: slot,
        }
    }

    /// Memory for what is sent.
    pub(super) fn buffers(&self) -> Buffers {
        self.wire.0.buffers.clone()
    }

    /// Runs blocking work once the processor has room for it.
    pub(super) async fn compute<T: Send + 'static>(
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
        let computed = computed.await.map_err(super::internal)?;
        computed.map_err(|error| match error {
            git::ReadError::TooManyPaths => WireError::Failed(error.to_string()),
            error => super::internal(error),
        })
    }

    /// The first of these that the caller may not want; `all` are the refs, hidden ones included.
    pub(super) async fn refused_want(
        &self,
        wants: Arc<Vec<ObjectId>>,
        all: &Arc<RefSnapshot>,
    ) -> Result<Option<ObjectId>, WireError> {
        let (git, packs) = (self.git.clone(), Arc::clone(&self.packs));
        let (refs, all) = (Arc::clone(&self.refs), Arc::clone(all));
        let allowed = self.wire.0.fetch.wants;
        self.compute(move || match allowed {
            Wants::Advertised => Ok(git::fetch::unnamed(&refs, &packs, &wants)),
            Wants::Tips => Ok(git::fetch::unnamed(&all, &packs, &wants)),
            Wants::Reachable => git::fetch::refused(&git, &packs, &refs, &wants),
            Wants::Any => Ok(wants.iter().find(|want| !packs.contains(want)).copied()),
        })
        .await
    }

    /// Sizes of those objects that the caller may see, in the order asked for.
    pub(super) async fn sizes(&self, ids: Vec<ObjectId>) -> Result<Vec<Option<u64>>, WireError> {
        let (git, packs, refs) = (
            self.git.clone(),
            Arc::clone(&self.packs),
            Arc::clone(&self.refs),
        );
        self.compute(move || {
            let mut reader = git::ObjectReader::new(Arc::clone(&packs));
            let hidden = git::fetch::hidden(&git, &packs, &refs, &ids)?;
            let size = |id: &ObjectId| match hidden.contains(id) {
                false => reader.size(id),
                true => Ok(None),
            };
            ids.iter().map(size).collect()
        })
        .await
    }

    /// Where the client's history will be cut, or why it can't be.
    pub(super) async fn boundary(
        &self,
        asked: DeepenRequest,
    ) -> Result<Result<Boundary, String>, WireError> {
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
    pub(super) async fn negotiate(&self, asked: NegotiateRequest) -> Result<Known, WireError> {
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

    /// What to leave out, or why the filter can't be used.
    async fn filter(
        &self,
        asked: Option<Filter>,
    ) -> Result<Result<Option<git::fetch::Filter>, String>, WireError> {
        let Some(asked) = asked else {
            return Ok(Ok(None));
        };
        let (git, packs, refs) = (
            self.git.clone(),
            Arc::clone(&self.packs),
            Arc::clone(&self.refs),
        );
        self.compute(move || {
            let names = git::fetch::Names {
                git: &git,
                packs: &packs,
                refs: &refs,
            };
            match names.filter(&asked) {
                Ok(filter) => Ok(Ok(Some(filter))),
                Err(SparseError::Read(error)) => Err(error),
                Err(refused) => Ok(Err(refused.to_string())),
            }
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
            remote: self.remote,
            generation: self.refs.generation(),
            request: request.clone(),
        };
        let (packs, refs) = (Arc::clone(&self.packs), Arc::clone(&self.refs));
        let git = self.git.clone();
        let count = teller.clone();
        let compute = move || {
            self.compute(move || {
                git::fetch::prepare(&git, packs, &refs, &request, &mut |progress| {
                    teller.tell(progress);
                })
            })
        };
        let plan = self.wire.0.plans.get(question, compute).await?;
        count.counted(plan.object_count());
        Ok(plan)
    }

    /// Makes the pack and sends it, with progress and signs of life.
    pub(super) async fn send_pack<O: Output>(
        &self,
        mut asked: PackRequest,
        reply: PackReply,
        dialogue: &mut Dialogue<'_, O>,
    ) -> Result<UploadPack, WireError> {
        let (sideband, progress) = (reply.sideband(), asked.progress);
        let filter = match self.filter(asked.filter.take()).await? {
            Ok(filter) => filter,
            Err(reason) => {
                let last = reply.fail(&reason, &mut dialogue.buffer);
                dialogue.refused(last, &reason).await?;
                return Ok(UploadPack::Finished);
            }
        };
        let request = git::fetch::FetchRequest::of(asked, filter);
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
                let reason = match &error {
                    WireError::Failed(reason) => reason,
                    _ => UNREADABLE,
                };
                let last = reply.fail(reason, &mut dialogue.buffer);
                dialogue.refused(last, reason).await?;
                return Err(error);
            }
        };
        let buffers = self.buffers();
        let job = tokio::task::spawn_blocking(move || {
            let mut framer = PackFramer::new(sideband, buffers, sender);
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
pub(super) struct Known {
    /// Those of the batch that are here, in its order.
    pub(super) common: Vec<ObjectId>,
    /// Whether more of them would change nothing.
    pub(super) ready: bool,
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

/// What the ref of this full name, or `HEAD`, points to.
pub(super) fn visible_ref(refs: &RefSnapshot, name: &[u8]) -> Option<ObjectId> {
    let name = std::str::from_utf8(name).ok()?;
    if name == "HEAD" {
        return refs.head_id();
    }
    refs.find(name).map(|entry| entry.id)
}

/// As git resolves a name given by a user: whole, then as a tag, then as a branch.
pub(super) fn named_ref(refs: &RefSnapshot, name: &[u8]) -> Option<ObjectId> {
    ["", "refs/", "refs/tags/", "refs/heads/"]
        .iter()
        .find_map(|prefix| visible_ref(refs, &[prefix.as_bytes(), name].concat()))
}
