//! Push: drives `protocol::ReceivePack`; the pack goes to quarantine, the commands to the commit point.
//!
//! Source: gitprotocol-pack(5), "Pushing Data To a Server".
//! Bounds: one slot from the commands on, the engine's limits while the pack streams, idle and
//! total time, [`DRAIN_BYTES`] and [`DRAIN_TIME`] for what a refused peer still sends.
//! Invariant: nothing is visible before `hosting` committed it, and what it answered is reported
//! as it is; a peer that leaves during the commit changes nothing in it.
//! Not here: indexing and checks (`git`), rules and refs (`hosting`).

use std::{
    io::{self, Read},
    sync::Arc,
    time::Duration,
};

use packhorse_protocol::{
    ReceivePack,
    receive_pack::{CommandStatus, Outcome, PushRequest, ReceiveReply},
};
use tokio::{io::AsyncBufReadExt as _, sync::mpsc};
use tokio_util::{io::SyncIoBridge, sync::CancellationToken};

use super::{
    Conversation, Input, Output, WireError,
    dialogue::{Dialogue, KEEPALIVE},
    opened::{Opened, finish},
};
use crate::{
    config::Limits,
    git::receive::{self, Quarantine, ReceiveError},
    hosting::{Command, HostingError, Push},
    model::ObjectId,
    policy::{self, Authorized},
};

/// Most bytes read and thrown away after a push was refused, so that the answer is not lost in a reset.
const DRAIN_BYTES: u64 = 64 << 20;
/// Longest time for that.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// Progress lines that may wait for the peer.
const LINES_IN_FLIGHT: usize = 16;

impl Opened<policy::Push> {
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
            "packhorse_pushes_total",
            total,
            Box::pin(self.converse(conversation, &mut dialogue)),
        )
        .await
    }

    async fn converse<O: Output>(
        self,
        conversation: Conversation,
        dialogue: &mut Dialogue<'_, O>,
    ) -> Result<(), WireError> {
        let offer = Arc::new(self.plain_offer());
        let mut state = ReceivePack::start(
            conversation.version,
            conversation.transport,
            Arc::clone(&offer),
            &mut dialogue.buffer,
        );
        loop {
            state = match state {
                ReceivePack::Advertise(reply) => {
                    let shared = &self.wire.0;
                    let refs = shared
                        .hosting
                        .refs(&self.allowed)
                        .await
                        .map_err(super::internal)?;
                    let answer = shared.advertisements.receive_pack(
                        (self.repository.facts.id, self.remote),
                        &self.remote.shows(&refs),
                        &offer,
                    )?;
                    dialogue.answer(answer).await?;
                    reply.sent()
                }
                ReceivePack::NeedsInput(wait) => {
                    dialogue.flush().await?;
                    dialogue.receive(|bytes| wait.receive(bytes)).await?
                }
                ReceivePack::Receive(request, reply) => {
                    return self.take(request, reply, dialogue).await;
                }
                ReceivePack::Finished => return dialogue.flush().await,
            };
        }
    }

    /// Takes the pack, carries the commands out and reports.
    async fn take<O: Output>(
        self,
        request: PushRequest,
        mut reply: ReceiveReply,
        dialogue: &mut Dialogue<'_, O>,
    ) -> Result<(), WireError> {
        let shared = Arc::clone(&self.wire.0);
        let _slot = shared
            .pushes
            .acquire(self.repository.facts.id, self.slot_key())
            .await?;
        let quarantine = if request.expects_pack {
            match self.ingest(&mut reply, request.quiet, dialogue).await? {
                Ok(quarantine) => {
                    for line in quarantine.notices().lines() {
                        reply.progress(&line, &mut dialogue.buffer);
                    }
                    Some(quarantine)
                }
                Err(error) => {
                    let reason = error.to_string();
                    let (unpacked, word) = if lacks_history(&request, &error) {
                        (Ok(()), "shallow update not allowed")
                    } else {
                        (Err(&*reason), "unpacker error")
                    };
                    let rejected = request.commands.iter().map(|command| CommandStatus {
                        name: &command.name,
                        outcome: Outcome::Rejected(word),
                    });
                    let last = reply.report(unpacked, rejected, &mut dialogue.buffer);
                    drain(&mut dialogue.input).await;
                    return dialogue.refused(last, &reason).await;
                }
            }
        } else {
            None
        };
        let outcomes = self.carry_out(&request, quarantine).await;
        let statuses = request
            .commands
            .iter()
            .zip(&outcomes)
            .map(|(command, outcome)| CommandStatus {
                name: &command.name,
                outcome: match outcome {
                    Ok(()) => Outcome::Done,
                    Err(reason) => Outcome::Rejected(reason),
                },
            });
        let last = reply.report(Ok(()), statuses, &mut dialogue.buffer);
        drop(last);
        dialogue.flush().await
    }

    /// Streams the pack into quarantine, telling the peer how far it is.
    async fn ingest<O: Output>(
        &self,
        reply: &mut ReceiveReply,
        quiet: bool,
        dialogue: &mut Dialogue<'_, O>,
    ) -> Result<Result<Quarantine, ReceiveError>, WireError> {
        let shared = &self.wire.0;
        let (hosting, allowed) = (shared.hosting.clone(), Arc::clone(&self.allowed));
        let limits = receive_limits(&shared.limits);
        let buffered = io::Cursor::new(reply.take_buffered());
        let input = std::mem::replace(&mut dialogue.input, Box::pin(tokio::io::empty()));
        let (lines, mut progress) = mpsc::channel(LINES_IN_FLIGHT);
        let gone = CancellationToken::new();
        let mut input = WhileAwaited {
            input: SyncIoBridge::new(input),
            gone: gone.clone(),
        };
        let _gone_with_this_future = gone.drop_guard();
        let mut job = tokio::task::spawn_blocking(move || {
            let mut last = Milestone::default();
            let mut tell = |progress: receive::Progress| {
                // A peer that reads slowly gets fewer lines, never a slower push.
                if let Some(line) = last.line(progress) {
                    lines.try_send(line).ok();
                }
            };
            let taken = hosting.objects(&allowed).map(|git| {
                receive::ingest(&git, &mut buffered.chain(&mut input), &limits, &mut tell)
            });
            (taken, input.input.into_inner())
        });
        let mut telling = true;
        let (taken, input) = loop {
            tokio::select! {
                line = progress.recv(), if telling => match line {
                    Some(line) if !quiet => {
                        reply.progress(&line, &mut dialogue.buffer);
                        dialogue.flush().await?;
                    }
                    Some(_) => {}
                    None => telling = false,
                },
                ended = &mut job => break ended.map_err(super::internal)?,
                () = tokio::time::sleep(KEEPALIVE) => {
                    reply.keepalive(&mut dialogue.buffer);
                    dialogue.flush().await?;
                }
            }
        };
        dialogue.input = input;
        taken.map_err(super::internal)
    }

    /// Hands the commands to the commit point; one verdict for each, in their order.
    async fn carry_out(
        &self,
        request: &PushRequest,
        quarantine: Option<Quarantine>,
    ) -> Vec<Result<(), String>> {
        let mut verdicts = Vec::with_capacity(request.commands.len());
        let mut commands = Vec::with_capacity(request.commands.len());
        for command in &request.commands {
            match self.remote.full_name(&command.name) {
                Ok(name) => {
                    verdicts.push(Ok(()));
                    commands.push(Command {
                        name,
                        old: present(command.old),
                        new: present(command.new),
                    });
                }
                Err(reason) => verdicts.push(Err(reason)),
            }
        }
        if request.atomic && commands.len() < verdicts.len() {
            for verdict in &mut verdicts {
                if verdict.is_ok() {
                    *verdict = Err("atomic push failed: another ref was refused".to_owned());
                }
            }
            return verdicts;
        }
        let push = Push {
            commands,
            atomic: request.atomic,
        };
        let hosting = self.wire.0.hosting.clone();
        let outcomes = hosting
            .push(Authorized::clone(&self.allowed), push, quarantine)
            .await;
        let taken = verdicts.iter_mut().filter(|verdict| verdict.is_ok());
        match outcomes {
            Ok(outcomes) => {
                for (verdict, outcome) in taken.zip(outcomes) {
                    *verdict = outcome
                        .result
                        .map(drop)
                        .map_err(|refusal| refusal.to_string());
                }
            }
            // Somebody took the right away while the pack was on its way.
            Err(HostingError::Denied(denied)) => {
                taken.for_each(|verdict| *verdict = Err(denied.to_string()));
            }
            Err(error) => {
                let reason = if error.is_full_disk() {
                    "the server's disk is full, nothing was changed"
                } else if error.leaves_commit_in_doubt() {
                    "the server's store has failed, fetch later to see whether this was done"
                } else {
                    "internal error, nothing was changed"
                };
                super::internal(error);
                taken.for_each(|verdict| *verdict = Err(reason.to_owned()));
            }
        }
        verdicts
    }
}

/// A reader that fails once nobody waits for what is made of it, so that a peer that goes on and on
/// can't keep a thread after its conversation was given up.
struct WhileAwaited<R> {
    input: R,
    gone: CancellationToken,
}

impl<R: Read> Read for WhileAwaited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.gone.is_cancelled() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.input.read(buffer)
    }
}

/// Whether the pack was refused for parents that its sender has not either: its history is cut, and the
/// repository lacks what is behind the cut.
fn lacks_history(request: &PushRequest, error: &ReceiveError) -> bool {
    let missing = match error {
        ReceiveError::MissingObject { kind, .. } => *kind == "commit",
        // More parents than there are commits at all.
        ReceiveError::Unconnected => true,
        _ => false,
    };
    missing && !request.shallows.is_empty()
}

/// Nothing where the wire has the null id.
fn present(id: ObjectId) -> Option<ObjectId> {
    (!id.is_null()).then_some(id)
}

/// What the configuration allows one push, for the engine.
pub(crate) fn receive_limits(limits: &Limits) -> receive::Limits {
    receive::Limits {
        pack_bytes: limits.push_pack_bytes,
        objects: limits.push_objects,
        inflated_bytes: limits.push_inflated_bytes,
        object_bytes: limits.push_object_bytes,
        delta_depth: limits.push_delta_depth,
        tree_entries: limits.push_tree_entries,
        tree_depth: limits.push_tree_depth,
        ..receive::Limits::default()
    }
}

/// Reads and throws away what a refused peer still sends, within bounds.
async fn drain(input: &mut Input) {
    let rest = async {
        let mut left = DRAIN_BYTES;
        while left > 0 {
            let length = match input.fill_buf().await {
                Ok([]) | Err(_) => return,
                Ok(bytes) => bytes.len(),
            };
            input.consume(length);
            left = left.saturating_sub(u64::try_from(length).unwrap_or(u64::MAX));
        }
    };
    // Whatever is left after the bounds is the peer's loss.
    tokio::time::timeout(DRAIN_TIME, rest).await.ok();
}

/// Turns counts into lines, one for each percent.
#[derive(Debug, Default)]
struct Milestone {
    percent: u64,
}

impl Milestone {
    fn line(&mut self, progress: receive::Progress) -> Option<String> {
        let receive::Progress::Resolving { deltas, total } = progress else {
            // The client counts what it sends by itself.
            return None;
        };
        let percent = u64::from(deltas) * 100 / u64::from(total.max(1));
        if percent == self.percent && deltas < total {
            return None;
        }
        self.percent = percent;
        let end = if deltas == total { ", done.\n" } else { "\r" };
        Some(format!(
            "Resolving deltas: {percent:3}% ({deltas}/{total}){end}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pusher sends a byte now and then, for ever: the total time ends its conversation, and must
    /// end the thread that reads from it too.
    #[test]
    fn reading_ends_with_the_conversation_that_awaits_it() {
        let gone = CancellationToken::new();
        let mut input = WhileAwaited {
            input: io::repeat(b'x'),
            gone: gone.clone(),
        };
        let guard = gone.drop_guard();
        let mut byte = [0];
        assert_eq!(input.read(&mut byte).unwrap(), 1);
        drop(guard);
        let error = input.read(&mut byte).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }

    #[test]
    fn resolving_is_told_once_a_percent_and_at_its_end() {
        let mut last = Milestone::default();
        let mut line = |deltas| {
            last.line(receive::Progress::Resolving {
                deltas,
                total: 1000,
            })
        };
        assert_eq!(line(9), None);
        assert_eq!(line(10).unwrap(), "Resolving deltas:   1% (10/1000)\r");
        assert_eq!(line(11), None);
        assert_eq!(
            line(1000).unwrap(),
            "Resolving deltas: 100% (1000/1000), done.\n"
        );
    }
}
