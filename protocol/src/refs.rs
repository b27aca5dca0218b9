//! The ref advertisement of protocol versions 0 and 1.
//!
//! Source: gitprotocol-pack(5), "Reference Discovery"; gitprotocol-capabilities(5).
//! Bounds: a line holds at most [`crate::pkt_line::MAX_DATA`] bytes; nothing is kept.
//! Invariant: the encoders are pure, so that an answer may be cached by (offer, transport, refs).
//! Not here: which refs a caller may see, and in what order; the order given is the order sent.

use gix_hash::oid;

use crate::{
    offer::{Offer, Transport},
    pkt_line::{self, Line, LineTooLong},
};

/// A ref as clients see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdvertisedRef<'a> {
    /// The full name, or `HEAD`.
    pub name: &'a [u8],
    /// What it points to; none for a `HEAD` whose branch is not born yet.
    pub id: Option<&'a oid>,
    /// What the tag it points to is a tag of, at the end of the chain.
    pub peeled: Option<&'a oid>,
    /// The ref it stands for, if symbolic.
    pub symref_target: Option<&'a [u8]>,
}

/// Appends what `git-upload-pack` advertises, flush included: `HEAD` should come first.
///
/// Unborn refs are left out. The `version 1` line and the `# service=` header are not part of it.
///
/// # Errors
/// When a ref does not fit into a line; the lines before it were appended.
pub fn encode_advertisement<'a>(
    offer: &Offer,
    transport: Transport,
    refs: impl IntoIterator<Item = AdvertisedRef<'a>>,
    output: &mut Vec<u8>,
) -> Result<(), LineTooLong> {
    let mut refs = refs.into_iter().filter_map(|each| Some((each.id?, each)));
    match refs.next() {
        Some((id, first)) => {
            let mut line = Line::begin(output);
            line.id(id);
            line.bytes(b" ");
            line.bytes(first.name);
            upload_capabilities(offer, transport, Some(first), &mut line);
            line.end()?;
            encode_peeled(first, output)?;
        }
        None => {
            let mut line = Line::begin(output);
            line.id(offer.object_format.null_ref());
            line.bytes(b" capabilities^{}");
            upload_capabilities(offer, transport, None, &mut line);
            line.end()?;
        }
    }
    for (id, each) in refs {
        encode_ref(id, each.name, output)?;
        encode_peeled(each, output)?;
    }
    pkt_line::write_flush(output);
    Ok(())
}

/// Appends what `git-receive-pack` advertises, flush included; `HEAD` and unborn refs are left out.
///
/// # Errors
/// When a ref does not fit into a line; the lines before it were appended.
pub fn encode_receive_advertisement<'a>(
    offer: &Offer,
    refs: impl IntoIterator<Item = AdvertisedRef<'a>>,
    output: &mut Vec<u8>,
) -> Result<(), LineTooLong> {
    let mut refs = refs
        .into_iter()
        .filter_map(|each| Some((each.id?, each.name)));
    let mut refs = refs.by_ref().filter(|(_, name)| *name != b"HEAD");
    let none = (
        offer.object_format.null_ref(),
        b"capabilities^{}".as_slice(),
    );
    let (id, name) = refs.next().unwrap_or(none);
    let mut line = Line::begin(output);
    line.id(id);
    line.bytes(b" ");
    line.bytes(name);
    receive_capabilities(offer, &mut line);
    line.end()?;
    for (id, name) in refs {
        encode_ref(id, name, output)?;
    }
    pkt_line::write_flush(output);
    Ok(())
}

fn encode_ref(id: &oid, name: &[u8], output: &mut Vec<u8>) -> Result<(), LineTooLong> {
    let mut line = Line::begin(output);
    line.id(id);
    line.bytes(b" ");
    line.bytes(name);
    line.bytes(b"\n");
    line.end()
}

fn encode_peeled(each: AdvertisedRef<'_>, output: &mut Vec<u8>) -> Result<(), LineTooLong> {
    let Some(peeled) = each.peeled else {
        return Ok(());
    };
    let mut line = Line::begin(output);
    line.id(peeled);
    line.bytes(b" ");
    line.bytes(each.name);
    line.bytes(b"^{}\n");
    line.end()
}

fn upload_capabilities(
    offer: &Offer,
    transport: Transport,
    first: Option<AdvertisedRef<'_>>,
    line: &mut Line<'_>,
) {
    line.bytes(
        b"\0multi_ack thin-pack side-band side-band-64k ofs-delta shallow deepen-since deepen-not \
          deepen-relative no-progress include-tag multi_ack_detailed",
    );
    if offer.allow_tip_sha1_in_want {
        line.bytes(b" allow-tip-sha1-in-want");
    }
    if offer.allow_reachable_sha1_in_want {
        line.bytes(b" allow-reachable-sha1-in-want");
    }
    if transport == Transport::Advertisement {
        // It saves a round trip, and over one stream there are none to save.
        line.bytes(b" no-done");
    }
    if let Some((first, target)) = first.and_then(|first| Some((first, first.symref_target?))) {
        line.bytes(b" symref=");
        line.bytes(first.name);
        line.bytes(b":");
        line.bytes(target);
    }
    if offer.filter {
        line.bytes(b" filter");
    }
    common_capabilities(offer, line);
}

fn receive_capabilities(offer: &Offer, line: &mut Line<'_>) {
    line.bytes(b"\0report-status report-status-v2 delete-refs side-band-64k quiet");
    if offer.atomic {
        line.bytes(b" atomic");
    }
    if offer.ofs_delta {
        line.bytes(b" ofs-delta");
    }
    if offer.push_options {
        line.bytes(b" push-options");
    }
    common_capabilities(offer, line);
}

fn common_capabilities(offer: &Offer, line: &mut Line<'_>) {
    if let Some(session_id) = offer.session_word() {
        line.bytes(b" session-id=");
        line.word(session_id);
    }
    line.bytes(b" object-format=");
    line.word(offer.object_format.to_string().bytes());
    line.bytes(b" agent=");
    line.word(offer.agent_word());
    line.bytes(b"\n");
}
