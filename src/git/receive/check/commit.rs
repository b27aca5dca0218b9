//! The headers of commits and tags.
//!
//! Source: git-fsck(1), "FSCK MESSAGES"; the order of the headers is that of git-commit-tree(1) and
//! git-mktag(1).
//! Invariant: a header line ends within the object, so nothing is read past its end.

use gix_hash::ObjectId;
use gix_object::Kind;

use super::{Fault, Links, Message, Rules, message::shown};
use crate::model::broken_rule_of_git;

impl Rules {
    /// Checks a commit: tree, parents, author, committer; other headers may follow.
    pub(super) fn commit(&mut self, content: &[u8], links: &mut impl Links) -> Result<(), Fault> {
        let mut headers = Headers::of(content)?;
        let tree = headers
            .value("tree ")
            .ok_or_else(|| Fault::new(Message::MissingTree, "the first line names no tree"))?;
        links.link(self.id(tree, Message::BadTreeSha1)?, Kind::Tree);
        while let Some(parent) = headers.value("parent ") {
            links.link(self.id(parent, Message::BadParentSha1)?, Kind::Commit);
        }
        let mut authors = 0;
        while let Some(author) = headers.value("author ") {
            authors += 1;
            self.person(author)?;
        }
        match authors {
            0 => self.raise(Message::MissingAuthor, "no author line where one is due")?,
            1 => {}
            _ => self.raise(Message::MultipleAuthors, "more than one author line")?,
        }
        let committer = headers.value("committer ").ok_or_else(|| {
            Fault::new(
                Message::MissingCommitter,
                "no committer line where one is due",
            )
        })?;
        self.person(committer)?;
        if content.contains(&0) {
            self.raise(Message::NulInCommit, "the message contains a NUL byte")?;
        }
        Ok(())
    }

    /// Checks a tag: object, type, name and, where there is one, the tagger.
    pub(super) fn tag(&mut self, content: &[u8], links: &mut impl Links) -> Result<(), Fault> {
        let mut headers = Headers::of(content)?;
        let object = headers
            .value("object ")
            .ok_or_else(|| Fault::new(Message::MissingObject, "the first line names no object"))?;
        let object = self.id(object, Message::BadObjectSha1)?;
        let kind = headers.value("type ").ok_or_else(|| {
            Fault::new(Message::MissingTypeEntry, "no type line where one is due")
        })?;
        let kind = match kind {
            b"commit" => Kind::Commit,
            b"tree" => Kind::Tree,
            b"blob" => Kind::Blob,
            b"tag" => Kind::Tag,
            _ => return Err(Fault::new(Message::BadType, "the type is unknown")),
        };
        links.link(object, kind);
        let name = headers
            .value("tag ")
            .ok_or_else(|| Fault::new(Message::MissingTagEntry, "no tag line where one is due"))?;
        let full = [b"refs/tags/", name].concat();
        if broken_rule_of_git(&full).is_some() {
            let text = format!("invalid 'tag' name: {}", shown(name));
            self.raise(Message::BadTagName, text)?;
        }
        match headers.value("tagger ") {
            Some(tagger) => self.person(tagger)?,
            // Early tags have none.
            None => self.raise(
                Message::MissingTaggerEntry,
                "invalid format - expected 'tagger' line",
            )?,
        }
        if headers.value("gpgsig ").is_some() || headers.value("gpgsig-sha256 ").is_some() {
            while headers.value(" ").is_some() {}
        }
        if !headers.is_at_end() {
            self.raise(
                Message::ExtraHeaderEntry,
                "invalid format - extra header(s) after 'tagger'",
            )?;
        }
        Ok(())
    }

    fn id(&self, hex: &[u8], otherwise: Message) -> Result<ObjectId, Fault> {
        ObjectId::from_hex(hex)
            .ok()
            .filter(|id| id.kind() == self.format)
            .ok_or_else(|| Fault::new(otherwise, "not the name of an object"))
    }

    /// Checks `name <email> seconds +zone`.
    fn person(&mut self, line: &[u8]) -> Result<(), Fault> {
        let Err((message, text)) = person(line) else {
            return Ok(());
        };
        self.raise(message, text)
    }
}

/// The lines in front of an object's message.
struct Headers<'a>(&'a [u8]);

impl<'a> Headers<'a> {
    /// They end with an empty line, or with the object; no NUL may be in them.
    fn of(content: &'a [u8]) -> Result<Self, Fault> {
        let end = content.windows(2).position(|pair| pair == b"\n\n");
        let headers = match end {
            Some(end) => &content[..=end],
            None => content,
        };
        if let Some(at) = headers.iter().position(|byte| *byte == 0) {
            let text = format!("a NUL byte at offset {at}");
            return Err(Fault::new(Message::NulInHeader, text));
        }
        if !headers.ends_with(b"\n") {
            let text = "the last header line does not end";
            return Err(Fault::new(Message::UnterminatedHeader, text));
        }
        Ok(Self(headers))
    }

    /// What follows `key` on the next line, if the line begins so.
    fn value(&mut self, key: &str) -> Option<&'a [u8]> {
        let rest = self.0.strip_prefix(key.as_bytes())?;
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        self.0 = &rest[end + 1..];
        Some(&rest[..end])
    }

    fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

fn person(line: &[u8]) -> Result<(), (Message, &'static str)> {
    let bracket = |bytes: &[u8]| bytes.iter().position(|byte| matches!(byte, b'<' | b'>'));
    if line.starts_with(b"<") {
        return Err((Message::MissingNameBeforeEmail, "no name before the email"));
    }
    let open = bracket(line).ok_or((Message::MissingEmail, "no email"))?;
    if line[open] == b'>' {
        return Err((Message::BadName, "a name with > in it"));
    }
    if line[open - 1] != b' ' {
        return Err((
            Message::MissingSpaceBeforeEmail,
            "no space before the email",
        ));
    }
    let line = &line[open + 1..];
    let close = bracket(line)
        .filter(|close| line[*close] == b'>')
        .ok_or((Message::BadEmail, "the email does not end"))?;
    let line = line[close + 1..]
        .strip_prefix(b" ")
        .ok_or((Message::MissingSpaceBeforeDate, "no space before the date"))?;
    let blanks = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t'));
    let line = &line[blanks.count()..];
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (date, line) = line.split_at(digits);
    match date {
        [] => return Err((Message::BadDate, "no date")),
        [b'0', _, ..] => return Err((Message::ZeroPaddedDate, "the date begins with a zero")),
        _ => {}
    }
    let seconds = date.iter().try_fold(0_i64, |seconds, digit| {
        seconds
            .checked_mul(10)?
            .checked_add(i64::from(digit - b'0'))
    });
    if seconds.is_none() {
        return Err((Message::BadDateOverflow, "the date is too large"));
    }
    match line {
        [b' ', b'+' | b'-', zone @ ..]
            if zone.len() == 4 && zone.iter().all(u8::is_ascii_digit) =>
        {
            Ok(())
        }
        [b' ', ..] => Err((Message::BadTimezone, "the time zone is not four digits")),
        _ if date == b"0" => Err((Message::ZeroPaddedDate, "the date begins with a zero")),
        _ => Err((Message::BadDate, "the date does not end in a space")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::receive::check::{Special, Strictness};

    #[track_caller]
    fn check(line: &str, expected: Result<(), Message>) {
        let found = person(line.as_bytes()).map_err(|(message, _)| message);
        assert_eq!(found, expected, "{line:?}");
    }

    #[test]
    fn a_person_has_a_name_an_email_and_a_date() {
        check("A U Thor <author@example.com> 1112911993 -0700", Ok(()));
        check("A <> 0 +0000", Ok(()));
        check(" <> 0 +0000", Ok(()));
        check("A <a>  \t 9223372036854775807 +0000", Ok(()));
        check("<a> 1 +0000", Err(Message::MissingNameBeforeEmail));
        check("A", Err(Message::MissingEmail));
        check("A>B <a> 1 +0000", Err(Message::BadName));
        check("A<a> 1 +0000", Err(Message::MissingSpaceBeforeEmail));
        check("A <a<b> 1 +0000", Err(Message::BadEmail));
        check("A <a 1 +0000", Err(Message::BadEmail));
        check("A <a>1 +0000", Err(Message::MissingSpaceBeforeDate));
        check("A <a> x +0000", Err(Message::BadDate));
        check("A <a> 1", Err(Message::BadDate));
        check("A <a> 01 +0000", Err(Message::ZeroPaddedDate));
        check(
            "A <a> 9223372036854775808 +0000",
            Err(Message::BadDateOverflow),
        );
        check("A <a> 1 0000", Err(Message::BadTimezone));
        check("A <a> 1 +000", Err(Message::BadTimezone));
        check("A <a> 1 +00000", Err(Message::BadTimezone));
    }

    /// The name of a tag is shown to whoever pushes it: one that clears their screen, or ends the line
    /// and begins another, must not reach the terminal as it is (CVE-2024-52006 and its kin).
    #[test]
    fn what_a_stranger_wrote_is_shown_without_what_terminals_obey() {
        let tag = |name: &str| {
            format!(
                "object {}\ntype tree\ntag {name}\ntagger A <a@b> 1 +0000\n\nx\n",
                ObjectId::empty_tree(gix_hash::Kind::Sha1)
            )
        };
        let check = |name: &str, expected: &str| {
            let mut rules = Rules::new(gix_hash::Kind::Sha1, Strictness::strict(), 1);
            let text = tag(name);
            rules.tag(text.as_bytes(), &mut NoLinks).unwrap();
            let lines: Vec<_> = rules.into_notices().lines().collect();
            assert_eq!(lines.len(), 1);
            let words = format!(": badTagName: invalid 'tag' name: {expected}\n");
            assert!(lines[0].ends_with(&words), "{:?}", lines[0]);
        };
        check("a b", "a b");
        check("\u{1b}[2J\rv1", "\\x1b[2J\\rv1");
        check(&" ".repeat(101), &format!("{}…", " ".repeat(100)));
    }

    struct NoLinks;

    impl Links for NoLinks {
        fn link(&mut self, _: ObjectId, _: Kind) {}
        fn special(&mut self, _: ObjectId, _: Special) {}
    }
}
