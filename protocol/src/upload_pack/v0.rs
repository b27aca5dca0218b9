//! The lines of a client that speaks version 0 or 1.
//!
//! Source: gitprotocol-pack(5), "Packfile Negotiation"; gitprotocol-capabilities(5).
//! Bounds: [`crate::Limits`], over the whole conversation.
//! Invariant: a capability that was not offered changes nothing.
//! Not here: acknowledgements (`negotiate`).

use super::{
    Step,
    fetch::{Fetch, MultiAck},
};
use crate::{
    error::ProtocolError, offer::Offer, pkt_line::PktLine, sideband::Sideband, text::Excerpt,
};

/// Wants, shallow boundary, depth and filter, up to a flush.
pub(super) fn take_need(
    line: PktLine<'_>,
    fetch: &mut Fetch,
    offer: &Offer,
) -> Result<Step, ProtocolError> {
    let data = match line {
        PktLine::Data(data) => data,
        PktLine::Flush if fetch.wants.is_empty() => return Ok(Step::Finished),
        PktLine::Flush => return Ok(Step::Wants),
        PktLine::Delimiter => return Err(ProtocolError::UnexpectedPacket("delimiter")),
        PktLine::ResponseEnd => return Err(ProtocolError::UnexpectedPacket("response end")),
    };
    fetch.begun = true;
    if let Some(want) = data.strip_prefix(b"want ") {
        let digits = offer.object_format.len_in_hex();
        let (hex, capabilities) = want.split_at_checked(digits).unwrap_or((want, b""));
        if !capabilities.is_empty() {
            take_capabilities(capabilities, fetch, offer)?;
        }
        fetch.want(hex, offer)?;
    } else if !fetch.take_shared(data, offer)? {
        return Err(ProtocolError::UnexpectedLine(Excerpt::of(data)));
    }
    Ok(Step::More)
}

/// Haves up to a flush or `done`.
pub(super) fn take_have(
    line: PktLine<'_>,
    fetch: &mut Fetch,
    offer: &Offer,
) -> Result<Step, ProtocolError> {
    match line {
        PktLine::Flush => Ok(Step::Haves),
        PktLine::Data(b"done") => {
            fetch.done = true;
            Ok(Step::Haves)
        }
        PktLine::Data(data) => {
            let hex = data.strip_prefix(b"have ");
            fetch.have(
                hex.ok_or_else(|| ProtocolError::UnexpectedLine(Excerpt::of(data)))?,
                offer,
            )?;
            Ok(Step::More)
        }
        PktLine::Delimiter => Err(ProtocolError::UnexpectedPacket("delimiter")),
        PktLine::ResponseEnd => Err(ProtocolError::UnexpectedPacket("response end")),
    }
}

fn take_capabilities(list: &[u8], fetch: &mut Fetch, offer: &Offer) -> Result<(), ProtocolError> {
    for word in list.split(|&byte| byte == b' ') {
        match word {
            b"multi_ack_detailed" => fetch.multi_ack = MultiAck::Detailed,
            b"multi_ack" => fetch.multi_ack = fetch.multi_ack.max(MultiAck::Continue),
            b"no-done" => fetch.no_done = true,
            b"thin-pack" => fetch.thin_pack = true,
            b"ofs-delta" => fetch.ofs_delta = true,
            b"include-tag" => fetch.include_tag = true,
            b"no-progress" => fetch.no_progress = true,
            b"deepen-relative" => fetch.deepen_relative(),
            b"filter" => fetch.filter_negotiated = offer.filter,
            b"side-band-64k" => fetch.sideband = Sideband::Large,
            b"side-band" if fetch.sideband == Sideband::None => fetch.sideband = Sideband::Small,
            _ => {
                if let Some(format) = word.strip_prefix(b"object-format=") {
                    // git names its hash when it pushes, and when it fetches relies on what was advertised.
                    offer.same_object_format(format)?;
                } else if let Some(agent) = word.strip_prefix(b"agent=") {
                    fetch.agent = Some(agent.to_vec());
                }
            }
        }
    }
    Ok(())
}
