//! What the header of a section says of names and modes.
//!
//! Source: git-diff(1), "Generating patch text with -p", 2 and 3; git-apply(1), `-p1`.
//! Invariant: a header that contradicts itself is refused.

use super::{
    super::patch::unquoted,
    parse::{Action, Body, FilePatch, mode},
};

/// The header of a section while it is read.
pub(super) struct Header<'a> {
    default: Option<Vec<u8>>,
    action: Action,
    old: Option<Vec<u8>>,
    new: Option<Vec<u8>>,
    old_mode: Option<u32>,
    new_mode: Option<u32>,
    ids: Option<(&'a [u8], &'a [u8])>,
}

const NAME: &str = "a name is not understood";
const MODE: &str = "a mode is not understood";
const OTHER_NAME: &str = "the names of a section contradict each other";

impl<'a> Header<'a> {
    pub(super) fn new(default: Option<Vec<u8>>) -> Self {
        Self {
            default,
            action: Action::Modify,
            old: None,
            new: None,
            old_mode: None,
            new_mode: None,
            ids: None,
        }
    }

    /// Whether the first line says by itself which file it is about.
    pub(super) fn is_named(&self) -> bool {
        self.default.is_some()
    }

    /// Takes a line without its line feed; false for what belongs to no header.
    pub(super) fn take(&mut self, line: &'a [u8]) -> Result<bool, &'static str> {
        let value = |key: &str| line.strip_prefix(key.as_bytes());
        if let Some(name) = value("--- ") {
            let absent = self.action == Action::Create;
            named(&mut self.old, name, absent)?;
        } else if let Some(name) = value("+++ ") {
            let absent = self.action == Action::Delete;
            named(&mut self.new, name, absent)?;
        } else if let Some(text) = value("old mode ") {
            self.old_mode = Some(mode(text).ok_or(MODE)?);
        } else if let Some(text) = value("new mode ") {
            self.new_mode = Some(mode(text).ok_or(MODE)?);
        } else if let Some(text) = value("deleted file mode ") {
            self.act(Action::Delete)?;
            self.old_mode = Some(mode(text).ok_or(MODE)?);
            self.old = self.default.clone();
        } else if let Some(text) = value("new file mode ") {
            self.act(Action::Create)?;
            self.new_mode = Some(mode(text).ok_or(MODE)?);
            self.new = self.default.clone();
        } else if let Some(name) = value("copy from ") {
            self.act(Action::Copy)?;
            self.old = Some(moved_name(name).ok_or(NAME)?);
        } else if let Some(name) = value("copy to ") {
            self.act(Action::Copy)?;
            self.new = Some(moved_name(name).ok_or(NAME)?);
        } else if let Some(name) = value("rename from ").or(value("rename old ")) {
            self.act(Action::Rename)?;
            self.old = Some(moved_name(name).ok_or(NAME)?);
        } else if let Some(name) = value("rename to ").or(value("rename new ")) {
            self.act(Action::Rename)?;
            self.new = Some(moved_name(name).ok_or(NAME)?);
        } else if let Some(text) = value("index ") {
            self.index(text)?;
        } else {
            return Ok(value("similarity index ")
                .or(value("dissimilarity index "))
                .is_some());
        }
        Ok(true)
    }

    /// One thing is done with a file, not two.
    fn act(&mut self, action: Action) -> Result<(), &'static str> {
        if self.action != Action::Modify && self.action != action {
            return Err("a section says that two things are done with a file");
        }
        self.action = action;
        Ok(())
    }

    /// `<id>..<id> [<mode>]`; what is not understood is no id.
    fn index(&mut self, text: &'a [u8]) -> Result<(), &'static str> {
        let mut words = text.splitn(2, |byte| *byte == b' ');
        let ids = words.next().unwrap_or_default().trim_ascii_end();
        if let Some(dots) = ids.windows(2).position(|pair| pair == b"..") {
            let (old, new) = (&ids[..dots], &ids[dots + 2..]);
            let is_hex = |id: &[u8]| id.iter().all(u8::is_ascii_hexdigit);
            self.ids = (is_hex(old) && is_hex(new)).then_some((old, new));
        }
        if let Some(text) = words.next() {
            self.old_mode = Some(mode(text).ok_or(MODE)?);
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<FilePatch<'a>, &'static str> {
        const NO_NAME: &str = "a section names no file";
        let (old, new) = match (self.action, self.old, self.new) {
            (Action::Create, Some(_), _) | (Action::Delete, _, Some(_)) => return Err(OTHER_NAME),
            (Action::Create, None, new) => (None, Some(new.ok_or(NO_NAME)?)),
            (Action::Delete, old, None) => (Some(old.ok_or(NO_NAME)?), None),
            (Action::Modify, None, None) => {
                let name = self.default.ok_or(NO_NAME)?;
                (Some(name.clone()), Some(name))
            }
            (_, old, new) => (Some(old.ok_or(NO_NAME)?), Some(new.ok_or(NO_NAME)?)),
        };
        if self.action == Action::Modify && old != new {
            return Err(OTHER_NAME);
        }
        Ok(FilePatch {
            action: self.action,
            old,
            new,
            old_mode: self.old_mode,
            new_mode: self.new_mode,
            ids: self.ids,
            body: Body::Hunks(Vec::new()),
        })
    }
}

/// The name in a line `---` or `+++`, which may repeat what is known.
fn named(known: &mut Option<Vec<u8>>, text: &[u8], absent: bool) -> Result<(), &'static str> {
    match (is_nothing(text), absent) {
        (true, true) => return Ok(()),
        (false, false) => {}
        _ => return Err("a section is not sure whether there is a file"),
    }
    let name = header_name(text).ok_or(NAME)?;
    match known {
        Some(known) if *known != name => Err(OTHER_NAME),
        _ => {
            *known = Some(name);
            Ok(())
        }
    }
}

/// Whether the name stands for no file.
pub(super) fn is_nothing(text: &[u8]) -> bool {
    text.strip_prefix(b"/dev/null")
        .is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
}

/// A name behind `a/` or `b/`, up to a tab.
pub(super) fn header_name(text: &[u8]) -> Option<Vec<u8>> {
    if let Some((name, _)) = unquoted(text) {
        return without_prefix(&name).map(<[u8]>::to_vec);
    }
    let end = text.iter().position(|byte| matches!(byte, b'\t' | b'\n'));
    without_prefix(&text[..end.unwrap_or(text.len())]).map(<[u8]>::to_vec)
}

/// A name as it is, or in quotes.
pub(super) fn moved_name(text: &[u8]) -> Option<Vec<u8>> {
    match text.starts_with(b"\"") {
        true => unquoted(text).map(|(name, _)| name),
        false => Some(text.to_vec()).filter(|name| !name.is_empty()),
    }
}

/// The name that is behind both prefixes in `a/x b/x`; nothing if there are two names.
pub(super) fn default_names(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"\n")?;
    if let Some((first, rest)) = unquoted(text) {
        let rest = rest.trim_ascii_start();
        let second = moved_name(rest)?;
        return same(&first, &second);
    }
    if text.starts_with(b"\"") {
        return None;
    }
    if text.ends_with(b"\"") {
        let quote = text.windows(2).position(|pair| pair == b" \"")?;
        let (second, _) = unquoted(&text[quote + 1..])?;
        return same(&text[..quote], &second);
    }
    // Both names are equal, and so are their lengths: what a blank parts is found from the length.
    let blanks = text
        .iter()
        .enumerate()
        .filter(|(_, byte)| matches!(byte, b' ' | b'\t'));
    blanks
        .into_iter()
        .find_map(|(blank, _)| same(&text[..blank], &text[blank + 1..]))
}

fn same(first: &[u8], second: &[u8]) -> Option<Vec<u8>> {
    let (first, second) = (without_prefix(first)?, without_prefix(second)?);
    (first == second).then(|| first.to_vec())
}

fn without_prefix(name: &[u8]) -> Option<&[u8]> {
    let slash = name.iter().position(|byte| *byte == b'/')?;
    Some(&name[slash + 1..]).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_a_file_if_both_names_are_one() {
        let name = |text: &str| {
            let name = default_names(format!("{text}\n").as_bytes())?;
            Some(String::from_utf8(name).unwrap())
        };
        let found = |text: &str| Some(text.to_owned());
        assert_eq!(name("a/x b/x"), found("x"));
        assert_eq!(name("a/x y b/x y"), found("x y"));
        assert_eq!(name("a/d/x b/d/x"), found("d/x"));
        assert_eq!(name(r#""a/\303\244" "b/\303\244""#), found("ä"));
        assert_eq!(name(r#""a/x" b/x"#), found("x"));
        assert_eq!(name(r#"a/x "b/x""#), found("x"));
        for text in ["a/x b/y", "a/x", "x x", "a/ b/", "", r#""a/x b/x"#] {
            assert_eq!(name(text), None, "{text}");
        }
    }
}
