//! Arguments of `ls-refs`.
//!
//! Source: gitprotocol-v2(5), "ls-refs".
//! Bounds: prefixes of at most 1,000 bytes.
//! Invariant: sorted and thinned prefixes match what they match one by one.
//! Not here: the rest of version 2 (`fetch`).
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use packhorse_protocol::{Offer, Transport, UploadPack, Version, pkt_line};

fuzz_target!(|data: &[u8]| {
    let mut wire = Vec::new();
    for line in ["command=ls-refs", "peel"] {
        pkt_line::write_data(line.as_bytes(), &mut wire).expect("short lines fit");
        if line.starts_with("command") {
            pkt_line::write_delimiter(&mut wire);
        }
    }
    let prefixes: Vec<&[u8]> = data
        .split(|&byte| byte == b'\n')
        .map(|line| line.get(..1_000).unwrap_or(line))
        .collect();
    for prefix in &prefixes {
        pkt_line::write_data(&[b"ref-prefix ", *prefix, b"\n"].concat(), &mut wire)
            .expect("short lines fit");
    }
    pkt_line::write_flush(&mut wire);
    let offer = Arc::new(Offer::new(gix_hash::Kind::Sha1, "fuzz"));
    let state = UploadPack::start(Version::V2, Transport::Stateless, offer, &mut Vec::new());
    let UploadPack::NeedsInput(wait) = state else {
        panic!("a stateless client speaks first")
    };
    let Ok(UploadPack::LsRefs(asked, _)) = wait.receive(&wire) else {
        return;
    };
    for name in prefixes
        .iter()
        .copied()
        .chain([b"HEAD".as_slice(), b"refs/heads/main", data])
    {
        assert_eq!(
            asked.matches(name),
            prefixes.iter().any(|prefix| name.starts_with(prefix))
        );
    }
});
