//! The commands of a push.
//!
//! Source: gitprotocol-pack(5), "Reference Update Request".
//! Bounds: the default limits.
//! Invariant: no name that could break a report gets through, and cutting the input changes nothing.
//! Not here: the pack.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use packhorse_protocol::{
    Offer, ProtocolError, ReceivePack, Transport, Version,
    receive_pack::{CommandStatus, Outcome, PushRequest},
};

fuzz_target!(|data: &[u8]| {
    let Some((&cut, input)) = data.split_first() else {
        return;
    };
    let (first, second) = input.split_at(usize::from(cut).min(input.len()));
    let whole = request([input].into_iter());
    let pieces = request(
        [first, second]
            .into_iter()
            .filter(|piece| !piece.is_empty()),
    );
    assert_eq!(whole, pieces);
    for command in whole
        .ok()
        .flatten()
        .into_iter()
        .flat_map(|request| request.commands)
    {
        assert!(
            command
                .name
                .iter()
                .all(|byte| !byte.is_ascii_control() && *byte != b' ')
        );
    }
});

fn request<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Result<Option<PushRequest>, ProtocolError> {
    let offer = Arc::new(Offer::new(gix_hash::Kind::Sha1, "fuzz"));
    let mut state = ReceivePack::start(Version::V0, Transport::Stateless, offer, &mut Vec::new());
    for piece in pieces {
        if piece.is_empty() {
            continue;
        }
        let ReceivePack::NeedsInput(wait) = state else {
            break;
        };
        state = wait.receive(piece)?;
    }
    let ReceivePack::Receive(request, reply) = state else {
        return Ok(None);
    };
    let statuses = request.commands.iter().map(|each| CommandStatus {
        name: &each.name,
        outcome: Outcome::Done,
    });
    assert!(matches!(
        reply.report(Ok(()), statuses, &mut Vec::new()),
        ReceivePack::Finished
    ));
    Ok(Some(request))
}
