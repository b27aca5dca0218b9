//! Side bands: data, progress and errors multiplexed over one stream of pkt-lines.
//!
//! Source: gitprotocol-capabilities(5), "side-band, side-band-64k"; gitprotocol-pack(5), "Packfile Data".
//! Bounds: 995 data bytes a packet for `side-band`, 65,515 for `side-band-64k`.
//! Invariant: without a side band only data is sent; progress vanishes, errors become `ERR`.
//! Not here: what is sent, and when.

use crate::{error::write_error, pkt_line, text};

/// How the answer is multiplexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sideband {
    /// Not at all: raw bytes.
    None,
    /// `side-band`: packets of at most 1,000 bytes.
    Small,
    /// `side-band-64k`: packets of at most 65,520 bytes.
    Large,
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Band {
    /// The pack or the report.
    Data,
    /// Text for the user's terminal.
    Progress,
    /// The reason why nothing else will follow.
    Error,
}

impl Band {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Progress => 2,
            Self::Error => 3,
        }
    }
}

/// Bytes before the data: four digits and the band.
const HEADER: usize = 5;

impl Sideband {
    /// Data bytes that fit into one packet; [`usize::MAX`] without packets.
    pub const fn chunk_max(self) -> usize {
        match self {
            Self::None => usize::MAX,
            Self::Small => 1_000 - HEADER,
            Self::Large => 65_520 - HEADER,
        }
    }

    /// What goes before `length` bytes of pack, at most [`Self::chunk_max`]; nothing without a side band.
    ///
    /// It lets a caller send the bytes from where they lie.
    ///
    /// # Panics
    /// When `length` is more than fits.
    pub const fn data_header(self, length: usize) -> Option<[u8; HEADER]> {
        if matches!(self, Self::None) {
            return None;
        }
        assert!(
            length <= self.chunk_max(),
            "the data does not fit into one packet"
        );
        let [a, b, c, d] = pkt_line::length_digits(HEADER + length);
        Some([a, b, c, d, Band::Data.number()])
    }

    /// Appends `data` of any length, in as many packets as it takes.
    pub fn write(self, band: Band, data: &[u8], output: &mut Vec<u8>) {
        if self == Self::None {
            if band == Band::Data {
                output.extend_from_slice(data);
            }
            return;
        }
        for chunk in data.chunks(self.chunk_max()) {
            output.extend_from_slice(&pkt_line::length_digits(HEADER + chunk.len()));
            output.push(band.number());
            output.extend_from_slice(chunk);
        }
    }

    /// Appends a text for the user's terminal, if there is a way to send one.
    pub(crate) fn write_progress(self, progress: &str, output: &mut Vec<u8>) {
        self.write(Band::Progress, text::lines(progress).as_bytes(), output);
    }

    /// Appends the last words of a conversation.
    pub(crate) fn write_failure(self, message: &str, output: &mut Vec<u8>) {
        if self == Self::None {
            write_error(message, output);
        } else {
            let mut message = text::one_line(message);
            message.push('\n');
            self.write(Band::Error, message.as_bytes(), output);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(sideband: Sideband, length: usize) -> Vec<usize> {
        let mut wire = Vec::new();
        sideband.write(Band::Data, &vec![7; length], &mut wire);
        let mut input = wire.as_slice();
        let mut sizes = Vec::new();
        while let Some(pkt_line::PktLine::Data(data)) = pkt_line::decode(&mut input).unwrap() {
            assert_eq!(data.first(), Some(&1));
            assert_eq!(sideband.data_header(data.len() - 1).unwrap()[..4], {
                pkt_line::length_digits(data.len() + 4)
            });
            sizes.push(data.len() - 1);
        }
        assert!(input.is_empty());
        sizes
    }

    #[test]
    fn data_is_cut_at_the_bound_of_its_side_band() {
        assert_eq!(packets(Sideband::Small, 995), [995]);
        assert_eq!(packets(Sideband::Small, 996), [995, 1]);
        assert_eq!(packets(Sideband::Large, 65_515), [65_515]);
        assert_eq!(packets(Sideband::Large, 65_516), [65_515, 1]);
        assert_eq!(packets(Sideband::Large, 0), []);
    }

    #[test]
    fn without_a_side_band_only_data_passes() {
        let mut wire = Vec::new();
        Sideband::None.write(Band::Data, b"PACK", &mut wire);
        Sideband::None.write_progress("half way\n", &mut wire);
        assert_eq!(wire, b"PACK");
        assert_eq!(Sideband::None.data_header(70_000), None);
        Sideband::None.write_failure("broken", &mut wire);
        assert_eq!(wire, b"PACK000eERR broken");
    }

    #[test]
    fn progress_and_failure_have_bands_of_their_own() {
        let mut wire = Vec::new();
        Sideband::Small.write_progress("half\r", &mut wire);
        Sideband::Large.write_failure("no\x1bgood", &mut wire);
        assert_eq!(wire, b"000a\x02half\r000d\x03no?good\n");
    }
}
