//! A CGI's answer: headers, an empty line, the body.
//!
//! Source: RFC 3875, section 6; the headers are those of git-http-backend(1).
//! Invariant: headers are sent once, before the first byte of the body.

use std::{
    io::{self, Write},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How long an answer stays true.
#[derive(Debug, Clone, Copy)]
pub(super) enum Caching {
    Never,
    Forever,
}

pub(super) struct Response<W> {
    output: W,
    headers: Vec<u8>,
    begun: bool,
}

impl<W: Write> Response<W> {
    pub(super) fn new(output: W) -> Self {
        Self {
            output,
            headers: Vec::new(),
            begun: false,
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    pub(super) fn header(&mut self, name: &str, value: &str) {
        self.headers
            .extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }

    pub(super) fn caching(&mut self, caching: Caching) {
        /// A year.
        const FOREVER: Duration = Duration::from_secs(31_536_000);
        match caching {
            Caching::Never => {
                self.header("Expires", "Fri, 01 Jan 1980 00:00:00 GMT");
                self.header("Pragma", "no-cache");
                self.header("Cache-Control", "no-cache, max-age=0, must-revalidate");
            }
            Caching::Forever => {
                let now = SystemTime::now();
                self.header("Date", &date(now));
                self.header("Expires", &date(now + FOREVER));
                self.header(
                    "Cache-Control",
                    &format!("public, max-age={}", FOREVER.as_secs()),
                );
            }
        }
    }

    pub(super) fn end_headers(&mut self) -> io::Result<()> {
        self.begun = true;
        self.headers.extend_from_slice(b"\r\n");
        self.output.write_all(&std::mem::take(&mut self.headers))
    }

    /// An answer that is none; what was said of another answer is forgotten, but for `Allow`.
    pub(super) fn refuse(&mut self, status: &str, body: &[u8]) -> io::Result<()> {
        let allow = std::mem::take(&mut self.headers);
        self.header("Status", status);
        if allow.starts_with(b"Allow: ") {
            self.headers.extend_from_slice(&allow);
        }
        self.caching(Caching::Never);
        self.end_headers()?;
        self.output.write_all(body)?;
        self.output.flush()
    }
}

impl<W: Write> Write for Response<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// As RFC 2822 writes it, in UTC.
pub(super) fn date(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    time.strftime("%a, %-d %b %Y %H:%M:%S +0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_git_writes_them() {
        let time = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(date(time), "Tue, 14 Nov 2023 22:13:20 +0000");
    }
}
