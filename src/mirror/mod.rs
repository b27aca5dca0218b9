//! Mirrors: takes refs and objects from upstreams, one run at a time for each repository.
//!
//! Data flows: a user asks → [`Mirrors::sync`] → a task waits for its turn → `fetch` dials, asks and hands
//! the pack to `git` like a push's → `hosting` moves all refs in one commit.
//! Bounds: [`WAITING_MAX`] repositories with something to do, [`RUNS_AT_ONCE`] runs, [`TRIES`] of each
//! with growing pauses, [`RUN_TIME`] for one; what is read of answers in `fetch`; packs by the limits of
//! pushes.
//! Invariant: at most one task works on a repository. Who asks while it runs gets one more run after it;
//! who asks while it pauses after a failure gets what it does next.
//! Not here: which addresses may be dialled (`outbound`), which refs move (`hosting`).

mod fetch;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    git::receive::Limits,
    hosting::{Hosting, HostingError},
    model::{Caller, RefName, Timestamp},
    outbound::Outbound,
    policy::{Authorized, Push},
    store::upstreams::Runs,
};
use fetch::SyncError;

/// Repositories that may wait for a run, those that run included.
const WAITING_MAX: usize = 1000;
/// Runs at once.
const RUNS_AT_ONCE: usize = 4;
/// Runs that one request leads to while they fail for reasons that may pass.
const TRIES: u32 = 4;
/// Longest time of one run.
const RUN_TIME: Duration = Duration::from_secs(30 * 60);
/// Pause after a first failure; it doubles with each further one.
const PAUSE: Duration = Duration::from_secs(2);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);

/// Keeps mirrors in step; cheap to clone.
#[derive(Clone)]
pub struct Mirrors(Arc<Shared>);

struct Shared {
    hosting: Hosting,
    outbound: Outbound,
    limits: Limits,
    runs: Semaphore,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// What is asked for of each repository with a task.
    asked: Mutex<HashMap<u64, Asked>>,
}

/// What somebody wants of an upstream.
#[derive(Debug, Clone)]
struct Asked {
    caller: Caller,
    /// This ref alone; `None` for all.
    only: Option<RefName>,
    /// Asked for since the run under way began.
    again: bool,
}

/// The mirrors can't take anything on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sync service is unavailable")]
pub struct Unavailable;

impl Mirrors {
    /// Works with these until told to stop; its tasks are among those of the server.
    pub fn new(
        hosting: Hosting,
        outbound: Outbound,
        limits: Limits,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(Shared {
            hosting,
            outbound,
            limits,
            runs: Semaphore::new(RUNS_AT_ONCE),
            tasks,
            stop,
            asked: Mutex::default(),
        }))
    }

    /// Those of a test that calls nobody.
    #[cfg(test)]
    pub(crate) fn for_tests(hosting: Hosting) -> Self {
        let outbound = Outbound::new(&crate::outbound::Reach::default()).unwrap();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        Self::new(hosting, outbound, Limits::default(), tasks, stop)
    }

    /// Sees to it that a repository with an upstream is synced soon: all branches and tags, or one.
    ///
    /// # Errors
    /// When the server stops, or too many others wait.
    pub fn sync(
        &self,
        authorized: &Authorized<Push>,
        only: Option<RefName>,
    ) -> Result<(), Unavailable> {
        self.start(authorized.target().id, authorized.caller().clone(), only)
    }

    /// The same for a mirror that was just made by this caller.
    ///
    /// # Errors
    /// As [`Mirrors::sync`].
    pub fn start(
        &self,
        repository: u64,
        caller: Caller,
        only: Option<RefName>,
    ) -> Result<(), Unavailable> {
        if self.0.stop.is_cancelled() {
            return Err(Unavailable);
        }
        let mut asked = self.asked();
        if let Some(known) = asked.get_mut(&repository) {
            // Two who want different refs both get theirs if all are taken.
            if known.only != only {
                known.only = None;
            }
            known.again = true;
            return Ok(());
        }
        if asked.len() >= WAITING_MAX {
            return Err(Unavailable);
        }
        let first = Asked {
            caller,
            only,
            again: false,
        };
        asked.insert(repository, first);
        drop(asked);
        let (mirrors, stop) = (self.clone(), self.0.stop.clone());
        self.0.tasks.spawn(async move {
            // A run that is cut off has moved no ref; it shows as interrupted.
            let ended = stop.run_until_cancelled(mirrors.work(repository)).await;
            if ended.is_none() {
                mirrors.asked().remove(&repository);
            }
        });
        Ok(())
    }

    /// Whether a run of this repository is under way or waits.
    pub fn is_at_work(&self, repository: u64) -> bool {
        self.asked().contains_key(&repository)
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<u64, Asked>> {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs until nobody asks for more, or it can't go on; then nothing is asked of it any longer.
    async fn work(&self, repository: u64) {
        let mut failures = 0;
        loop {
            match self.turn(repository).await {
                Turn::Failed { temporary: true } if failures + 1 < TRIES => failures += 1,
                Turn::Done | Turn::Failed { .. } => {
                    failures = 0;
                    // From here on a request starts a task of its own: both happen under one lock.
                    let mut all = self.asked();
                    if all.get(&repository).is_none_or(|asked| !asked.again) {
                        all.remove(&repository);
                        return;
                    }
                }
                Turn::Impossible => {
                    self.asked().remove(&repository);
                    return;
                }
            }
        }
    }

    /// Pauses as long as failures demand, waits for a place, and runs once.
    async fn turn(&self, repository: u64) -> Turn {
        match self.0.hosting.upstream(repository) {
            Ok(Some(upstream)) => tokio::time::sleep(pause_of(&upstream.runs)).await,
            Ok(None) => return Turn::Impossible,
            Err(error) => return broken(repository, &error),
        }
        let Ok(_place) = self.0.runs.acquire().await else {
            return Turn::Impossible;
        };
        let asked = {
            let mut all = self.asked();
            let Some(asked) = all.get_mut(&repository) else {
                return Turn::Impossible;
            };
            asked.again = false;
            asked.clone()
        };
        let Err(error) = self.run(repository, &asked).await else {
            metrics::counter!("packhorse_syncs_total", "outcome" => "ok").increment(1);
            return Turn::Done;
        };
        note_failure(repository, &error);
        metrics::counter!("packhorse_syncs_total", "outcome" => "failed").increment(1);
        let temporary = error.is_temporary();
        let noted = self.0.hosting.run_failed(repository, error.for_users());
        match noted.await {
            Ok(()) => Turn::Failed { temporary },
            Err(error) => broken(repository, &error),
        }
    }

    async fn run(&self, repository: u64, asked: &Asked) -> Result<(), SyncError> {
        let begun = Instant::now();
        let run = self.0.hosting.begin_run(repository).await?;
        let (outbound, limits) = (self.0.outbound.clone(), self.0.limits.clone());
        let (only, stop) = (asked.only.clone(), self.0.stop.clone());
        let fetched = tokio::task::spawn_blocking(move || {
            let session = fetch::Session {
                outbound: &outbound,
                limits: &limits,
                deadline: begun + RUN_TIME,
                stop: &stop,
            };
            session
                .fetch(&run, only.as_ref())
                .map(|fetched| (fetched, run))
        });
        let (fetched, run) = fetched.await.map_err(|_| SyncError::Broken)??;
        let (hosting, caller) = (&self.0.hosting, asked.caller.clone());
        let mirrored = hosting.finish_run(run, caller, fetched.found, fetched.quarantine);
        let mirrored = mirrored.await?;
        let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (moved, left) = (mirrored.moved, mirrored.diverged.len());
        tracing::info!(repository, moved, left, milliseconds, "synced");
        Ok(())
    }
}

/// How one turn of a repository ended.
enum Turn {
    Done,
    /// The run failed; the same may go well later, or not.
    Failed {
        temporary: bool,
    },
    /// The repository or its upstream is gone, or the store fails.
    Impossible,
}

fn note_failure(repository: u64, error: &SyncError) {
    let cause: &dyn std::error::Error = error;
    tracing::warn!(repository, error = cause, "sync failed");
}

fn broken(repository: u64, error: &HostingError) -> Turn {
    let cause: &dyn std::error::Error = error;
    tracing::error!(repository, error = cause, "a mirror can't be synced");
    Turn::Impossible
}

/// How long to wait before the next run.
fn pause_of(runs: &Runs) -> Duration {
    let Some(finished) = runs.finished_at.filter(|_| runs.failures > 0) else {
        return Duration::ZERO;
    };
    let doublings = (runs.failures - 1).min(16);
    let pause = PAUSE.saturating_mul(1 << doublings).min(PAUSE_MAX);
    let passed = Timestamp::now().millis().saturating_sub(finished.millis());
    pause.saturating_sub(Duration::from_millis(u64::try_from(passed).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_failures_up_to_a_bound_and_pass_with_time() {
        let runs = |failures, seconds_ago: i64| Runs {
            failures,
            finished_at: Some(Timestamp::now().plus_seconds(-seconds_ago)),
            ..Runs::default()
        };
        let near = |runs: &Runs, seconds: u64| {
            let pause = pause_of(runs);
            let expected = Duration::from_secs(seconds);
            assert!(
                pause <= expected && pause + Duration::from_secs(2) > expected,
                "{pause:?}"
            );
        };
        assert_eq!(pause_of(&Runs::default()), Duration::ZERO);
        assert_eq!(pause_of(&runs(0, 0)), Duration::ZERO);
        near(&runs(1, 0), 2);
        near(&runs(4, 0), 16);
        near(&runs(4, 6), 10);
        near(&runs(60, 0), 15 * 60);
        assert_eq!(pause_of(&runs(2, 5)), Duration::ZERO);
    }
}
