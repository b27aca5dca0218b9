//! What a CGI is asked, read from its environment.
//!
//! Source: RFC 3875, section 4.1; git-http-backend(1), "URL TRANSLATION" and "SERVICES".
//! Invariant: a path with empty, `.` or `..` segments names nothing.

use std::{env, path::PathBuf};

use super::Refusal;
use crate::bare::config::Config;

/// One request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) repository: PathBuf,
    pub(super) route: Route,
    /// The `service` that `info/refs` is asked for.
    pub(super) service: Option<String>,
}

/// What is asked of a repository.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// A short file that changes.
    Text(String),
    /// A file that never changes, and its type.
    Object(String, &'static str),
    /// `objects/info/packs`
    Packs,
    /// `info/refs`
    Refs,
    /// One request of a conversation.
    Rpc(Service),
}

/// A program of git's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    UploadPack,
    ReceivePack,
}

impl Service {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "upload-pack",
            Self::ReceivePack => "receive-pack",
        }
    }

    /// The service that a client calls `git-…`.
    pub(super) fn named(name: &str) -> Result<Self, Refusal> {
        match name {
            "git-upload-pack" => Ok(Self::UploadPack),
            "git-receive-pack" => Ok(Self::ReceivePack),
            other => {
                let shown = other.escape_debug();
                Err(Refusal::Forbidden(format!(
                    "Unsupported service: '{shown}'"
                )))
            }
        }
    }

    /// Pushing is for those whom the web server knows, unless the repository says otherwise.
    pub(super) fn is_enabled(self, config: &Config) -> Result<(), Refusal> {
        let enabled = match self {
            Self::UploadPack => config.flag("http.uploadpack", true)?,
            Self::ReceivePack => match config.optional_flag("http.receivepack")? {
                Some(enabled) => enabled,
                None => variable("REMOTE_USER").is_some(),
            },
        };
        if enabled {
            return Ok(());
        }
        Err(Refusal::Forbidden(format!(
            "Service not enabled: '{}'",
            self.name()
        )))
    }
}

impl Request {
    pub(super) fn from_environment() -> Result<Self, Refusal> {
        let broken = |words: &str| Refusal::Broken(words.to_owned());
        let method =
            variable("REQUEST_METHOD").ok_or_else(|| broken("No REQUEST_METHOD from server"))?;
        let method = if method == "HEAD" { "GET" } else { &*method };
        let path = path()?;
        let Some((repository, route)) = split(&path) else {
            return Err(Refusal::NotFound(format!(
                "Request not supported: '{path}'"
            )));
        };
        let (wanted, allowed) = match route {
            Route::Rpc(_) => ("POST", "POST"),
            _ => ("GET", "GET, HEAD"),
        };
        if method != wanted {
            return Err(Refusal::Method { allowed });
        }
        Ok(Self {
            repository: repository.into(),
            route,
            service: parameter(&variable("QUERY_STRING").unwrap_or_default(), "service"),
        })
    }
}

/// A variable that is set to something.
pub(super) fn variable(name: &str) -> Option<String> {
    // GIT_HTTP_EXPORT_ALL counts even if it is set to nothing.
    let value = env::var_os(name)?.to_string_lossy().into_owned();
    (name == "GIT_HTTP_EXPORT_ALL" || !value.is_empty()).then_some(value)
}

/// The file that the request's URL stands for.
fn path() -> Result<String, Refusal> {
    let broken = |words: &str| Refusal::Broken(words.to_owned());
    if let Some(root) = variable("GIT_PROJECT_ROOT") {
        let missing = || broken("GIT_PROJECT_ROOT is set but PATH_INFO is not");
        let info = variable("PATH_INFO").ok_or_else(missing)?;
        if is_aliased(&info) {
            return Err(Refusal::Broken(format!("'{info}': aliased")));
        }
        return Ok(format!(
            "{}/{}",
            root.trim_end_matches('/'),
            info.trim_start_matches('/')
        ));
    }
    let path = variable("PATH_TRANSLATED");
    path.ok_or_else(|| broken("No GIT_PROJECT_ROOT or PATH_TRANSLATED from server"))
}

/// Whether a path has segments that lead elsewhere than they seem to.
fn is_aliased(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else {
        return true;
    };
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if matches!(segment, "." | "..") || (segment.is_empty() && !last) {
            return true;
        }
    }
    false
}

/// The repository's path and what is asked of it.
fn split(path: &str) -> Option<(&str, Route)> {
    let before = |suffix: &str| path.strip_suffix(suffix);
    for text in [
        "HEAD",
        "objects/info/alternates",
        "objects/info/http-alternates",
    ] {
        if let Some(repository) = before(&format!("/{text}")) {
            return Some((repository, Route::Text(text.to_owned())));
        }
    }
    let fixed = [
        ("/info/refs", Route::Refs),
        ("/objects/info/packs", Route::Packs),
        ("/git-upload-pack", Route::Rpc(Service::UploadPack)),
        ("/git-receive-pack", Route::Rpc(Service::ReceivePack)),
    ];
    for (suffix, route) in fixed {
        if let Some(repository) = before(suffix) {
            return Some((repository, route));
        }
    }
    let at = path.rfind("/objects/")?;
    let (repository, below) = (&path[..at], &path[at + 1..]);
    let media_type = object_type(below.strip_prefix("objects/")?)?;
    Some((repository, Route::Object(below.to_owned(), media_type)))
}

/// What a file below `objects` holds, if it is one that never changes.
fn object_type(name: &str) -> Option<&'static str> {
    let is_hex = |text: &str, lengths: [usize; 2]| {
        lengths.contains(&text.len())
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let (shelf, file) = name.split_once('/')?;
    if shelf == "pack" {
        let file = file.strip_prefix("pack-")?;
        let (hex, media_type) = match file.strip_suffix(".pack") {
            Some(hex) => (hex, "application/x-git-packed-objects"),
            None => (
                file.strip_suffix(".idx")?,
                "application/x-git-packed-objects-toc",
            ),
        };
        return is_hex(hex, [40, 64]).then_some(media_type);
    }
    (is_hex(shelf, [2, 2]) && is_hex(file, [38, 62])).then_some("application/x-git-loose-object")
}

/// The value of a parameter of a query string, decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| decoded(value))
    })
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let escaped = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, escaped) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_where_the_repository_ends() {
        let hex = "0123456789abcdef0123456789abcdef012345";
        let loose = format!("/r.git/objects/ab/{hex}");
        let route = Route::Object(
            format!("objects/ab/{hex}"),
            "application/x-git-loose-object",
        );
        assert_eq!(split(&loose), Some(("/r.git", route)));
        assert_eq!(split("/a/b/info/refs"), Some(("/a/b", Route::Refs)));
        assert_eq!(
            split("/r/HEAD"),
            Some(("/r", Route::Text("HEAD".to_owned())))
        );
        assert_eq!(
            split("/r/git-upload-pack"),
            Some(("/r", Route::Rpc(Service::UploadPack)))
        );
        for other in [
            "/r/config",
            "/r/objects/ab/cd",
            "/r/objects/pack/pack-1.pack",
            "/r/refs/heads/main",
        ] {
            assert_eq!(split(other), None, "{other}");
        }
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_seen_through() {
        for path in ["/../x", "/a/../b", "/a//b", "/./a", "a", ""] {
            assert!(is_aliased(path), "{path:?}");
        }
        for path in ["/a", "/a/b.git/info/refs", "/..a", "/a/"] {
            assert!(!is_aliased(path), "{path:?}");
        }
    }

    #[test]
    fn parameters_are_decoded() {
        assert_eq!(
            parameter("a=1&service=git%2Dx+y%z", "service").unwrap(),
            "git-x y%z"
        );
        assert_eq!(parameter("services=1", "service"), None);
    }
}
