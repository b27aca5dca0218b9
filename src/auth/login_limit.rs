//! How many wrong passwords somebody may send before the next one is not even looked at.
//!
//! Bounds: [`FAILURES_PER_NAME`] from one address for one name, [`FAILURES_PER_ADDRESS`] from one
//! address, within [`WINDOW_SECONDS`]; [`KEPT`] counters in all.
//! Invariant: nobody can lock out somebody else who comes from another address.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
};

use lru::LruCache;

use super::AuthError;
use crate::model::Timestamp;

const FAILURES_PER_NAME: u32 = 10;
const FAILURES_PER_ADDRESS: u32 = 100;
const WINDOW_SECONDS: i64 = 300;
const KEPT: NonZeroUsize = NonZeroUsize::new(16_384).expect("it is not zero");

/// Longest part of a name that is told apart, so that counters have a bounded size.
const NAME_BYTES: usize = 100;

type Source = (Option<IpAddr>, Option<String>);

struct Failures {
    count: u32,
    since: Timestamp,
}

pub(super) struct LoginLimit(Mutex<LruCache<Source, Failures>>);

impl Default for LoginLimit {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT)))
    }
}

/// The counters of one try: for the name and for all names, with their bounds.
fn sources(address: Option<IpAddr>, name: &str) -> [(Source, u32); 2] {
    // A subscriber of IPv6 has at least a /64.
    let network = address.map(|address| match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(long) => IpAddr::V6(Ipv6Addr::from_bits(long.to_bits() & !0 << 64)),
    });
    let name: String = name.to_lowercase().chars().take(NAME_BYTES).collect();
    [
        ((network, Some(name)), FAILURES_PER_NAME),
        ((network, None), FAILURES_PER_ADDRESS),
    ]
}

impl LoginLimit {
    pub(super) fn check(
        &self,
        address: Option<IpAddr>,
        name: &str,
        now: Timestamp,
    ) -> Result<(), AuthError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (source, bound) in sources(address, name) {
            let Some(failures) = kept.get(&source) else {
                continue;
            };
            let over = failures.since.plus_seconds(WINDOW_SECONDS);
            if failures.count >= bound && now < over {
                let wait = over.seconds().saturating_sub(now.seconds()).max(1);
                return Err(AuthError::TooManyTries {
                    retry_after_seconds: wait.unsigned_abs(),
                });
            }
        }
        Ok(())
    }

    pub(super) fn note_failure(&self, address: Option<IpAddr>, name: &str, now: Timestamp) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (source, _) in sources(address, name) {
            let failures = kept.get_or_insert_mut(source, || Failures {
                count: 0,
                since: now,
            });
            if now >= failures.since.plus_seconds(WINDOW_SECONDS) {
                *failures = Failures {
                    count: 0,
                    since: now,
                };
            }
            failures.count = failures.count.saturating_add(1);
        }
    }

    pub(super) fn note_success(&self, address: Option<IpAddr>, name: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [(of_name, _), _] = sources(address, name);
        kept.pop(&of_name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn the_bound_for_a_name_holds_on_both_sides_and_ends_with_its_window() {
        let limit = LoginLimit::default();
        let here = address("192.0.2.1");
        for _ in 0..FAILURES_PER_NAME {
            assert!(limit.check(here, "alice", at(0)).is_ok());
            limit.note_failure(here, "Alice", at(0));
        }
        let refused = limit.check(here, "alice", at(60));
        assert!(matches!(
            refused,
            Err(AuthError::TooManyTries {
                retry_after_seconds: 240
            })
        ));
        assert!(limit.check(here, "bob", at(60)).is_ok());
        assert!(limit.check(address("192.0.2.2"), "alice", at(60)).is_ok());
        assert!(limit.check(here, "alice", at(WINDOW_SECONDS)).is_ok());
    }

    #[test]
    fn a_success_forgives_the_failures_before_it() {
        let limit = LoginLimit::default();
        for _ in 0..FAILURES_PER_NAME {
            limit.note_failure(None, "alice", at(0));
        }
        limit.note_success(None, "alice");
        assert!(limit.check(None, "alice", at(1)).is_ok());
    }

    #[test]
    fn many_names_from_one_network_are_one_attack() {
        let limit = LoginLimit::default();
        for n in 0..FAILURES_PER_ADDRESS {
            let from = address(&format!("2001:db8:1:2::{n:x}"));
            limit.note_failure(from, &format!("user-{n}"), at(0));
        }
        assert!(
            limit
                .check(address("2001:db8:1:2::ffff"), "x", at(1))
                .is_err()
        );
        assert!(limit.check(address("2001:db8:1:3::1"), "x", at(1)).is_ok());
    }
}
