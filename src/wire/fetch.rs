//! Clone and fetch: drives `protocol::UploadPack`, answering its questions from refs and packs.
//!
//! Source: gitprotocol-v2(5), gitprotocol-pack(5).
//! Bounds: one slot from the first want on, idle and total time.
//! Invariant: the refs and packs of a conversation are those it began with; a push that lands
//! meanwhile changes nothing in it.
//! Not here: what needs objects (`objects`), which of them go into a pack (`git`).

use std::sync::Arc;

use packhorse_protocol::{Offer, UploadPack, upload_pack::WantsRequest};

use super::{
    Conversation, Input, Output, WireError,
    dialogue::Dialogue,
    objects::{Work, visible_ref},
    opened::{Opened, finish},
};
use crate::{
    config::Wants,
    model::{ObjectId, RefSnapshot},
    policy,
};

impl Opened<policy::Fetch> {
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
        let mut dialogue = self.dialogue(input, output);
        let total = self.wire.0.limits.total_timeout();
        finish(
            "packhorse_fetches_total",
            total,
            self.converse(conversation, &mut dialogue),
        )
        .await
    }

    async fn converse<O: Output>(
        self,
        conversation: Conversation,
        dialogue: &mut Dialogue<'_, O>,
    ) -> Result<(), WireError> {
        let hosting = &self.wire.0.hosting;
        let all = hosting.refs(&self.allowed).await.map_err(super::internal)?;
        let refs = self.remote.shows(&all);
        let id = self.repository.facts.id;
        let offer = Arc::new(self.offer());
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
                        (id, self.remote),
                        &refs,
                        &offer,
                        conversation.transport,
                    )?;
                    dialogue.answer(answer).await?;
                    reply.sent()
                }
                UploadPack::LsRefs(asked, reply) => {
                    let answer =
                        self.wire
                            .0
                            .advertisements
                            .ls_refs((id, self.remote), &refs, &asked)?;
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
                    match work.refused_want(Arc::clone(&asked.ids), &all).await? {
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

    /// What this server lets fetches do.
    fn offer(&self) -> Offer {
        let fetch = self.wire.0.fetch;
        Offer {
            sideband_all: fetch.sideband_all,
            allow_tip_sha1_in_want: matches!(fetch.wants, Wants::Tips | Wants::Any),
            allow_reachable_sha1_in_want: fetch.wants >= Wants::Reachable,
            ..self.plain_offer()
        }
    }

    /// Slot, packs and refs of this conversation's object work, taken when the first question needs them.
    pub(super) async fn work<'a>(
        &self,
        work: &'a mut Option<Work>,
        refs: &Arc<RefSnapshot>,
    ) -> Result<&'a Work, WireError> {
        let taken = match work.take() {
            Some(taken) => taken,
            None => {
                let shared = Arc::clone(&self.wire.0);
                let id = self.repository.facts.id;
                let slot = shared.fetches.acquire(id, self.slot_key()).await?;
                let allowed = Arc::clone(&self.allowed);
                let opening = tokio::task::spawn_blocking(move || shared.hosting.objects(&allowed));
                let git = opening
                    .await
                    .map_err(super::internal)?
                    .map_err(super::internal)?;
                let shown = (self.remote, Arc::clone(refs));
                Work::new(self.wire.clone(), id, git, shown, slot)
            }
        };
        Ok(work.insert(taken))
    }
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
