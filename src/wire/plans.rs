//! Pack plans of late: equal requests share one computation.
//!
//! A fleet that clones the same commit a thousand times asks one question; what objects answer it is
//! found once for each generation of the refs. The pack itself is written anew from mapped files, or, if
//! it is short and asked for again, once.
//! Bounds: [`PLANS`] plans of [`PLANS_BYTES`] in all, requests of [`REQUEST_IDS`] ids.
//! Invariant: a plan is shared by equal requests at equal generations only, and whether a caller may
//! ask was judged before it gets here.

use std::{
    future::Future,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use lru::LruCache;
use tokio::sync::OnceCell;

use super::{WireError, remote::Remote};
use crate::git::fetch::{FetchRequest, PackPlan};

/// Plans that are remembered.
const PLANS: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");
/// Bytes of all remembered plans together.
const PLANS_BYTES: usize = 64 << 20;
/// Ids in a request that is remembered; a longer one is unlikely to come twice.
const REQUEST_IDS: usize = 4096;

/// One question: which repository, through which remote, as of when, and what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) repository: u64,
    pub(super) remote: Remote,
    pub(super) generation: u64,
    pub(super) request: FetchRequest,
}

impl Question {
    fn is_short(&self) -> bool {
        let request = &self.request;
        let lists = [
            &request.wants,
            &request.haves,
            &request.client_shallows,
            &request.shallow,
            &request.unshallow,
        ];
        lists.iter().map(|list| list.len()).sum::<usize>() <= REQUEST_IDS
    }
}

type Answer = Arc<OnceCell<Arc<PackPlan>>>;

/// The plans of late.
#[derive(Debug)]
pub(super) struct Plans(Mutex<LruCache<Question, Answer>>);

impl Plans {
    pub(super) fn new() -> Self {
        Self(Mutex::new(LruCache::new(PLANS)))
    }

    /// The answer to a question: remembered, awaited if somebody else is at it, or computed.
    ///
    /// # Errors
    /// What `compute` fails with; the next one who asks computes again.
    pub(super) async fn get<F>(
        &self,
        question: Question,
        compute: impl FnOnce() -> F,
    ) -> Result<Arc<PackPlan>, WireError>
    where
        F: Future<Output = Result<PackPlan, WireError>>,
    {
        if !question.is_short() {
            return compute().await.map(Arc::new);
        }
        let answer = {
            let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(plans.get_or_insert(question, Answer::default))
        };
        let plan = answer
            .get_or_try_init(async || compute().await.map(Arc::new))
            .await
            .map(Arc::clone)?;
        self.forget_the_oldest();
        Ok(plan)
    }

    /// Makes room until the rest is within bounds.
    fn forget_the_oldest(&self) {
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = |answer: &Answer| answer.get().map_or(0, |plan| plan.memory_bytes());
        let mut bytes: usize = plans.iter().map(|(_, answer)| held(answer)).sum();
        while bytes > PLANS_BYTES {
            let Some((_, oldest)) = plans.pop_lru() else {
                return;
            };
            bytes -= held(&oldest);
        }
    }
}
