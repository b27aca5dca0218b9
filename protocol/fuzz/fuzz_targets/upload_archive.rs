//! The request of `git archive --remote`, and the command line in it.
//!
//! Source: git-upload-archive(1), git-archive(1).
//! Bounds: the default limits.
//! Invariant: cutting the input changes nothing, and what can't be understood is said in one packet.
//! Not here: the archive.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packhorse_protocol::{
    Limits,
    pkt_line::{self, PktLine},
    upload_archive::{ArchiveOptions, UploadArchive},
};

fuzz_target!(|data: &[u8]| {
    let Some((&cut, input)) = data.split_first() else {
        return;
    };
    let (first, second) = input.split_at(usize::from(cut).min(input.len()));
    assert_eq!(request(&[input]), request(&[first, second]));
    // Lines without their framing reach the options more often.
    let words: Vec<Vec<u8>> = input
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    if let Err(error) = ArchiveOptions::parse(&words) {
        assert!(!error.to_string().is_empty());
    }
});

/// What was understood, or the words it was refused with.
fn request(pieces: &[&[u8]]) -> String {
    let mut state = UploadArchive::start(&Limits::default());
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        let UploadArchive::NeedsInput(wait) = state else {
            break;
        };
        state = match wait.receive(piece) {
            Ok(next) => next,
            Err(error) => return error.to_string(),
        };
    }
    let UploadArchive::Archive(options, reply) = state else {
        return String::new();
    };
    let understood = format!("{options:?}");
    let mut output = Vec::new();
    reply.accept(&mut output);
    let ended = match options {
        Ok(_) => reply.finish(&mut output),
        Err(error) => reply.fail(&error.to_string(), &mut output),
    };
    assert!(matches!(ended, UploadArchive::Finished));
    let mut rest = output.as_slice();
    while !rest.is_empty() {
        let line = pkt_line::decode(&mut rest).expect("our packets are well formed");
        assert!(matches!(line, Some(PktLine::Data(_) | PktLine::Flush)));
    }
    understood
}
