//! Git over HTTP: `info/refs`, `git-upload-pack` and `git-receive-pack` below any repository path.
//!
//! Source: gitprotocol-http(5). Paths are matched raw and decoded once, with and without `.git`.
//! Bounds: an upload-pack body by `fetch_request_bytes` after inflating it, a push by the limits of
//! the engine while it streams.
//! Invariant: what a caller needs follows from the route that runs, never from a parameter it may
//! choose (CVE-2026-52810): `info/refs?service=git-receive-pack` shows what a push needs and pushing
//! asks again.
//! Not here: the conversation itself (`wire`).

use std::{future::poll_fn, io, net::IpAddr, pin::Pin, sync::Arc, task::Poll};

use async_compression::tokio::bufread::GzipDecoder;
use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::{StreamExt as _, stream};
use packhorse_protocol::Version;
use tokio::{
    io::{AsyncRead, BufReader},
    sync::mpsc,
};
use tokio_util::{io::StreamReader, task::TaskTracker};

use super::{
    bounded::Bounded,
    credentials::{self, CredentialError},
    listener::Peer,
};
use crate::{
    auth::Authenticator,
    config::Limits,
    model::Caller,
    wire::{
        Conversation, Disconnected, Input, Output, RETRY_AFTER_SECONDS, Refused, Wire, WireError,
    },
};

/// Chunks that may wait between the engine and the socket of one answer, besides those of `wire`.
const CHUNKS_IN_FLIGHT: usize = 1;
/// Bytes of a push read at once.
const PUSH_READ_BYTES: usize = 64 << 10;
/// Bytes of a fetch's questions read at once: nearly all are shorter, and memory is cleared first.
const FETCH_READ_BYTES: usize = 4 << 10;
/// Longest `Git-Protocol` header that is read.
const MAX_GIT_PROTOCOL: usize = 256;

/// What the Git routes need.
#[derive(Clone)]
pub struct GitState {
    /// Runs the conversations.
    pub wire: Wire,
    /// Knows the credentials.
    pub authenticator: Authenticator,
    /// The server's bounds.
    pub limits: Arc<Limits>,
    /// The server's running work.
    pub tasks: TaskTracker,
}

/// Which of git's two services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    UploadPack,
    ReceivePack,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }
}

/// A request that this module serves.
#[derive(Debug, PartialEq, Eq)]
enum Route<'a> {
    Advertisement {
        path: &'a str,
        service: Option<Service>,
    },
    Run {
        path: &'a str,
        service: Service,
    },
}

fn route<'a>(path: &'a str, query: Option<&str>) -> Option<Route<'a>> {
    if let Some(path) = path.strip_suffix("/info/refs") {
        let service = query
            .unwrap_or_default()
            .split('&')
            .find_map(|pair| pair.strip_prefix("service="));
        let service = match service {
            Some("git-upload-pack") => Some(Service::UploadPack),
            Some("git-receive-pack") => Some(Service::ReceivePack),
            _ => None,
        };
        return Some(Route::Advertisement { path, service });
    }
    [Service::UploadPack, Service::ReceivePack]
        .into_iter()
        .find_map(|service| {
            let path = path.strip_suffix(service.name())?.strip_suffix('/')?;
            Some(Route::Run { path, service })
        })
}

/// Serves whatever no other route takes: Git, or 404.
pub(super) async fn serve(State(state): State<GitState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(route) = route(parts.uri.path(), parts.uri.query()) else {
        return text(StatusCode::NOT_FOUND, "not found");
    };
    let (Route::Advertisement { path, .. } | Route::Run { path, .. }) = route;
    let asked = Asked {
        state: &state,
        headers: &parts.headers,
        peer: parts.extensions.get::<Peer>().map(|peer| peer.address.ip()),
        path,
    };
    let answer = match route {
        Route::Advertisement { service, .. }
            if parts.method == Method::GET || parts.method == Method::HEAD =>
        {
            let Some(service) = service else {
                return text(
                    StatusCode::FORBIDDEN,
                    "the dumb HTTP protocol is not served here; use git 1.6.6 or newer",
                );
            };
            asked.advertise(service).await
        }
        Route::Run { service, .. } if parts.method == Method::POST => {
            asked.run(service, body).await
        }
        Route::Advertisement { .. } => return not_allowed("GET, HEAD"),
        Route::Run { .. } => return not_allowed("POST"),
    };
    answer.unwrap_or_else(Failure::into_response)
}

/// One request below a repository's path.
struct Asked<'a> {
    state: &'a GitState,
    headers: &'a HeaderMap,
    peer: Option<IpAddr>,
    path: &'a str,
}

impl Asked<'_> {
    async fn advertise(&self, service: Service) -> Result<Response, Failure> {
        let caller = self.caller().await?;
        let conversation = Conversation::advertisement(version(self.headers));
        let input: Input = Box::pin(tokio::io::empty());
        let media_type = match service {
            Service::UploadPack => "application/x-git-upload-pack-advertisement",
            Service::ReceivePack => "application/x-git-receive-pack-advertisement",
        };
        self.converse(&caller, service, conversation, input, media_type)
            .await
    }

    async fn run(&self, service: Service, body: Body) -> Result<Response, Failure> {
        let (expected, media_type) = match service {
            Service::UploadPack => (
                "application/x-git-upload-pack-request",
                "application/x-git-upload-pack-result",
            ),
            Service::ReceivePack => (
                "application/x-git-receive-pack-request",
                "application/x-git-receive-pack-result",
            ),
        };
        // A web page can't send this type to us with a visitor's credentials.
        let given = self
            .headers
            .get(header::CONTENT_TYPE)
            .map(HeaderValue::as_bytes);
        if given != Some(expected.as_bytes()) {
            return Err(Failure::MediaType(expected));
        }
        let caller = self.caller().await?;
        let conversation = Conversation::stateless(version(self.headers));
        let input = self.input(service, body)?;
        self.converse(&caller, service, conversation, input, media_type)
            .await
    }

    async fn caller(&self) -> Result<Caller, Failure> {
        credentials::caller(&self.state.authenticator, self.headers, self.peer)
            .await
            .map_err(|error| match error {
                CredentialError::Refused => Failure::Unauthenticated,
                CredentialError::TooMany => Failure::Busy,
            })
    }

    /// The request body as it was before the client compressed it.
    fn input(&self, service: Service, body: Body) -> Result<Input, Failure> {
        let chunks = body
            .into_data_stream()
            .map(|chunk| chunk.map_err(io::Error::other));
        let raw = StreamReader::new(chunks);
        let limits = &self.state.limits;
        let (most, at_once) = match service {
            Service::UploadPack => (limits.fetch_request_bytes, FETCH_READ_BYTES),
            // The commands come before the pack and have their own bound.
            Service::ReceivePack => {
                let commands = limits.fetch_request_bytes;
                (
                    limits.push_pack_bytes.saturating_add(commands),
                    PUSH_READ_BYTES,
                )
            }
        };
        let encoding = self
            .headers
            .get(header::CONTENT_ENCODING)
            .map(HeaderValue::as_bytes);
        match encoding {
            None | Some(b"identity") => Ok(buffered(at_once, Bounded::new(raw, most))),
            Some(b"gzip" | b"x-gzip") => {
                Ok(buffered(at_once, Bounded::new(GzipDecoder::new(raw), most)))
            }
            Some(other) => Err(Failure::Encoding(
                String::from_utf8_lossy(other).into_owned(),
            )),
        }
    }

    /// Runs the conversation, in a task of its own unless it ends at once, and answers as soon as it is
    /// known how the answer begins.
    async fn converse(
        &self,
        caller: &Caller,
        service: Service,
        conversation: Conversation,
        input: Input,
        media_type: &'static str,
    ) -> Result<Response, Failure> {
        let path = percent_decoded(self.path).ok_or(Failure::NotFound)?;
        let (sender, mut chunks) = mpsc::channel(CHUNKS_IN_FLIGHT);
        let mut output = BodyOutput(sender);
        let mut running: Running = match service {
            Service::UploadPack => {
                let fetch = self.state.wire.open_fetch(caller, &path)?;
                Box::pin(async move { fetch.run(conversation, input, &mut output).await })
            }
            Service::ReceivePack => {
                let push = self.state.wire.open_push(caller, &path)?;
                Box::pin(async move { push.run(conversation, input, &mut output).await })
            }
        };
        let body = match now_or_later(&mut running).await {
            Some(ended) => match (chunks.try_recv(), ended) {
                // No more than this fits between the two.
                (Ok(all), _) => Body::from(all),
                (Err(_), Ok(())) => Body::empty(),
                (Err(_), Err(error)) => return Err(error.into()),
            },
            None => self.later(running, chunks).await?,
        };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        never_cached(headers);
        Ok(response)
    }

    /// Lets it go on, also if the peer does not wait for it: a push may have got to its commit.
    async fn later(
        &self,
        running: Running,
        mut chunks: mpsc::Receiver<Bytes>,
    ) -> Result<Body, Failure> {
        let running = self.state.tasks.spawn(running);
        match chunks.recv().await {
            Some(first) => {
                let rest = stream::unfold(chunks, async |mut chunks| {
                    chunks.recv().await.map(|chunk| (chunk, chunks))
                });
                let all = stream::iter([first]).chain(rest);
                Ok(Body::from_stream(all.map(Ok::<_, io::Error>)))
            }
            None => match running.await {
                Ok(Ok(())) => Ok(Body::empty()),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(Failure::Internal),
            },
        }
    }
}

/// A conversation under way.
type Running = Pin<Box<dyn Future<Output = Result<(), WireError>> + Send>>;

/// How it ended, if it never had to wait. Refs are mostly at hand: to pass them from one task to another
/// costs more than to find them.
async fn now_or_later(running: &mut Running) -> Option<Result<(), WireError>> {
    poll_fn(|context| {
        Poll::Ready(match running.as_mut().poll(context) {
            Poll::Ready(ended) => Some(ended),
            Poll::Pending => None,
        })
    })
    .await
}

fn version(headers: &HeaderMap) -> Version {
    headers
        .get("git-protocol")
        .map(HeaderValue::as_bytes)
        .filter(|value| value.len() <= MAX_GIT_PROTOCOL)
        .map(Version::from_git_protocol)
        .unwrap_or_default()
}

/// Reads in pieces that are worth a wake-up.
fn buffered(at_once: usize, reader: impl AsyncRead + Send + 'static) -> Input {
    Box::pin(BufReader::with_capacity(at_once, reader))
}

/// What git-http-backend(1) sends so that no proxy keeps an answer.
fn never_cached(headers: &mut HeaderMap) {
    headers.insert(
        header::EXPIRES,
        HeaderValue::from_static("Fri, 01 Jan 1980 00:00:00 GMT"),
    );
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, max-age=0, must-revalidate"),
    );
}

/// `%41` is `A`; `None` for broken escapes or bytes that are not UTF-8.
fn percent_decoded(path: &str) -> Option<String> {
    if !path.contains('%') {
        return Some(path.to_owned());
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        decoded.push(u8::from_str_radix(digits, 16).ok()?);
        rest = rest.get(2..)?;
    }
    String::from_utf8(decoded).ok()
}

struct BodyOutput(mpsc::Sender<Bytes>);

impl Output for BodyOutput {
    async fn send(&mut self, bytes: Bytes) -> Result<(), Disconnected> {
        self.0.send(bytes).await.map_err(|_| Disconnected)
    }
}

/// How a Git request ends before any of git's own protocol was spoken.
#[derive(Debug)]
enum Failure {
    Unauthenticated,
    Forbidden(String),
    NotFound,
    Busy,
    MediaType(&'static str),
    Encoding(String),
    BadRequest(String),
    TooLarge,
    Internal,
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unauthenticated => Self::Unauthenticated,
            Refused::Forbidden(reason) => Self::Forbidden(reason),
            Refused::NotFound => Self::NotFound,
            Refused::Internal => Self::Internal,
        }
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Refused(refused) => refused.into(),
            WireError::Busy => Self::Busy,
            WireError::TooLarge => Self::TooLarge,
            WireError::Internal => Self::Internal,
            other => Self::BadRequest(other.for_peer()),
        }
    }
}

impl Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Unauthenticated => {
                let mut response = text(StatusCode::UNAUTHORIZED, "authentication required");
                response.headers_mut().insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Basic realm=\"packhorse\", charset=\"UTF-8\""),
                );
                response
            }
            Self::Forbidden(reason) => text(StatusCode::FORBIDDEN, &reason),
            Self::NotFound => text(StatusCode::NOT_FOUND, "repository not found"),
            Self::Busy => {
                let mut response = text(
                    StatusCode::TOO_MANY_REQUESTS,
                    "the server is busy, try again later",
                );
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
                response
            }
            Self::MediaType(expected) => text(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                &format!("expected the content type {expected}"),
            ),
            Self::Encoding(encoding) => text(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                &format!("content encoding {encoding:?} is not gzip"),
            ),
            Self::TooLarge => text(StatusCode::PAYLOAD_TOO_LARGE, "request is too large"),
            Self::BadRequest(reason) => text(StatusCode::BAD_REQUEST, &reason),
            Self::Internal => text(StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
        }
    }
}

fn not_allowed(allowed: &'static str) -> Response {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// A line for people; git shows it as `remote: …`.
fn text(status: StatusCode, line: &str) -> Response {
    let mut response = (status, format!("{line}\n")).into_response();
    never_cached(response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_follow_from_the_path_alone() {
        let advertisement = |path, service| Some(Route::Advertisement { path, service });
        assert_eq!(
            route("/a/b.git/info/refs", Some("service=git-upload-pack")),
            advertisement("/a/b.git", Some(Service::UploadPack))
        );
        assert_eq!(
            route("/a/b/info/refs", Some("x=1&service=git-receive-pack")),
            advertisement("/a/b", Some(Service::ReceivePack))
        );
        assert_eq!(route("/a/b/info/refs", None), advertisement("/a/b", None));
        assert_eq!(
            route("/a/b/git-receive-pack", Some("service=git-upload-pack")),
            Some(Route::Run {
                path: "/a/b",
                service: Service::ReceivePack
            })
        );
        assert_eq!(route("/a/b", None), None);
        assert_eq!(route("/a/bgit-receive-pack", None), None);
    }

    #[test]
    fn escapes_are_decoded_once_and_broken_ones_refused() {
        assert_eq!(percent_decoded("/a%2Fb").as_deref(), Some("/a/b"));
        assert_eq!(percent_decoded("/a%252Fb").as_deref(), Some("/a%2Fb"));
        for broken in ["%", "%4", "%zz", "%+1", "%ff"] {
            assert_eq!(percent_decoded(broken), None, "{broken}");
        }
    }
}
