//! pkt-line framing: four hex digits of length, then that many bytes less four.
//!
//! Source: gitprotocol-common(5), "pkt-line Format"; gitprotocol-v2(5), "Packet-Line Framing".
//! Bounds: at most [`MAX_DATA`] payload bytes in a line; no buffer here grows beyond that.
//! Invariant: [`decode`] takes one whole line or nothing, so input may be cut anywhere.
//! Not here: sideband channels (`sideband`) and the meaning of a line (`upload_pack`, `receive_pack`).

use gix_hash::oid;
use gix_packetline::{PacketLineRef, decode::Stream};

/// Payload bytes that fit into one line.
pub const MAX_DATA: usize = 65_516;

/// Bytes of the length field.
const PREFIX: usize = 4;

/// One line of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PktLine<'a> {
    /// A payload, possibly empty.
    Data(&'a [u8]),
    /// `0000`: the end of a message.
    Flush,
    /// `0001`: the end of a section.
    Delimiter,
    /// `0002`: the end of a response, between a helper and its git.
    ResponseEnd,
}

/// Why bytes are not a pkt-line. Each variant is the peer's fault and ends the conversation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PktLineError {
    /// The length field holds something other than four hex digits.
    #[error("pkt-line length '{}' is not four hex digits", .0.escape_ascii())]
    LengthNotHex([u8; 4]),
    /// The length is 3, shorter than the field itself and without a meaning.
    #[error("pkt-line length 0003 has no meaning")]
    Reserved,
    /// The line announces this many payload bytes, more than [`MAX_DATA`]; none of them were read.
    #[error("pkt-line of {0} bytes, at most {MAX_DATA} allowed")]
    TooLong(usize),
}

/// What this side wanted to send has this many bytes, more than [`MAX_DATA`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an answer of {0} bytes does not fit into a pkt-line")]
pub struct LineTooLong(pub usize);

/// Takes the first line off `input`, or nothing while it is not there as a whole.
///
/// # Errors
/// When the length field is bad; `input` is left as it was.
pub fn decode<'a>(input: &mut &'a [u8]) -> Result<Option<PktLine<'a>>, PktLineError> {
    if let Some(rest) = input.strip_prefix(b"0004") {
        *input = rest;
        return Ok(Some(PktLine::Data(&[])));
    }
    match gix_packetline::decode::streaming(input) {
        Ok(Stream::Incomplete { .. }) => Ok(None),
        Ok(Stream::Complete {
            line,
            bytes_consumed,
        }) => {
            *input = input.get(bytes_consumed..).unwrap_or_default();
            Ok(Some(match line {
                PacketLineRef::Data(data) => PktLine::Data(data),
                PacketLineRef::Flush => PktLine::Flush,
                PacketLineRef::Delimiter => PktLine::Delimiter,
                PacketLineRef::ResponseEnd => PktLine::ResponseEnd,
            }))
        }
        Err(_) => Err(why_not(input.first_chunk().copied().unwrap_or_default())),
    }
}

/// Names what is wrong with a length field that the decoder refused.
fn why_not(prefix: [u8; PREFIX]) -> PktLineError {
    let mut digits = prefix.iter().map(|&byte| char::from(byte).to_digit(16));
    match digits.try_fold(0_usize, |sum, digit| Some(sum * 16 + digit? as usize)) {
        None => PktLineError::LengthNotHex(prefix),
        Some(total) if total > PREFIX + MAX_DATA => PktLineError::TooLong(total - PREFIX),
        Some(_) => PktLineError::Reserved,
    }
}

/// Appends `0000`.
pub fn write_flush(output: &mut Vec<u8>) {
    output.extend_from_slice(b"0000");
}

/// Appends `0001`.
pub fn write_delimiter(output: &mut Vec<u8>) {
    output.extend_from_slice(b"0001");
}

/// Appends `data` as one line.
///
/// # Errors
/// When it does not fit; `output` is left as it was.
pub fn write_data(data: &[u8], output: &mut Vec<u8>) -> Result<(), LineTooLong> {
    let mut line = Line::begin(output);
    line.bytes(data);
    line.end()
}

/// The four digits of a packet that is `total` bytes long, prefix included; `total` is below 65,536.
pub(crate) const fn length_digits(total: usize) -> [u8; 4] {
    [
        hex_digit(total >> 12),
        hex_digit(total >> 8),
        hex_digit(total >> 4),
        hex_digit(total),
    ]
}

const fn hex_digit(value: usize) -> u8 {
    let [low, ..] = value.to_le_bytes();
    let nibble = low & 15;
    if nibble < 10 {
        b'0' + nibble
    } else {
        b'a' + nibble - 10
    }
}

/// A line being written piece by piece at the end of a buffer, without one of its own.
pub(crate) struct Line<'a> {
    output: &'a mut Vec<u8>,
    begin: usize,
}

impl<'a> Line<'a> {
    pub(crate) fn begin(output: &'a mut Vec<u8>) -> Self {
        let begin = output.len();
        output.extend_from_slice(b"0000");
        Self { output, begin }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    pub(crate) fn word(&mut self, bytes: impl Iterator<Item = u8>) {
        self.output.extend(bytes);
    }

    pub(crate) fn id(&mut self, id: &oid) {
        let at = self.output.len();
        self.output.resize(at + id.kind().len_in_hex(), 0);
        if let Some(hex) = self.output.get_mut(at..) {
            let written = id.hex_to_buf(hex).len();
            debug_assert_eq!(written, id.kind().len_in_hex());
        }
    }

    /// Sets the length.
    ///
    /// # Errors
    /// When the line became too long; it is removed.
    pub(crate) fn end(self) -> Result<(), LineTooLong> {
        let total = self.output.len() - self.begin;
        if total > PREFIX + MAX_DATA {
            self.output.truncate(self.begin);
            return Err(LineTooLong(total - PREFIX));
        }
        self.set_length(total);
        Ok(())
    }

    /// Sets the length, and cuts what does not fit.
    pub(crate) fn end_cut(self) {
        let total = (self.output.len() - self.begin).min(PREFIX + MAX_DATA);
        self.output.truncate(self.begin + total);
        self.set_length(total);
    }

    fn set_length(self, total: usize) {
        if let Some(prefix) = self.output.get_mut(self.begin..self.begin + PREFIX) {
            prefix.copy_from_slice(&length_digits(total));
        }
    }
}

/// Hex digits of the longest hash.
pub(crate) const MAX_HEX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wire: &str, expected: Result<Option<PktLine<'_>>, PktLineError>) {
        assert_eq!(decode(&mut wire.as_bytes()), expected, "decoding {wire:?}");
    }

    #[test]
    fn each_kind_of_line_is_told_apart() {
        check("0000", Ok(Some(PktLine::Flush)));
        check("0001", Ok(Some(PktLine::Delimiter)));
        check("0002", Ok(Some(PktLine::ResponseEnd)));
        check("0004", Ok(Some(PktLine::Data(b""))));
        check("0006a\n", Ok(Some(PktLine::Data(b"a\n"))));
        check("000aABCDEFrest", Ok(Some(PktLine::Data(b"ABCDEF"))));
        check("000AABCDEF", Ok(Some(PktLine::Data(b"ABCDEF"))));
    }

    #[test]
    fn a_line_that_is_not_there_yet_takes_nothing() {
        for wire in ["", "0", "000", "0005", "0009done", "fff0abc"] {
            let mut input = wire.as_bytes();
            assert_eq!(decode(&mut input), Ok(None), "{wire}");
            assert_eq!(input, wire.as_bytes());
        }
    }

    #[test]
    fn a_bad_length_is_refused_before_its_payload_arrives() {
        check("+00a", Err(PktLineError::LengthNotHex(*b"+00a"))); // from_str_radix would take this
        check("000g", Err(PktLineError::LengthNotHex(*b"000g")));
        check("GET /", Err(PktLineError::LengthNotHex(*b"GET ")));
        check("0003", Err(PktLineError::Reserved));
        check("fff1", Err(PktLineError::TooLong(65_517)));
        check("ffff", Err(PktLineError::TooLong(65_531)));
    }

    #[test]
    fn the_longest_line_passes_both_ways_and_one_byte_more_does_not() {
        let longest = vec![b'x'; MAX_DATA];
        let mut wire = Vec::new();
        write_data(&longest, &mut wire).unwrap();
        assert!(wire.starts_with(b"fff0x"));
        let mut input = wire.as_slice();
        assert_eq!(decode(&mut input), Ok(Some(PktLine::Data(&longest))));
        assert!(input.is_empty());

        let mut untouched = b"before".to_vec();
        let too_long = vec![b'x'; MAX_DATA + 1];
        assert_eq!(
            write_data(&too_long, &mut untouched),
            Err(LineTooLong(MAX_DATA + 1))
        );
        assert_eq!(untouched, b"before");
    }

    #[test]
    fn a_cut_line_still_has_the_right_length() {
        let mut wire = Vec::new();
        let mut line = Line::begin(&mut wire);
        line.bytes(&vec![b'x'; MAX_DATA + 100]);
        line.end_cut();
        assert_eq!(wire.len(), MAX_DATA + 4);
        assert!(wire.starts_with(b"fff0"));
    }
}
