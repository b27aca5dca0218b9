//! The asking side of a fetch: what a client sends, and how it reads what the server answers.
//!
//! Only version 2, in which a fetch over HTTP takes three answers: what the server can do, its refs, and
//! the pack. All haves are told at once with `done`, so that nothing is negotiated.
//!
//! Source: gitprotocol-v2(5), "Capability Advertisement", "ls-refs", "fetch"; gitprotocol-http(5).
//! Bounds: the first two answers are read whole, so whoever reads them bounds their bytes; a name has at
//! most [`NAME_MAX`] bytes.
//! Invariant: a pack is handed on only from within its section; an answer that ends early is an error.
//! Not here: which refs are wanted, connections, and what is in the pack.

use gix_hash::{Kind, ObjectId};

use crate::{
    pkt_line::{self, PktLine, PktLineError},
    text::Excerpt,
};

/// Longest name of a ref, in bytes.
pub const NAME_MAX: usize = 4096;

/// Why an answer is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The bytes are not pkt-lines.
    #[error("protocol error: {0}")]
    PktLine(#[from] PktLineError),
    /// The server said why not.
    #[error("the server says: {0}")]
    Told(Excerpt),
    /// It does not speak version 2, or not what we need of it.
    #[error("the server does not offer {0}")]
    NotOffered(&'static str),
    /// Its objects are named by another hash.
    #[error("the server's objects are named by another hash")]
    ObjectFormat,
    /// Its own history is cut.
    #[error("the server's history is cut")]
    Shallow,
    /// A line means nothing where it stands.
    #[error("unexpected line: {0}")]
    Line(Excerpt),
    /// It ends before it is complete.
    #[error("the answer ends early")]
    UnexpectedEnd,
}

/// A ref as the server shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteRef {
    /// Full name, or `HEAD`.
    pub name: Vec<u8>,
    /// The object it names.
    pub id: ObjectId,
    /// What an annotated tag finally names.
    pub peeled: Option<ObjectId>,
    /// The ref that this one stands for.
    pub symref_target: Option<Vec<u8>>,
}

/// Reads the answer to `info/refs`, and makes sure that the server can be fetched from.
///
/// # Errors
/// When it can't, or is no Git server.
pub fn read_capabilities(mut answer: &[u8], format: Kind) -> Result<(), AnswerError> {
    let mut first = next_line(&mut answer)?;
    if first.is_some_and(|line| line.starts_with(b"# service=")) {
        // Servers may send the service's name and a flush before it.
        match pkt_line::decode(&mut answer)? {
            Some(PktLine::Flush) => first = next_line(&mut answer)?,
            _ => return Err(AnswerError::UnexpectedEnd),
        }
    }
    if first != Some(b"version 2") {
        return Err(AnswerError::NotOffered("version 2 of the protocol"));
    }
    let (mut refs, mut fetch, mut offered) = (false, false, Kind::Sha1);
    while let Some(line) = next_line(&mut answer)? {
        let (name, value) = match line.iter().position(|byte| *byte == b'=') {
            Some(at) => (
                line.get(..at).unwrap_or_default(),
                line.get(at + 1..).unwrap_or_default(),
            ),
            None => (line, &b""[..]),
        };
        match (name, value) {
            (b"ls-refs", _) => refs = true,
            (b"fetch", _) => fetch = true,
            (b"object-format", b"sha256") => offered = Kind::Sha256,
            (b"object-format", b"sha1") => offered = Kind::Sha1,
            (b"object-format", _) => return Err(AnswerError::ObjectFormat),
            _ => {}
        }
    }
    match (refs, fetch) {
        (false, _) => Err(AnswerError::NotOffered("ls-refs")),
        (_, false) => Err(AnswerError::NotOffered("fetch")),
        _ if offered != format => Err(AnswerError::ObjectFormat),
        _ => Ok(()),
    }
}

/// Asks for the refs whose names begin with one of these.
pub fn refs_request(format: Kind, agent: &str, prefixes: &[&str]) -> Vec<u8> {
    let mut output = Vec::new();
    command("ls-refs", format, agent, &mut output);
    write(b"peel\n", &mut output);
    write(b"symrefs\n", &mut output);
    for prefix in prefixes {
        write(format!("ref-prefix {prefix}\n").as_bytes(), &mut output);
    }
    pkt_line::write_flush(&mut output);
    output
}

/// Reads the answer to [`refs_request`].
///
/// # Errors
/// When it is none.
pub fn read_refs(mut answer: &[u8], format: Kind) -> Result<Vec<RemoteRef>, AnswerError> {
    let mut refs = Vec::new();
    while let Some(line) = next_line(&mut answer)? {
        if line.starts_with(b"unborn ") {
            continue;
        }
        let unexpected = || AnswerError::Line(Excerpt::of(line));
        refs.push(remote_ref(line, format).ok_or_else(unexpected)?);
    }
    Ok(refs)
}

fn remote_ref(line: &[u8], format: Kind) -> Option<RemoteRef> {
    let id = |hex: &[u8]| {
        let id = ObjectId::from_hex(hex).ok()?;
        (id.kind() == format && !id.is_null()).then_some(id)
    };
    let mut words = line.split(|byte| *byte == b' ');
    let id_word = id(words.next()?)?;
    let name = words.next()?;
    if name.is_empty() || name.len() > NAME_MAX {
        return None;
    }
    let mut found = RemoteRef {
        name: name.to_vec(),
        id: id_word,
        peeled: None,
        symref_target: None,
    };
    for word in words {
        if let Some(hex) = word.strip_prefix(b"peeled:") {
            found.peeled = Some(id(hex)?);
        } else if let Some(target) = word.strip_prefix(b"symref-target:") {
            found.symref_target = Some(target.to_vec());
        }
    }
    Some(found)
}

/// Asks for a pack with what the wants reach and the haves don't.
pub fn pack_request(format: Kind, agent: &str, wants: &[ObjectId], haves: &[ObjectId]) -> Vec<u8> {
    let mut output = Vec::new();
    command("fetch", format, agent, &mut output);
    for word in [&b"thin-pack\n"[..], b"no-progress\n", b"ofs-delta\n"] {
        write(word, &mut output);
    }
    for (word, ids) in [("want", wants), ("have", haves)] {
        for id in ids {
            write(format!("{word} {id}\n").as_bytes(), &mut output);
        }
    }
    write(b"done\n", &mut output);
    pkt_line::write_flush(&mut output);
    output
}

/// What a line of the answer to [`pack_request`] brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Nothing to be kept.
    Nothing,
    /// Bytes of the pack.
    Pack(&'a [u8]),
    /// The pack is complete.
    End,
}

/// Reads the answer to [`pack_request`] line by line.
#[derive(Debug, Default)]
pub struct PackAnswer {
    section: Section,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Section {
    /// The name of a section comes.
    #[default]
    Between,
    /// Lines that say nothing new to one who told all.
    Passed,
    Pack,
    Ended,
}

impl PackAnswer {
    /// Takes the next line.
    ///
    /// # Errors
    /// When the server gives up, or the line means nothing here.
    pub fn line<'a>(&mut self, line: PktLine<'a>) -> Result<Piece<'a>, AnswerError> {
        let unexpected = |bytes: &[u8]| Err(AnswerError::Line(Excerpt::of(bytes)));
        match (self.section, line) {
            (Section::Between, PktLine::Data(data)) => {
                self.section = match without_newline(data) {
                    b"packfile" => Section::Pack,
                    b"acknowledgments" | b"wanted-refs" => Section::Passed,
                    b"shallow-info" => return Err(AnswerError::Shallow),
                    line => match line.strip_prefix(b"ERR ") {
                        Some(reason) => return Err(AnswerError::Told(Excerpt::of(reason))),
                        None => return unexpected(line),
                    },
                };
                Ok(Piece::Nothing)
            }
            (Section::Passed, PktLine::Data(_)) => Ok(Piece::Nothing),
            (Section::Passed, PktLine::Delimiter) => {
                self.section = Section::Between;
                Ok(Piece::Nothing)
            }
            (Section::Pack, PktLine::Data(data)) => match data.split_first() {
                Some((1, pack)) => Ok(Piece::Pack(pack)),
                Some((2, _)) => Ok(Piece::Nothing),
                Some((3, reason)) => Err(AnswerError::Told(Excerpt::of(without_newline(reason)))),
                _ => unexpected(data),
            },
            (Section::Pack, PktLine::Flush) => {
                self.section = Section::Ended;
                Ok(Piece::End)
            }
            (_, PktLine::Data(data)) => unexpected(data),
            (_, PktLine::Flush) => Err(AnswerError::UnexpectedEnd),
            (_, PktLine::Delimiter | PktLine::ResponseEnd) => unexpected(b"delimiter"),
        }
    }
}

fn command(name: &str, format: Kind, agent: &str, output: &mut Vec<u8>) {
    let object_format = match format {
        Kind::Sha256 => "sha256",
        _ => "sha1",
    };
    write(format!("command={name}\n").as_bytes(), output);
    write(format!("agent={agent}\n").as_bytes(), output);
    write(
        format!("object-format={object_format}\n").as_bytes(),
        output,
    );
    pkt_line::write_delimiter(output);
}

/// Our own lines are short.
fn write(line: &[u8], output: &mut Vec<u8>) {
    pkt_line::write_data(line, output).expect("requests have short lines");
}

/// The next line of an answer that is there as a whole; `None` at its flush.
fn next_line<'a>(answer: &mut &'a [u8]) -> Result<Option<&'a [u8]>, AnswerError> {
    match pkt_line::decode(answer)? {
        None => Err(AnswerError::UnexpectedEnd),
        Some(PktLine::Flush) => Ok(None),
        Some(PktLine::Data(data)) => {
            let line = without_newline(data);
            match line.strip_prefix(b"ERR ") {
                Some(reason) => Err(AnswerError::Told(Excerpt::of(reason))),
                None => Ok(Some(line)),
            }
        }
        Some(PktLine::Delimiter | PktLine::ResponseEnd) => {
            Err(AnswerError::Line(Excerpt::of(b"delimiter")))
        }
    }
}

fn without_newline(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "1111111111111111111111111111111111111111";

    /// Lines as bytes; `0000` and `0001` stand for themselves.
    fn wire(lines: &[&str]) -> Vec<u8> {
        let mut output = Vec::new();
        for line in lines {
            match *line {
                "0000" => pkt_line::write_flush(&mut output),
                "0001" => pkt_line::write_delimiter(&mut output),
                line => pkt_line::write_data(line.as_bytes(), &mut output).unwrap(),
            }
        }
        output
    }

    #[track_caller]
    fn offers(lines: &[&str], expected: Result<(), AnswerError>) {
        assert_eq!(
            read_capabilities(&wire(lines), Kind::Sha1),
            expected,
            "{lines:?}"
        );
    }

    #[test]
    fn a_server_must_offer_version_2_with_refs_and_fetch() {
        let whole = [
            "version 2\n",
            "agent=git/2\n",
            "ls-refs=unborn\n",
            "fetch=shallow\n",
            "0000",
        ];
        offers(&whole, Ok(()));
        let with_service = [&["# service=git-upload-pack\n", "0000"], &whole[..]].concat();
        offers(&with_service, Ok(()));
        let of_format = |format: &'static str| [&whole[..4], &[format, "0000"]].concat();
        offers(&of_format("object-format=sha1\n"), Ok(()));
        offers(
            &of_format("object-format=sha256\n"),
            Err(AnswerError::ObjectFormat),
        );
        offers(
            &of_format("object-format=md5\n"),
            Err(AnswerError::ObjectFormat),
        );
        let version = Err(AnswerError::NotOffered("version 2 of the protocol"));
        offers(&[&format!("{ID} HEAD"), "0000"], version.clone());
        offers(&["0000"], version);
        offers(
            &["version 2\n", "fetch\n", "0000"],
            Err(AnswerError::NotOffered("ls-refs")),
        );
        offers(
            &["version 2\n", "ls-refs\n", "0000"],
            Err(AnswerError::NotOffered("fetch")),
        );
        offers(&whole[..4], Err(AnswerError::UnexpectedEnd));
        offers(&with_service[..1], Err(AnswerError::UnexpectedEnd));
        let told = AnswerError::Told(Excerpt::of(b"go away"));
        offers(&["ERR go away\n"], Err(told));
        assert!(read_capabilities(b"<html>", Kind::Sha1).is_err());
    }

    #[test]
    fn refs_come_with_what_they_stand_for() {
        let line = |rest: &str| format!("{ID} {rest}\n");
        let head = line("HEAD symref-target:refs/heads/main");
        let tag = line(&format!("refs/tags/v1 peeled:{ID} later:words"));
        let answer = wire(&[&head, "unborn refs/heads/x", &tag, "0000"]);
        let refs = read_refs(&answer, Kind::Sha1).unwrap();
        assert_eq!(refs.len(), 2);
        assert_eq!(
            refs[0].symref_target.as_deref(),
            Some(&b"refs/heads/main"[..])
        );
        assert_eq!(
            (&*refs[1].name, refs[1].peeled),
            (&b"refs/tags/v1"[..], Some(refs[1].id))
        );
        let long = line(&"a".repeat(NAME_MAX + 1));
        let null = format!("{} refs/heads/x\n", "0".repeat(40));
        for bad in [
            "",
            "x",
            ID,
            &format!("{ID} "),
            &null,
            &line("a peeled:1"),
            &long,
        ] {
            let answer = wire(&[bad, "0000"]);
            assert!(
                matches!(read_refs(&answer, Kind::Sha1), Err(AnswerError::Line(_))),
                "{bad}"
            );
        }
        assert!(read_refs(&answer, Kind::Sha256).is_err());
        let cut = wire(&[&head]);
        assert_eq!(read_refs(&cut, Kind::Sha1), Err(AnswerError::UnexpectedEnd));
    }

    #[test]
    fn requests_are_read_by_the_other_side_of_this_crate_as_they_are_meant() {
        let id = ObjectId::from_hex(ID.as_bytes()).unwrap();
        let request = pack_request(Kind::Sha1, "us", &[id], &[id, id]);
        let expected = wire(&[
            "command=fetch\n",
            "agent=us\n",
            "object-format=sha1\n",
            "0001",
            "thin-pack\n",
            "no-progress\n",
            "ofs-delta\n",
            &format!("want {ID}\n"),
            &format!("have {ID}\n"),
            &format!("have {ID}\n"),
            "done\n",
            "0000",
        ]);
        assert_eq!(request, expected);
        let request = refs_request(Kind::Sha256, "us", &["HEAD", "refs/heads/"]);
        let expected = wire(&[
            "command=ls-refs\n",
            "agent=us\n",
            "object-format=sha256\n",
            "0001",
            "peel\n",
            "symrefs\n",
            "ref-prefix HEAD\n",
            "ref-prefix refs/heads/\n",
            "0000",
        ]);
        assert_eq!(request, expected);
    }

    /// The pack that these lines bring, if they end it.
    fn pack(lines: &[&str]) -> Result<Option<Vec<u8>>, AnswerError> {
        let wire = wire(lines);
        let (mut rest, mut answer, mut pack) = (&wire[..], PackAnswer::default(), Vec::new());
        while let Some(line) = pkt_line::decode(&mut rest).unwrap() {
            match answer.line(line)? {
                Piece::Nothing => {}
                Piece::Pack(bytes) => pack.extend_from_slice(bytes),
                Piece::End => return Ok(Some(pack)),
            }
        }
        Ok(None)
    }

    #[test]
    fn a_pack_comes_out_of_its_section_alone() {
        let whole = ["packfile\n", "\x01PA", "\x02counting", "\x01CK", "0000"];
        assert_eq!(pack(&whole), Ok(Some(b"PACK".to_vec())));
        let acknowledged = [
            &["acknowledgments\n", "NAK\n", "ready\n", "0001"],
            &whole[..],
        ]
        .concat();
        assert_eq!(pack(&acknowledged), Ok(Some(b"PACK".to_vec())));
        assert_eq!(pack(&whole[..4]), Ok(None));
        let told = |words: &str| Err(AnswerError::Told(Excerpt::of(words.as_bytes())));
        assert_eq!(pack(&["ERR not our ref\n"]), told("not our ref"));
        assert_eq!(
            pack(&["packfile\n", "\x01PA", "\x03out of memory\n"]),
            told("out of memory")
        );
        let shallow = ["shallow-info\n", "0001"];
        assert_eq!(pack(&shallow), Err(AnswerError::Shallow));
        for bad in [
            &["\x01PACK"][..],
            &["packfile\n", "\x04"],
            &["packfile\n", ""],
            &["0001"],
            &["packfile\n", "0001"],
        ] {
            assert!(matches!(pack(bad), Err(AnswerError::Line(_))), "{bad:?}");
        }
        assert_eq!(pack(&["0000"]), Err(AnswerError::UnexpectedEnd));
    }
}
