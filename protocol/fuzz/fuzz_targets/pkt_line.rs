//! pkt-line framing.
//!
//! Source: gitprotocol-common(5).
//! Bounds: `MAX_DATA`, by the decoder.
//! Invariant: what was decoded and is encoded again reads the same.
//! Not here: the meaning of lines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packhorse_protocol::pkt_line::{PktLine, decode, write_data};

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Ok(Some(line)) = decode(&mut rest) {
        if let PktLine::Data(payload) = line {
            let mut wire = Vec::new();
            write_data(payload, &mut wire).expect("what was read can be written");
            assert_eq!(decode(&mut wire.as_slice()), Ok(Some(line)));
        }
    }
});
