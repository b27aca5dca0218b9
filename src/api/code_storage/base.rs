//! What a new repository begins with: `base_repo` of the request that makes it.
//!
//! Source: Code Storage API, "Create repository"; its clients send a fork as provider `code`, with a
//! token of its own for the source.
//! Invariant: the source of a fork is read with the right of that token, or of the caller where there is
//! none; that the caller may make a repository says nothing about reading another.

use std::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use super::{error::Error, revision::branch_name};
use crate::{
    api::App,
    hosting::{ForkPoint, HostingError, MirrorSettings, OWN_PROVIDERS},
    model::{Caller, RepositoryPath},
    policy::{Authorized, Denied, Fetch},
    store::origins::OriginRow,
};

/// `base_repo` as clients write it.
#[derive(Debug, Deserialize)]
pub(super) struct BaseRepository {
    #[serde(default)]
    provider: Option<String>,
    owner: String,
    name: String,
    operation: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    sha: Option<String>,
    default_branch: Option<String>,
    upstream_host: Option<String>,
    auth: Option<Auth>,
}

#[derive(Debug, Deserialize)]
struct Auth {
    token: Option<String>,
    auth_type: Option<String>,
}

/// What a repository that does not begin empty is.
#[derive(Debug)]
pub(super) enum Base {
    /// A fork of one of ours.
    Fork(Fork),
    /// A mirror of one elsewhere.
    Mirror(MirrorSettings),
}

/// Where providers are found, unless `upstream_host` says otherwise.
const PROVIDERS: &[(&str, Option<&str>)] = &[
    ("github", Some("github.com")),
    ("gitlab", Some("gitlab.com")),
    ("bitbucket", Some("bitbucket.org")),
    ("gitea", Some("gitea.com")),
    ("forgejo", None),
    ("codeberg", Some("codeberg.org")),
    ("sr.ht", Some("git.sr.ht")),
];
/// The provider when none is named.
const USUAL_PROVIDER: &str = "github";
/// Longest owner, name or host, in bytes.
const PART_BYTES_MAX: usize = 255;

/// A fork that is asked for.
#[derive(Debug)]
pub(super) struct Fork {
    source: RepositoryPath,
    token: Option<String>,
    point: ForkPoint,
}

impl BaseRepository {
    /// What this asks for; `outer` is the request's own default branch.
    pub(super) fn understood(self, outer: Option<&str>) -> Result<Base, Error> {
        let provider = self.provider.as_deref().unwrap_or(USUAL_PROVIDER);
        match OWN_PROVIDERS.contains(&provider) {
            true => self.into_fork(outer).map(Base::Fork),
            false => self.into_mirror(outer).map(Base::Mirror),
        }
    }

    fn into_mirror(self, outer: Option<&str>) -> Result<MirrorSettings, Error> {
        let provider = self.provider.as_deref().unwrap_or(USUAL_PROVIDER);
        let unfit = |reason: String| Error::Parameter(format!("base_repo: {reason}"));
        let known = PROVIDERS.iter().find(|(name, _)| *name == provider);
        let Some((_, usual_host)) = known else {
            return Err(unfit(format!("provider {provider:?} is not known")));
        };
        if let Some(operation) = self.operation.as_deref() {
            return Err(unfit(format!(
                "operation {operation:?} is for provider code"
            )));
        }
        let auth_type = self.auth.and_then(|auth| auth.auth_type);
        if auth_type.as_deref().is_some_and(|kind| kind != "public") {
            let reason = "auth_type is not public; store a credential by git-credentials instead";
            return Err(unfit(reason.to_owned()));
        }
        let host = self.upstream_host.as_deref().or(*usual_host);
        let host = host.ok_or_else(|| unfit(format!("{provider} needs an upstream_host")))?;
        if !is_host(host) {
            return Err(unfit(format!(
                "upstream_host {host:?} is not host or host:port"
            )));
        }
        for (field, value) in [("owner", &self.owner), ("name", &self.name)] {
            if !is_url_path(value) {
                return Err(unfit(format!("{field} {value:?} is none")));
            }
        }
        let url = match provider {
            "sr.ht" => format!(
                "https://{host}/~{}/{}",
                self.owner.trim_start_matches('~'),
                self.name
            ),
            _ => format!("https://{host}/{}/{}.git", self.owner, self.name),
        };
        let default_branch = self.default_branch.as_deref().or(outer);
        Ok(MirrorSettings {
            default_branch: default_branch.map(branch_name).transpose()?,
            origin: OriginRow {
                provider: provider.to_owned(),
                owner: self.owner,
                name: self.name,
            },
            url,
            anonymous: auth_type.is_some(),
        })
    }

    fn into_fork(self, outer: Option<&str>) -> Result<Fork, Error> {
        match self.operation.as_deref() {
            None | Some("fork") => {}
            Some("snapshot") => {
                return Err(Error::NotServed(
                    "base_repo: this server makes forks and no snapshots",
                ));
            }
            Some(other) => {
                let reason = format!("base_repo: operation {other:?} is not fork");
                return Err(Error::Parameter(reason));
            }
        }
        let default_branch = self.default_branch.as_deref().or(outer);
        Ok(Fork {
            source: RepositoryPath {
                namespace: self.owner.parse()?,
                name: self.name.parse()?,
            },
            token: self.auth.and_then(|auth| auth.token),
            point: ForkPoint {
                revision: self.sha.or(self.reference),
                default_branch: default_branch.map(branch_name).transpose()?,
            },
        })
    }
}

/// Letters, digits, dots and dashes, or an IPv6 address in brackets; and perhaps a port.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port =
        |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let good = match address {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.len() <= PART_BYTES_MAX && host.bytes().all(name),
    };
    good && port.is_none_or(is_port)
}

/// Segments that need no escapes in a URL and lead nowhere else.
fn is_url_path(text: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'~');
    let fits = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(allowed);
    text.len() <= PART_BYTES_MAX && text.split('/').all(fits)
}

impl Fork {
    /// What to take from the source, and the proof that it may be read.
    pub(super) fn authorize(
        self,
        app: &App,
        caller: &Caller,
    ) -> Result<(Authorized<Fetch>, ForkPoint), Error> {
        let reader = match &self.token {
            Some(token) => app
                .authenticator
                .bearer(token, caller.address)
                .map_err(|error| {
                    tracing::info!(%error, "the token for a fork's source is refused");
                    Error::SourceToken
                })?,
            None => caller.clone(),
        };
        let found = app.hosting.authorize::<Fetch>(&reader, &self.source);
        let (authorized, _) = found.map_err(|error| match Error::from(error) {
            Error::Hosting(HostingError::Denied(Denied::OutsideGrant)) => Error::SourceToken,
            other => other,
        })?;
        Ok((authorized, self.point))
    }
}

/// Where a repository comes from, in an answer.
#[derive(Debug, Serialize)]
pub(super) struct BaseView {
    provider: String,
    owner: String,
    name: String,
}

impl From<OriginRow> for BaseView {
    fn from(origin: OriginRow) -> Self {
        Self {
            provider: origin.provider,
            owner: origin.owner,
            name: origin.name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for host in [
            "github.com",
            "git.example:8443",
            "10.0.0.1",
            "[::1]",
            "[fe80::1]:443",
            "a-b",
        ] {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "",
            ":80",
            "a:",
            "a:b",
            "a:70000",
            "a:+80",
            "user@host",
            "a/b",
            "a b",
            "a?b",
            "a#b",
            "[::1",
            "::1",
            "[x]",
            "a\\b",
            "ä.de",
            "[::1]x",
            &"a".repeat(256),
        ] {
            assert!(!is_host(host), "{host}");
        }
    }

    #[test]
    fn an_upstream_is_found_where_its_provider_is() {
        let url = |provider: Option<&str>, host: Option<&str>, owner: &str, name: &str| {
            let base = BaseRepository {
                provider: provider.map(str::to_owned),
                owner: owner.to_owned(),
                name: name.to_owned(),
                operation: None,
                reference: None,
                sha: None,
                default_branch: None,
                upstream_host: host.map(str::to_owned),
                auth: None,
            };
            match base.understood(None) {
                Ok(Base::Mirror(settings)) => Some(settings.url),
                _ => None,
            }
        };
        let (ghe, forgejo) = (Some("ghe.example"), Some("f.example:8443"));
        for (provider, host, owner, expected) in [
            (None, None, "o", "https://github.com/o/n.git"),
            (Some("github"), ghe, "o", "https://ghe.example/o/n.git"),
            (
                Some("gitlab"),
                None,
                "group/sub",
                "https://gitlab.com/group/sub/n.git",
            ),
            (
                Some("bitbucket"),
                None,
                "o",
                "https://bitbucket.org/o/n.git",
            ),
            (Some("gitea"), None, "o", "https://gitea.com/o/n.git"),
            (Some("codeberg"), None, "o", "https://codeberg.org/o/n.git"),
            (Some("sr.ht"), None, "~o", "https://git.sr.ht/~o/n"),
            (
                Some("forgejo"),
                forgejo,
                "o",
                "https://f.example:8443/o/n.git",
            ),
        ] {
            assert_eq!(url(provider, host, owner, "n").as_deref(), Some(expected));
        }
        assert_eq!(url(Some("forgejo"), None, "o", "n"), None);
        assert_eq!(url(Some("svn"), None, "o", "n"), None);
        for bad in [
            "", "..", "a//b", "a/../b", "a b", "a?b", "a@b", "a%2fb", "a\\b",
        ] {
            assert_eq!(url(None, None, bad, "n"), None, "{bad}");
            assert_eq!(url(None, None, "o", bad), None, "{bad}");
        }
    }
}
