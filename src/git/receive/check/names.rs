//! Names in trees that some file system takes for one of git's own.
//!
//! Source: git-config(1), `core.protectHFS` and `core.protectNTFS`; the 8.3 names are those that
//! Windows gives: six characters and `~1`, or two characters and a hash.
//! Invariant: names arrive without `/` and NUL, but with `\`, which Windows takes for a separator.

/// Whether a checkout could write into `.git` through an entry of this name.
pub(in crate::git) fn is_dotgit(name: &[u8]) -> bool {
    if !may_be_special(name) {
        return false;
    }
    is_hfs(name, b"git") || windows_parts(name).any(is_ntfs_dotgit)
}

/// Whether an entry of this name is read as `.gitmodules` anywhere.
pub(super) fn is_gitmodules(name: &[u8]) -> bool {
    may_be_special(name)
        && (is_hfs(name, b"gitmodules")
            || windows_parts(name).any(|part| is_ntfs(part, b"gitmodules", b"gi7eba")))
}

/// Whether an entry of this name is read as `.gitattributes` anywhere.
pub(super) fn is_gitattributes(name: &[u8]) -> bool {
    may_be_special(name)
        && (is_hfs(name, b"gitattributes") || is_ntfs(name, b"gitattributes", b"gi7d29"))
}

/// Whether an entry of this name is read as `.gitignore` anywhere.
pub(super) fn is_gitignore(name: &[u8]) -> bool {
    is_hfs(name, b"gitignore") || is_ntfs(name, b"gitignore", b"gi250a")
}

/// Whether an entry of this name is read as `.mailmap` anywhere.
pub(super) fn is_mailmap(name: &[u8]) -> bool {
    is_hfs(name, b"mailmap") || is_ntfs(name, b"mailmap", b"maba30")
}

/// A quick look that lets nearly all names pass.
fn may_be_special(name: &[u8]) -> bool {
    matches!(name.first(), Some(b'.' | b'~' | b'g' | b'G' | 0x80..)) || name.contains(&b'\\')
}

/// The name, and what follows each backslash in it.
fn windows_parts(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let after = name
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\\')
        .map(|(at, _)| &name[at + 1..]);
    std::iter::once(name).chain(after)
}

/// HFS+ folds case and does not see some code points at all.
fn is_hfs(name: &[u8], wanted: &[u8]) -> bool {
    // What is not UTF-8 is escaped there, and what was read before it counts.
    let text = match std::str::from_utf8(name) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&name[..error.valid_up_to()]).expect("just checked"),
    };
    let mut seen = text.chars().filter(|letter| !is_ignored_by_hfs(*letter));
    seen.next() == Some('.')
        && wanted.iter().all(|letter| {
            seen.next().map(|seen| seen.to_ascii_lowercase()) == Some((*letter).into())
        })
        && seen.next().is_none()
}

fn is_ignored_by_hfs(letter: char) -> bool {
    matches!(
        letter,
        '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
    )
}

/// `.git` and `git~1`, with what Windows drops at the end of a name.
fn is_ntfs_dotgit(name: &[u8]) -> bool {
    let rest = strip_prefix(name, b".git").or_else(|| strip_prefix(name, b"git~1"));
    rest.is_some_and(|rest| {
        let dropped = rest.iter().take_while(|byte| matches!(byte, b'.' | b' '));
        matches!(rest.get(dropped.count()), None | Some(b'\\' | b':'))
    })
}

/// `.name`, its short form `name~1` and the form that Windows makes when that is taken.
fn is_ntfs(name: &[u8], wanted: &[u8], hashed: &[u8; 6]) -> bool {
    let rest = name
        .strip_prefix(b".")
        .and_then(|name| strip_prefix(name, wanted))
        .or_else(|| {
            let rest = strip_prefix(name, &wanted[..6])?.strip_prefix(b"~")?;
            matches!(rest.first(), Some(b'1'..=b'4')).then(|| &rest[1..])
        })
        .or_else(|| strip_hashed(name, hashed));
    rest.is_some_and(|rest| {
        let dropped = rest.iter().take_while(|byte| matches!(byte, b'.' | b' '));
        matches!(rest.get(dropped.count()), None | Some(b':'))
    })
}

/// Eight characters: a beginning of `hashed`, a tilde, a number that does not begin with zero.
fn strip_hashed<'a>(name: &'a [u8], hashed: &[u8; 6]) -> Option<&'a [u8]> {
    let (short, rest) = name.split_at_checked(8)?;
    let tilde = short.iter().position(|byte| *byte == b'~')?;
    let number = &short[tilde + 1..];
    (tilde <= 6
        && short[..tilde].eq_ignore_ascii_case(&hashed[..tilde])
        && matches!(number.first(), Some(b'1'..=b'9'))
        && number.iter().all(u8::is_ascii_digit))
    .then_some(rest)
}

fn strip_prefix<'a>(name: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = name.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: fn(&[u8]) -> bool, yes: &[&str], no: &[&str]) {
        for name in yes {
            assert!(rule(name.as_bytes()), "{name:?}");
        }
        for name in no {
            assert!(!rule(name.as_bytes()), "{name:?}");
        }
    }

    /// An entry that becomes `.git` when it is checked out lets a clone run the pusher's hooks.
    #[test]
    fn look_alikes_of_dotgit_are_seen() {
        check(
            is_dotgit,
            &[
                ".git",
                ".GIT",
                ".gIt. . ",
                ".git::$INDEX_ALLOCATION",
                "git~1",
                "GIT~1 ",
                ".g\u{200c}it",
                "\u{feff}.git",
                "foo\\.git\\config",
                "foo\\git~1",
                ".git\\hooks",
            ],
            &[
                ".gitignore",
                "git",
                ".gitx",
                "git~2",
                ".g\u{200b}it",
                "..git",
                "a.git",
                "foo\\git",
                ".git-",
            ],
        );
    }

    #[test]
    fn look_alikes_of_gits_other_files_are_seen() {
        check(
            is_gitmodules,
            &[
                ".gitmodules",
                ".GitModules .",
                ".gitmodules:stream",
                "gitmod~1",
                "GITMOD~4",
                "gi7eba~1",
                "gi7eb~10",
                "~1000000",
                "~9999999",
                ".git\u{202a}modules",
                "a\\.gitmodules",
            ],
            &[
                ".gitmodule",
                "gitmod~5",
                "gi7eba~0",
                "gi7d29~1",
                "gitmodules",
                "~0999999",
            ],
        );
        check(
            is_gitattributes,
            &[".gitattributes", "gitatt~1", "GI7D29~1"],
            &[".gitattribute", "gi7eba~1", "gitatt~9"],
        );
        check(
            is_gitignore,
            &[".gitignore", ".GITIGNORE .", "gitign~1", "gi250a~1"],
            &[".gitignores", "gitign~5", "gi7d29~1"],
        );
        check(
            is_mailmap,
            &[".mailmap", ".MailMap", "mailma~2", "maba30~1"],
            &["mailmap", ".mailmaps", "maba30~0"],
        );
    }
}
