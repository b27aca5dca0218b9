//! Filter specifications.
//!
//! Source: git-rev-list(1), `--filter`.
//! Bounds: 16 parts.
//! Invariant: what is read has no more parts than allowed.
//! Not here: what filters let through.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packhorse_protocol::filter::Filter;

fuzz_target!(|data: &[u8]| {
    if let Ok(filter) = Filter::parse(data, 16) {
        assert!(parts(&filter) <= 16);
    }
});

fn parts(filter: &Filter) -> usize {
    match filter {
        Filter::Combine(filters) => 1 + filters.iter().map(parts).sum::<usize>(),
        _ => 1,
    }
}
