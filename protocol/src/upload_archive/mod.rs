//! One `git-upload-archive` conversation: `git archive --remote`.
//!
//! Source: git-upload-archive(1); the dialogue itself is written down nowhere but in git: lines
//! `argument <word>` and a flush, `ACK` and a flush, then side bands and a flush.
//! Bounds: [`ARGUMENTS_MAX`] words, [`crate::Limits::request_bytes`].
//! Invariant: nothing is read after the request.
//! Not here: making the archive; it is asked for.

mod options;

pub use options::{ArchiveOptions, Format, OptionsError};

use crate::{
    error::{Bound, ProtocolError},
    input::{Input, Taken, push_bounded},
    offer::Limits,
    pkt_line::{self, PktLine},
    sideband::{Band, Sideband},
    text::Excerpt,
};

/// Words of a command line, as git itself bounds them.
pub const ARGUMENTS_MAX: usize = 64;

/// What has to happen next.
#[must_use]
#[derive(Debug)]
pub enum UploadArchive {
    /// Read from the client and call [`ArchiveNeedsInput::receive`].
    NeedsInput(ArchiveNeedsInput),
    /// The client asks for an archive, or for something that is none.
    Archive(Result<ArchiveOptions, OptionsError>, ArchiveReply),
    /// The conversation is over; hang up.
    Finished,
}

impl UploadArchive {
    /// Begins a conversation, in which the client speaks first.
    pub fn start(limits: &Limits) -> Self {
        Self::NeedsInput(ArchiveNeedsInput {
            input: Input::new(limits.request_bytes),
            arguments: Vec::new(),
        })
    }
}

/// The client is to speak.
#[must_use]
#[derive(Debug)]
pub struct ArchiveNeedsInput {
    input: Input,
    arguments: Vec<Vec<u8>>,
}

impl ArchiveNeedsInput {
    /// Takes what arrived; nothing means that the client hung up.
    ///
    /// # Errors
    /// When it is not what a client says here.
    pub fn receive(mut self, bytes: &[u8]) -> Result<UploadArchive, ProtocolError> {
        self.input.push(bytes);
        loop {
            let line = match self.input.take()? {
                Taken::Line(line) => line,
                Taken::Wait => return Ok(UploadArchive::NeedsInput(self)),
                Taken::End if self.arguments.is_empty() => return Ok(UploadArchive::Finished),
                Taken::End => return Err(ProtocolError::UnexpectedEnd),
            };
            match line {
                PktLine::Data(line) => {
                    let word = line
                        .strip_prefix(b"argument ")
                        .ok_or_else(|| ProtocolError::UnexpectedLine(Excerpt::of(line)))?
                        .to_vec();
                    let words = &mut self.arguments;
                    push_bounded(words, word, Bound::Arguments, ARGUMENTS_MAX)?;
                }
                PktLine::Flush => {
                    let options = ArchiveOptions::parse(&self.arguments);
                    return Ok(UploadArchive::Archive(options, ArchiveReply(())));
                }
                PktLine::Delimiter => return Err(ProtocolError::UnexpectedPacket("delimiter")),
                PktLine::ResponseEnd => {
                    return Err(ProtocolError::UnexpectedPacket("response end"));
                }
            }
        }
    }
}

/// The way to answer.
#[must_use]
#[derive(Debug)]
pub struct ArchiveReply(());

impl ArchiveReply {
    /// How the answer is framed.
    pub const SIDEBAND: Sideband = Sideband::Large;

    /// Appends that the request was understood; everything else comes after it.
    pub fn accept(&self, output: &mut Vec<u8>) {
        output.extend_from_slice(b"0008ACK\n0000");
    }

    /// Appends a part of the archive, framed.
    pub fn chunk(&self, bytes: &[u8], output: &mut Vec<u8>) {
        Self::SIDEBAND.write(Band::Data, bytes, output);
    }

    /// Appends text for the user's terminal.
    pub fn progress(&self, text: &str, output: &mut Vec<u8>) {
        Self::SIDEBAND.write_progress(text, output);
    }

    /// Appends a packet without content, to keep a connection alive while nothing else is said.
    pub fn keepalive(&self, output: &mut Vec<u8>) {
        if let Some(header) = Self::SIDEBAND.data_header(0) {
            output.extend_from_slice(&header);
        }
    }

    /// Appends why there is no archive, or why it ends here.
    pub fn fail(self, message: &str, output: &mut Vec<u8>) -> UploadArchive {
        Self::SIDEBAND.write_failure(message, output);
        UploadArchive::Finished
    }

    /// All of the archive was sent.
    pub fn finish(self, output: &mut Vec<u8>) -> UploadArchive {
        pkt_line::write_flush(output);
        UploadArchive::Finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(words: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in words {
            pkt_line::write_data(word.as_bytes(), &mut bytes).unwrap();
        }
        bytes
    }

    fn received(bytes: &[u8]) -> Result<UploadArchive, ProtocolError> {
        let mut state = UploadArchive::start(&Limits::default());
        for byte in bytes {
            state = match state {
                UploadArchive::NeedsInput(wait) => wait.receive(&[*byte])?,
                other => return Ok(other),
            };
        }
        Ok(state)
    }

    #[test]
    fn a_request_is_read_byte_by_byte_and_answered() {
        let mut request = lines(&["argument --format=zip\n", "argument HEAD\n"]);
        pkt_line::write_flush(&mut request);
        let Ok(UploadArchive::Archive(Ok(options), reply)) = received(&request) else {
            panic!("no archive");
        };
        assert_eq!(options.format, Format::Zip);
        assert_eq!(options.tree.as_deref(), Some(b"HEAD".as_slice()));
        let mut output = Vec::new();
        reply.accept(&mut output);
        reply.progress("x\n", &mut output);
        reply.chunk(b"PK", &mut output);
        let finished = reply.finish(&mut output);
        assert!(matches!(finished, UploadArchive::Finished));
        assert_eq!(output, b"0008ACK\n00000007\x02x\n0007\x01PK0000");
    }

    #[test]
    fn what_is_no_request_ends_the_conversation() {
        for (line, message) in [
            ("want", "protocol error: unexpected line 'want'"),
            ("argument", "protocol error: unexpected line 'argument'"),
        ] {
            let error = received(&lines(&[line])).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        let most = vec!["argument x"; ARGUMENTS_MAX];
        assert!(received(&lines(&most)).is_ok());
        let more = vec!["argument x"; ARGUMENTS_MAX + 1];
        assert_eq!(
            received(&lines(&more)).unwrap_err().to_string(),
            "too many arguments, at most 64 allowed"
        );
        let cut = UploadArchive::start(&Limits::default());
        let UploadArchive::NeedsInput(wait) = cut else {
            panic!("the client speaks first");
        };
        assert!(matches!(wait.receive(b""), Ok(UploadArchive::Finished)));
    }
}
