//! Settings in `.gitmodules` that make a recursive clone run what the pusher wants.
//!
//! Source: gitmodules(5), git-config(1) "Syntax"; the refusals answer CVE-2018-11235 (names),
//! CVE-2018-17456 (options), CVE-2019-19604 (update) and CVE-2020-11008 (URLs).
//! Invariant: it reads what git's own parser reads before it gives up; a file that git cannot read on
//! does no harm.
//! Not here: the syntax (`config`).

use super::{
    Fault, Message,
    config::{Item, Parser},
    message::shown,
};

/// Finds names, paths, URLs and update settings that harm, and else what git could not read.
pub(super) fn check(text: &[u8]) -> Result<(), Fault> {
    let mut parser = Parser::of(text);
    let mut submodule: Option<Vec<u8>> = None;
    while let Some(item) = parser.next() {
        match item {
            Item::Section { name, subsection } => {
                submodule = subsection.filter(|_| name == b"submodule");
            }
            Item::Setting { key, value } => {
                if let Some(name) = &submodule {
                    setting(name, &key, value.as_deref())?;
                }
            }
        }
    }
    match parser.has_read_all() {
        true => Ok(()),
        false => Err(Fault::new(
            Message::GitmodulesParse,
            "could not parse gitmodules blob",
        )),
    }
}

fn setting(name: &[u8], key: &[u8], value: Option<&[u8]>) -> Result<(), Fault> {
    let fault = |message, what: &str, value: &[u8]| {
        let text = format!("the submodule {what} \"{}\" is refused", shown(value));
        Fault::new(message, text)
    };
    if is_bad_name(name) {
        return Err(fault(Message::GitmodulesName, "name", name));
    }
    let Some(value) = value else {
        return Ok(());
    };
    match key {
        b"url" if is_bad_url(value) => Err(fault(Message::GitmodulesUrl, "url", value)),
        b"path" if value.starts_with(b"-") => Err(fault(Message::GitmodulesPath, "path", value)),
        b"update" if value.starts_with(b"!") => {
            Err(fault(Message::GitmodulesUpdate, "update setting", value))
        }
        _ => Ok(()),
    }
}

/// The name is a folder under `.git/modules`.
fn is_bad_name(name: &[u8]) -> bool {
    name.is_empty()
        || name
            .split(|byte| matches!(byte, b'/' | b'\\'))
            .any(|part| part == b"..")
}

fn is_bad_url(url: &[u8]) -> bool {
    if url.starts_with(b"-") {
        return true;
    }
    if let Some(rest) = strip_relative(url) {
        let (up, rest) = rest;
        return has_newline(url) || (up > 0 && matches!(rest.first(), Some(b':' | b'/')));
    }
    if url.starts_with(b"git://") {
        return has_newline(url);
    }
    web_url(url).is_some_and(|url| !is_web_url(url) || has_newline(url))
}

/// For `./` and `../` urls: how often they go up, and what follows.
fn strip_relative(url: &[u8]) -> Option<(usize, &[u8])> {
    let (mut up, mut rest) = (0, url);
    loop {
        rest = match rest {
            [b'.', b'.', b'/' | b'\\', rest @ ..] => {
                up += 1;
                rest
            }
            [b'.', b'/' | b'\\', rest @ ..] => rest,
            _ => return (rest.len() < url.len()).then_some((up, rest)),
        };
    }
}

/// What git would hand to its HTTP and FTP program.
fn web_url(url: &[u8]) -> Option<&[u8]> {
    ["http", "https", "ftp", "ftps"].iter().find_map(|scheme| {
        let rest = url.strip_prefix(scheme.as_bytes())?;
        rest.strip_prefix(b"::")
            .or_else(|| rest.starts_with(b"://").then_some(url))
    })
}

/// Scheme, host, port and path are such that no part is taken for another.
fn is_web_url(url: &[u8]) -> bool {
    let Some(colon) = url.iter().position(|byte| *byte == b':') else {
        return false;
    };
    let (scheme, rest) = url.split_at(colon);
    let Some(rest) = rest.strip_prefix(b"://") else {
        return false;
    };
    let scheme_letter =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.' | b'-');
    if !scheme.first().is_some_and(u8::is_ascii_alphabetic) || !scheme.iter().all(scheme_letter) {
        return false;
    }
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = match authority.iter().rposition(|byte| *byte == b'@') {
        Some(at) => &authority[at + 1..],
        None => authority,
    };
    let (host, port) = match host.iter().rposition(|byte| *byte == b':') {
        Some(at) if !host.ends_with(b"]") => (&host[..at], &host[at + 1..]),
        _ => (host, &b""[..]),
    };
    let port = std::str::from_utf8(port).unwrap_or("x");
    let host_letter =
        |byte: &u8| byte.is_ascii_alphanumeric() || b".-_[]:%".contains(byte) || *byte >= 0x80;
    !host.is_empty()
        && host.iter().all(host_letter)
        && (port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0))
        && percent_decode(url).is_some()
        && stays_inside(path)
}

/// Whether no `..` leads above the root.
fn stays_inside(path: &[u8]) -> bool {
    let path = path
        .split(|byte| matches!(byte, b'?' | b'#'))
        .next()
        .unwrap_or_default();
    let Some(path) = percent_decode(path) else {
        return false;
    };
    let mut depth = 0_u32;
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if depth == 0 => return false,
            b".." => depth -= 1,
            _ => depth += 1,
        }
    }
    true
}

/// A newline in a URL reaches the program that asks for passwords.
fn has_newline(url: &[u8]) -> bool {
    url.contains(&b'\n')
        || url
            .windows(3)
            .any(|bytes| bytes.eq_ignore_ascii_case(b"%0a"))
}

/// `None` where a percent sign is not followed by two hex digits.
fn percent_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let (hex, tail) = rest.split_first_chunk::<2>()?;
        let digit = |hex: u8| (hex as char).to_digit(16);
        let value = digit(hex[0])? * 16 + digit(hex[1])?;
        decoded.push(u8::try_from(value).ok()?);
        rest = tail;
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, expected: Option<Message>) {
        let found = check(text.as_bytes()).err().map(|fault| fault.message);
        assert_eq!(found, expected, "{text:?}");
    }

    /// CVE-2018-11235: a submodule called `../../x` has its hooks outside `.git/modules`.
    #[test]
    fn names_that_climb_are_refused() {
        let name = Some(Message::GitmodulesName);
        refused("[submodule \"../x\"]\n\tpath = a\n", name);
        refused("[submodule \"a/../b\"] url = c", name);
        refused("[Submodule \"a\\\\..\"]\nurl = c", name);
        refused("[submodule \"\"]\nurl = c", name);
        refused("[submodule \"a..b/c\"]\npath = a\nurl = b", None);
        refused("[other \"../x\"]\npath = a", None);
        refused("[submodule \"../x\"]\n", None);
    }

    /// CVE-2018-17456: a URL that begins with a dash is an option of the program that clones it.
    #[test]
    fn options_and_commands_are_refused() {
        let with = |setting: &str| format!("# x\n[submodule \"a\"] ; y\n  {setting}\n");
        refused(&with("url = -u./payload"), Some(Message::GitmodulesUrl));
        refused(&with("URL = \"-u\"x"), Some(Message::GitmodulesUrl));
        refused(&with("path = -x"), Some(Message::GitmodulesPath));
        refused(&with("update = !id"), Some(Message::GitmodulesUpdate));
        refused(&with("update = \\\n  !id"), Some(Message::GitmodulesUpdate));
        refused(&with("update = rebase # !id"), None);
        refused(&with("url"), None);
        refused(&with("= \nurl = -x"), Some(Message::GitmodulesParse));
    }

    /// CVE-2020-11008: a URL whose host is another one, or none, draws the stored password of any.
    #[test]
    fn urls_that_confuse_are_refused() {
        let with = |url: &str| format!("[submodule \"a\"]\nurl = \"{url}\"");
        for url in [
            "https://example.com/a.git",
            "https://user@example.com:8443/a%20b/../c",
            "../a.git",
            "./a",
            "/srv/git/a",
            "git@example.com:a/b.git",
            "ssh://example.com/a%0ab",
            "git://example.com/a",
        ] {
            refused(&with(url), None);
        }
        for url in [
            "https://example.com/%0ahost=evil.example",
            "https:///a.git",
            "http::https:///a",
            "https::example.com/a",
            "https://example.com:0/",
            "https://example.com/../a",
            "https://example.com/%zz",
            "https://?a",
            "../:example.com/a",
            "../../..//example.com",
            "./%0a",
            "git://example.com/%0Aa",
            "https://a\\nb/",
        ] {
            refused(&with(url), Some(Message::GitmodulesUrl));
        }
    }
}
