//! `$Format:…$` in files that ask for it.
//!
//! Source: gitattributes(5), "export-subst"; git-log(1), "PRETTY FORMATS".
//! Bounds: what is filled in is bounded by the commit for each placeholder of the file.
//! Invariant: a placeholder that is not known here stays as it stands, as git leaves what it does not
//! know.
//! Not here: which files ask (`attributes`).

use jiff::fmt::strtime;

use crate::git::browse::{CommitDetail, Signature};

const BEGIN: &[u8] = b"$Format:";

/// What placeholders are filled in from.
pub(super) struct Facts {
    pub(super) commit: CommitDetail,
    /// Digits that tell each id from all others, for the commit, its tree and its parents.
    pub(super) short: Vec<usize>,
    /// Names of refs that name the commit, as `git log --decorate` lists them.
    pub(super) refs: Vec<String>,
}

impl Facts {
    /// The text with everything filled in.
    pub(super) fn fill_in(&self, text: &[u8]) -> Vec<u8> {
        let mut filled = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(begin) = memchr::memmem::find(rest, BEGIN) {
            let format = &rest[begin + BEGIN.len()..];
            let Some(end) = memchr::memchr(b'$', format) else {
                break;
            };
            filled.extend_from_slice(&rest[..begin]);
            self.expand(&format[..end], &mut filled);
            rest = &format[end + 1..];
        }
        filled.extend_from_slice(rest);
        filled
    }

    fn expand(&self, mut format: &[u8], filled: &mut Vec<u8>) {
        while let Some(at) = memchr::memchr(b'%', format) {
            filled.extend_from_slice(&format[..at]);
            format = &format[at..];
            let used = self.placeholder(&format[1..], filled);
            if used == 0 {
                filled.push(b'%');
            }
            format = &format[1 + used..];
        }
        filled.extend_from_slice(format);
    }

    /// Fills in the placeholder and answers how many letters it has; none if it is not known.
    fn placeholder(&self, name: &[u8], filled: &mut Vec<u8>) -> usize {
        let commit = &self.commit;
        let put = |filled: &mut Vec<u8>, text: &str| filled.extend_from_slice(text.as_bytes());
        let short = |at: usize, id: &crate::model::ObjectId| {
            let digits = self.short.get(at).copied().unwrap_or(usize::MAX);
            let hex = id.to_string();
            hex[..digits.min(hex.len())].to_owned()
        };
        let parents = || commit.parents.iter();
        match name {
            [b'H', ..] => put(filled, &commit.id.to_string()),
            [b'h', ..] => put(filled, &short(0, &commit.id)),
            [b'T', ..] => put(filled, &commit.tree.to_string()),
            [b't', ..] => put(filled, &short(1, &commit.tree)),
            [b'P', ..] => {
                let all: Vec<_> = parents().map(ToString::to_string).collect();
                put(filled, &all.join(" "));
            }
            [b'p', ..] => {
                let all: Vec<_> = parents().zip(2..).map(|(id, at)| short(at, id)).collect();
                put(filled, &all.join(" "));
            }
            [b'n', ..] => filled.push(b'\n'),
            [b'%', ..] => filled.push(b'%'),
            [b'd', ..] if self.refs.is_empty() => {}
            [b'd', ..] => put(filled, &format!(" ({})", self.refs.join(", "))),
            [b'D', ..] => put(filled, &self.refs.join(", ")),
            [b's', ..] => filled.extend(subject(&commit.message)),
            [b'b', ..] => filled.extend_from_slice(body(&commit.message)),
            [b'B', ..] => filled.extend_from_slice(message(&commit.message)),
            [b'x', digits @ ..] if digits.len() >= 2 => {
                let byte = std::str::from_utf8(&digits[..2]).ok();
                let Some(byte) = byte.and_then(|hex| u8::from_str_radix(hex, 16).ok()) else {
                    return 0;
                };
                filled.push(byte);
                return 3;
            }
            [b'a', field, ..] => return person(&commit.author, *field, filled),
            [b'c', field, ..] => return person(&commit.committer, *field, filled),
            _ => return 0,
        }
        1
    }
}

/// Fills in what is asked of a person; answers the letters of the placeholder.
fn person(who: &Signature, field: u8, filled: &mut Vec<u8>) -> usize {
    let dated = |format: &str| {
        let offset = jiff::tz::Offset::from_seconds(who.offset_seconds).ok()?;
        let at = jiff::Timestamp::from_second(who.seconds).ok()?;
        let at = at.to_zoned(offset.to_time_zone());
        strtime::format(format, &at).ok()
    };
    let text = match field {
        b'n' | b'N' => {
            filled.extend_from_slice(&who.name);
            return 2;
        }
        b'e' | b'E' => {
            filled.extend_from_slice(&who.email);
            return 2;
        }
        b'l' | b'L' => {
            let local = who.email.split(|byte| *byte == b'@').next();
            filled.extend_from_slice(local.unwrap_or_default());
            return 2;
        }
        b't' => Some(who.seconds.to_string()),
        b'd' => dated("%a %b %-d %H:%M:%S %Y %z"),
        b'D' => dated("%a, %-d %b %Y %H:%M:%S %z"),
        b'i' => dated("%Y-%m-%d %H:%M:%S %z"),
        b'I' => dated("%Y-%m-%dT%H:%M:%S%:z").map(|text| match text.strip_suffix("+00:00") {
            Some(utc) => format!("{utc}Z"),
            None => text,
        }),
        b's' => dated("%Y-%m-%d"),
        _ => return 0,
    };
    filled.extend_from_slice(text.unwrap_or_default().as_bytes());
    2
}

/// The message without empty lines before it.
fn message(message: &[u8]) -> &[u8] {
    let begin = message.iter().position(|byte| *byte != b'\n');
    &message[begin.unwrap_or(message.len())..]
}

/// The first paragraph in one line.
fn subject(text: &[u8]) -> Vec<u8> {
    let lines = message(text).split(|byte| *byte == b'\n');
    let lines: Vec<_> = lines
        .map(<[u8]>::trim_ascii_end)
        .take_while(|line| !line.is_empty())
        .collect();
    lines.join(&b' ')
}

/// What comes after the first paragraph.
fn body(text: &[u8]) -> &[u8] {
    let text = message(text);
    match memchr::memmem::find(text, b"\n\n") {
        Some(end) => message(&text[end..]),
        None => b"",
    }
}
