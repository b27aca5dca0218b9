//! A caller that answers whatever the crate asks, and checks that cutting the input changes nothing.
//!
//! Source: the questions of `UploadPack` and `ReceivePack`.
//! Bounds: as many steps as the input has lines and questions.
//! Invariant: the same answers whether the bytes come at once or in two pieces; no packet of ours is malformed.
//! Not here: what answers mean; they depend on the ids alone.

use std::sync::Arc;

use gix_hash::{Kind, ObjectId};
use packhorse_protocol::{
    AdvertisedRef, Limits, Offer, ProtocolError, Transport, UploadPack, Version,
    pkt_line::{self, PktLine},
};

/// The first byte says how the input is cut and spoken, the rest is spoken.
pub fn upload_pack(version: Version, data: &[u8]) {
    let Some((&how, input)) = data.split_first() else {
        return;
    };
    let transport = if how & 1 == 0 {
        Transport::Stateful
    } else {
        Transport::Stateless
    };
    let mut offer = Offer::new(Kind::Sha1, "fuzz");
    offer.sideband_all = how & 2 == 0;
    offer.limits = Limits {
        wants: 20,
        haves: 20,
        shallows: 20,
        ref_prefixes: 20,
        ..Limits::default()
    };
    let offer = Arc::new(offer);
    let cut = usize::from(how >> 2).min(input.len());
    let (first, second) = input.split_at(cut);
    let whole = answers(version, transport, &offer, &[input, b""]);
    assert_eq!(
        whole,
        answers(version, transport, &offer, &[first, second, b""])
    );
    let raw_pack = b"raw pack".as_slice();
    let mut rest = whole.as_slice();
    while !rest.is_empty() && rest != raw_pack {
        match pkt_line::decode(&mut rest).expect("our packets are well formed") {
            Some(PktLine::Data(line)) => {
                assert!(!line.starts_with(b"ERR ") || !line.iter().any(u8::is_ascii_control))
            }
            Some(PktLine::Flush | PktLine::Delimiter) => {}
            Some(PktLine::ResponseEnd) | None => {
                panic!("a packet of ours is cut short or none that a server sends")
            }
        }
    }
}

fn answers(
    version: Version,
    transport: Transport,
    offer: &Arc<Offer>,
    pieces: &[&[u8]],
) -> Vec<u8> {
    let mut output = Vec::new();
    let mut state = UploadPack::start(version, transport, Arc::clone(offer), &mut output);
    // An empty piece in the middle would mean that the client hung up.
    let mut pieces = pieces
        .iter()
        .enumerate()
        .filter(|(n, piece)| !piece.is_empty() || n + 1 == pieces.len());
    loop {
        state = match step(
            state,
            &mut || pieces.next().map(|(_, piece)| *piece),
            &mut output,
        ) {
            Ok(Some(next)) => next,
            Ok(None) => return output,
            Err(error) => {
                error.write_to(&mut output);
                return output;
            }
        };
    }
}

fn step<'a>(
    state: UploadPack,
    read: &mut dyn FnMut() -> Option<&'a [u8]>,
    output: &mut Vec<u8>,
) -> Result<Option<UploadPack>, ProtocolError> {
    let id = Kind::Sha1.null();
    let known = |id: &ObjectId| id.first_byte() & 1 == 0;
    let head = AdvertisedRef {
        name: b"HEAD",
        id: Some(&id),
        peeled: None,
        symref_target: Some(b"refs/heads/main"),
    };
    Ok(Some(match state {
        UploadPack::Finished => return Ok(None),
        UploadPack::NeedsInput(wait) => match read() {
            Some(bytes) => wait.receive(bytes)?,
            None => return Ok(None),
        },
        UploadPack::Advertise(reply) => reply.send([head], output)?,
        UploadPack::LsRefs(asked, reply) => reply.send(&asked, [head], output)?,
        UploadPack::ObjectInfo(asked, reply) => {
            let sizes = asked.ids.iter().map(|id| known(id).then_some(7));
            reply.send(&asked, sizes, output)?
        }
        UploadPack::Wants(asked, reply) => {
            assert!(asked.ids.len() + asked.refs.len() <= 20);
            match asked.ids.first() {
                Some(first) if first.first_byte() == 7 => reply.refuse_id(first, output),
                _ => reply.accept(
                    asked.refs.into_iter().map(|name| (name, id)).collect(),
                    output,
                )?,
            }
        }
        UploadPack::Deepen(asked, reply) => {
            assert!(asked.shallows.len() <= 20);
            reply.send(vec![id], asked.shallows.to_vec(), output)?
        }
        UploadPack::Negotiate(asked, reply) => {
            assert!(asked.haves.len() <= 20);
            let common: Vec<ObjectId> = asked.haves.iter().copied().filter(known).collect();
            let ready = common.len() > 1;
            reply.answer(&common, ready, output)?
        }
        UploadPack::Pack(_, reply) => {
            reply.progress("progress\n", output);
            reply.chunk(b"raw pack", output);
            reply.finish(output)?
        }
    }))
}
