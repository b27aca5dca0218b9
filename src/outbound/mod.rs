//! Requests that this server makes: to upstreams of mirrors, and to whomever else users name.
//!
//! Whoever can make the server call a URL would like it to call what only the server can reach. So
//! every name is resolved here, what it resolves to is judged, and that very address is dialled; the
//! same on every redirect. No proxy is asked, which would resolve names by itself.
//!
//! Source: RFC 9110 section 15.4 for redirects; gitcredentials(7) for what a credential may follow.
//! Bounds: [`REDIRECTS_MAX`], [`CONNECT`], [`HEAD_BYTES_MAX`]; a call has its whole time limit from its
//! caller, who bounds what is read of the answer, too.
//! Invariant: a credential goes to the host, port and scheme that it was given for, and to no other;
//! encryption is never dropped on the way. All of it blocks.
//! Not here: what is asked and what the answer means (`mirror`).

mod address;
mod resolve;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ureq::{
    Agent, Body,
    http::{HeaderValue, Request, Response, StatusCode, Uri, header, uri::Scheme},
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
    unversioned::transport::DefaultConnector,
};

use crate::model::Secret;
use resolve::{PrivateAddress, PublicResolver};

/// Redirects that are followed, one after the other.
const REDIRECTS_MAX: usize = 5;
/// Time to find an address and reach it.
const CONNECT: Duration = Duration::from_secs(15);
/// Longest silence of a server that is to answer.
const SILENCE: Duration = Duration::from_secs(30);
/// Longest head of an answer.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Whom requests may reach.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Loopback, private and link-local addresses, too.
    pub private: bool,
    /// PEM file of the certificates that servers are trusted by, instead of the system's.
    pub certificates: Option<PathBuf>,
}

/// Makes requests; cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbound(Agent);

/// Certificates that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("certificates in {path:?} can't be used")]
pub struct CertificatesError {
    path: PathBuf,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// It is no URL that is called: no HTTP, or with a credential inside.
    #[error("{0} can't be called")]
    Url(String),
    /// The host is at home: it has no public address.
    #[error("{host} has no public address")]
    Private {
        /// Which host.
        host: String,
    },
    /// There are more redirects than are followed, or one to nowhere.
    #[error("redirects end nowhere")]
    Redirects,
    /// A redirect leads from HTTPS to HTTP.
    #[error("a redirect drops the encryption")]
    Downgrade,
    /// It took too long.
    #[error("no answer in time")]
    Late,
    /// There is no such host, it can't be reached, or it does not speak HTTP.
    #[error("{host} can't be reached")]
    Unreachable {
        /// Which host.
        host: String,
        /// What went wrong.
        #[source]
        source: Box<ureq::Error>,
    },
}

impl OutboundError {
    /// Whether the same might go well some time later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Late | Self::Unreachable { .. })
    }
}

/// A user name and password for one server.
#[derive(Debug, Clone)]
pub struct Login {
    /// May be empty.
    pub user: String,
    /// Password or token.
    pub password: Secret<String>,
}

/// A call that is made to one server.
#[derive(Debug)]
pub struct Call<'a> {
    /// Headers besides those that every call has.
    pub headers: &'a [(&'static str, &'a str)],
    /// For the server of the URL called first.
    pub login: Option<&'a Login>,
    /// The body; `None` asks with GET.
    pub body: Option<&'a [u8]>,
    /// When it must be over, the reading of the answer included.
    pub deadline: Instant,
}

/// What came back, and from where after all redirects.
pub struct Answer {
    /// Where it is from.
    pub uri: Uri,
    /// Whether that is the server that was called first, so that a login for it is good there, too.
    pub same_server: bool,
    /// Status, headers and what can be read of the body.
    pub response: Response<Body>,
}

impl Outbound {
    /// Reaches whom it may.
    ///
    /// # Errors
    /// When the certificates can't be read.
    pub fn new(reach: &Reach) -> Result<Self, CertificatesError> {
        let roots = match &reach.certificates {
            Some(path) => RootCerts::from(certificates(path)?),
            None => RootCerts::PlatformVerifier,
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(roots)
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .accept_encoding("identity")
            .max_response_header_size(HEAD_BYTES_MAX)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(SILENCE))
            .timeout_per_write(Some(SILENCE))
            .user_agent(concat!(
                "git/2.0 (packhorse/",
                env!("CARGO_PKG_VERSION"),
                ")"
            ))
            .tls_config(tls)
            .build();
        let resolver = PublicResolver::new(reach.private);
        let connector = DefaultConnector::default();
        Ok(Self(Agent::with_parts(config, connector, resolver)))
    }

    /// Calls a URL. Redirects are followed when nothing but an answer is asked for, without a body.
    ///
    /// # Errors
    /// When there is no answer. One with a status that says no is an answer.
    pub fn call(&self, url: &str, call: &Call<'_>) -> Result<Answer, OutboundError> {
        let mut uri = checked(url)?;
        let first = uri.clone();
        for _ in 0..=REDIRECTS_MAX {
            let same_server = origin(&uri) == origin(&first);
            let response = self.once(&uri, call, same_server)?;
            let moved = call.body.is_none() && response.status().is_redirection();
            if !moved || response.status() == StatusCode::NOT_MODIFIED {
                return Ok(Answer {
                    uri,
                    same_server,
                    response,
                });
            }
            let location = response.headers().get(header::LOCATION);
            let location = location.and_then(|value| value.to_str().ok());
            uri = redirected(&uri, location.ok_or(OutboundError::Redirects)?)?;
        }
        Err(OutboundError::Redirects)
    }

    fn once(
        &self,
        uri: &Uri,
        call: &Call<'_>,
        with_login: bool,
    ) -> Result<Response<Body>, OutboundError> {
        let host = uri.host().unwrap_or_default().to_owned();
        let left = call.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(OutboundError::Late);
        }
        let mut request = Request::builder().uri(uri.clone());
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        if let Some(login) = call.login.filter(|_| with_login) {
            let pair = format!("{}:{}", login.user, login.password.expose());
            let value = format!("Basic {}", BASE64_STANDARD.encode(pair));
            let mut value = HeaderValue::try_from(value)
                .map_err(|_| OutboundError::Url("a user name or password".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let limit = Some(left);
        let answered = match call.body {
            Some(body) => {
                let request = request.method("POST").body(body);
                let request = request.map_err(|_| OutboundError::Url(uri.to_string()))?;
                let limited = self.0.configure_request(request);
                self.0.run(limited.timeout_global(limit).build())
            }
            None => {
                let request = request.method("GET").body(());
                let request = request.map_err(|_| OutboundError::Url(uri.to_string()))?;
                let limited = self.0.configure_request(request);
                self.0.run(limited.timeout_global(limit).build())
            }
        };
        answered.map_err(|error| match error {
            ureq::Error::Timeout(_) => OutboundError::Late,
            ureq::Error::Other(cause) if cause.is::<PrivateAddress>() => {
                OutboundError::Private { host }
            }
            error => OutboundError::Unreachable {
                host,
                source: Box::new(error),
            },
        })
    }
}

/// What makes two URLs speak of the same server.
fn origin(uri: &Uri) -> (Option<&Scheme>, Option<String>, Option<u16>) {
    let usual = match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let host = uri.host().map(str::to_ascii_lowercase);
    (uri.scheme(), host, uri.port_u16().or(Some(usual)))
}

fn checked(url: &str) -> Result<Uri, OutboundError> {
    let uri: Uri = url
        .parse()
        .map_err(|_| OutboundError::Url(url.to_owned()))?;
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    let plain = uri
        .authority()
        .is_some_and(|authority| !authority.as_str().contains('@') && !authority.host().is_empty());
    match web && plain {
        true => Ok(uri),
        // What may hold a credential is not repeated.
        false => Err(OutboundError::Url(
            "a URL that is not plain HTTP(S)".to_owned(),
        )),
    }
}

/// Where a redirect leads; relative to a folder is a thing of pages, not of servers.
fn redirected(from: &Uri, location: &str) -> Result<Uri, OutboundError> {
    let (Some(scheme), Some(authority)) = (from.scheme_str(), from.authority()) else {
        return Err(OutboundError::Redirects);
    };
    let without_fragment = location.split('#').next().unwrap_or_default();
    let next = if let Some(rest) = without_fragment.strip_prefix("//") {
        checked(&format!("{scheme}://{rest}"))?
    } else if without_fragment.starts_with('/') {
        checked(&format!("{scheme}://{authority}{without_fragment}"))?
    } else {
        checked(without_fragment)?
    };
    match from.scheme() == Some(&Scheme::HTTPS) && next.scheme() != Some(&Scheme::HTTPS) {
        true => Err(OutboundError::Downgrade),
        false => Ok(next),
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, CertificatesError> {
    type Cause = Box<dyn std::error::Error + Send + Sync>;
    let failed = |source: Cause| CertificatesError {
        path: path.to_owned(),
        source,
    };
    let pem = fs::read(path).map_err(|error| failed(error.into()))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| failed(error.into()))? {
            found.push(certificate);
        }
    }
    match found.is_empty() {
        true => Err(failed(io::Error::other("there are none").into())),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests;
