//! The command line that a Git client sends over SSH.
//!
//! Source: gitprotocol-pack(5), "SSH Transport"; shell quoting as git writes it (`'` around, `'\''` and
//! `'\!'` inside).
//! Bounds: lines of at most [`LINE_MAX`] bytes.
//! Invariant: an exact grammar, one program and one path; whatever else a shell would make of a line is refused.
//! Not here: what a path names.

use crate::text::Excerpt;

/// Bytes of a command line.
pub const LINE_MAX: usize = 8_192;

/// A program of Git that clients start on a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Clone and fetch.
    UploadPack,
    /// Push.
    ReceivePack,
    /// `git archive --remote`.
    UploadArchive,
}

impl Service {
    /// The program's name, such as `git-upload-pack`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
            Self::UploadArchive => "git-upload-archive",
        }
    }

    /// The service with exactly this name.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        [Self::UploadPack, Self::ReceivePack, Self::UploadArchive]
            .into_iter()
            .find(|service| service.name().as_bytes() == name)
    }
}

/// A command line, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecLine {
    /// What is asked for.
    pub service: Service,
    /// Of which repository, unquoted and otherwise as the client wrote it.
    pub path: Vec<u8>,
}

/// Why a line is not a command of Git.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// More than [`LINE_MAX`] bytes.
    #[error("command line of {0} bytes, at most {LINE_MAX} allowed")]
    TooLong(usize),
    /// Neither a Git service nor anything else this server knows.
    #[error("unknown command '{0}'")]
    UnknownCommand(Excerpt),
    /// What follows the command is not one path, quoted or plain.
    #[error("expected one quoted path, not '{0}'")]
    BadPath(Excerpt),
}

impl ExecLine {
    /// Reads a line such as `git-upload-pack '/team/project.git'`; `git upload-pack` is taken too.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(line: &[u8]) -> Result<Self, ExecError> {
        if line.len() > LINE_MAX {
            return Err(ExecError::TooLong(line.len()));
        }
        let unknown = || ExecError::UnknownCommand(Excerpt::of(line));
        let verb = line
            .strip_prefix(b"git-")
            .or_else(|| line.strip_prefix(b"git "))
            .ok_or_else(unknown)?;
        let space = verb
            .iter()
            .position(|&byte| byte == b' ')
            .unwrap_or(verb.len());
        let (verb, argument) = verb.split_at_checked(space).ok_or_else(unknown)?;
        let service = match verb {
            b"upload-pack" => Service::UploadPack,
            b"receive-pack" => Service::ReceivePack,
            b"upload-archive" => Service::UploadArchive,
            _ => return Err(unknown()),
        };
        let argument = argument.strip_prefix(b" ").unwrap_or_default();
        let path = unquoted(argument).ok_or_else(|| ExecError::BadPath(Excerpt::of(argument)))?;
        Ok(Self { service, path })
    }
}

/// The one word that `argument` is, or nothing when it is not exactly one.
fn unquoted(argument: &[u8]) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(argument.len());
    let mut rest = argument;
    if !argument.starts_with(b"'") {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+@:%,=".contains(byte);
        path.extend_from_slice(argument);
        return (!path.is_empty() && !path.starts_with(b"-") && path.iter().all(plain))
            .then_some(path);
    }
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix(b"'") {
            let end = quoted.iter().position(|&byte| byte == b'\'')?;
            path.extend_from_slice(quoted.get(..end)?);
            rest = quoted.get(end + 1..)?;
        } else {
            let escaped = rest.strip_prefix(b"\\")?;
            let (&byte, after) = escaped.split_first()?;
            if byte != b'\'' && byte != b'!' {
                return None;
            }
            path.push(byte);
            rest = after;
        }
    }
    let refused =
        path.is_empty() || path.starts_with(b"-") || path.iter().any(u8::is_ascii_control);
    (!refused).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, service: Service, path: &str) {
        let expected = Ok(ExecLine {
            service,
            path: path.as_bytes().to_vec(),
        });
        assert_eq!(ExecLine::parse(line.as_bytes()), expected, "{line:?}");
    }

    #[track_caller]
    fn check_path(argument: &str) {
        let line = format!("git-upload-pack {argument}");
        let expected = Err(ExecError::BadPath(Excerpt::of(argument.as_bytes())));
        assert_eq!(ExecLine::parse(line.as_bytes()), expected, "{line:?}");
    }

    #[track_caller]
    fn check_command(line: &str) {
        let expected = Err(ExecError::UnknownCommand(Excerpt::of(line.as_bytes())));
        assert_eq!(ExecLine::parse(line.as_bytes()), expected, "{line:?}");
    }

    #[test]
    fn the_lines_of_git_clients_are_read() {
        check(
            "git-upload-pack '/team/project.git'",
            Service::UploadPack,
            "/team/project.git",
        );
        check(
            "git-receive-pack 'team/project'",
            Service::ReceivePack,
            "team/project",
        );
        check("git upload-pack '/a b/c'", Service::UploadPack, "/a b/c");
        check(
            "git-upload-archive '/x.git'",
            Service::UploadArchive,
            "/x.git",
        );
        check(
            "git-upload-pack team/project.git",
            Service::UploadPack,
            "team/project.git",
        );
        check(
            r"git-upload-pack '/it'\''s'\!'.git'",
            Service::UploadPack,
            "/it's!.git",
        );
        check("git-upload-pack 'é'", Service::UploadPack, "é");
    }

    #[test]
    fn every_service_is_found_by_its_name() {
        for service in [
            Service::UploadPack,
            Service::ReceivePack,
            Service::UploadArchive,
        ] {
            assert_eq!(Service::from_name(service.name().as_bytes()), Some(service));
        }
        assert_eq!(Service::from_name(b"upload-pack"), None);
    }

    #[test]
    fn what_a_shell_would_do_more_with_is_refused() {
        check_path("");
        check_path("''");
        check_path("'a' 'b'");
        check_path("'a';id");
        check_path("'a'b");
        check_path("'unfinished");
        check_path(r"'a'\");
        check_path(r"'a'\n");
        check_path("$(id)");
        check_path("a`id`");
        check_path("a b");
        check_path("~root/x");
        check_path("--upload-pack=id");
        check_path("'--strict'");
        check_path("--strict 'a'");
        check_path(" 'a'");
        check_path("'a\nb'");
        check_path("'a\0b'");
        check_path("\"a\"");
    }

    #[test]
    fn other_commands_are_refused() {
        for line in [
            "",
            "git",
            "git-",
            "git-shell",
            "id",
            "upload-pack 'a'",
            "git-upload-packs 'a'",
            "git  upload-pack 'a'",
        ] {
            check_command(line);
        }
        check_command("/usr/bin/git-upload-pack 'a'");
        check_command("git-upload-pack\t'a'");
        check_command("GIT-UPLOAD-PACK 'a'");
        check_command("git-upload-pack'a'");
    }

    #[test]
    fn the_longest_line_is_read_and_one_byte_more_is_not() {
        let path = "a".repeat(LINE_MAX - "git-upload-pack ''".len());
        check(
            &format!("git-upload-pack '{path}'"),
            Service::UploadPack,
            &path,
        );
        let line = format!("git-upload-pack '{path}a'");
        assert_eq!(
            ExecLine::parse(line.as_bytes()),
            Err(ExecError::TooLong(LINE_MAX + 1))
        );
    }
}
