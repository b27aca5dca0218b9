//! What every management API asks of a request before it looks at what is wanted.
//!
//! Invariant: a refusal is JSON, `{"error": "..."}`, and holds nothing of a credential.
//! Not here: what the caller may do (`policy`) and each API's own errors.

use axum::{
    Json,
    extract::{FromRequestParts, RawPathParams},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{App, query::QueryError};
use crate::{
    auth::PasswordError,
    hosting::HostingError,
    http::{self, CredentialError, Peer},
    model::Caller,
    policy::Denied,
};

/// When a client that tried too many credentials may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("60");
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"packhorse\"");

/// Why a request is refused whatever it wants.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// There is a credential, and it is not good.
    #[error("the credential is not valid")]
    BadCredential,
    /// Too many credentials were tried of late.
    #[error("too many failed attempts, try again later")]
    TooManyTries,
    /// The query can't be used.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A segment of the path is not percent-encoded UTF-8.
    #[error("path is not percent-encoded UTF-8")]
    Path,
    /// The body is no JSON, or not what is expected here.
    #[error("body is not understood: {0}")]
    NotUnderstood(serde_json::Error),
    /// The body is larger than the server takes.
    #[error("body is larger than {most} bytes")]
    TooLarge {
        /// What the server takes.
        most: usize,
    },
    /// The body is compressed.
    #[error("body must not be compressed")]
    Encoded,
    /// The body ended early.
    #[error("body can't be read")]
    Unreadable,
}

impl RequestError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::BadCredential => StatusCode::UNAUTHORIZED,
            Self::TooManyTries => StatusCode::TOO_MANY_REQUESTS,
            Self::Query(_) | Self::Path | Self::NotUnderstood(_) | Self::Unreadable => {
                StatusCode::BAD_REQUEST
            }
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }
}

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        failure(self.status(), self.to_string())
    }
}

/// The status that says what `hosting` says, where an API has no word of its own on it.
pub(super) fn status_of_hosting(error: &HostingError) -> StatusCode {
    match error {
        full if full.is_full_disk() => StatusCode::INSUFFICIENT_STORAGE,
        HostingError::Denied(denied) => match denied {
            Denied::Unauthenticated => StatusCode::UNAUTHORIZED,
            Denied::NotVisible => StatusCode::NOT_FOUND,
            Denied::MissingScope(_)
            | Denied::OutsideGrant
            | Denied::RoleTooLow { .. }
            | Denied::NotAdministrator => StatusCode::FORBIDDEN,
        },
        HostingError::NotFound { .. } => StatusCode::NOT_FOUND,
        HostingError::TooMuch(_) => StatusCode::UNPROCESSABLE_ENTITY,
        HostingError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        HostingError::Taken { .. } | HostingError::TooMany { .. } => StatusCode::CONFLICT,
        HostingError::Invalid { .. }
        | HostingError::PublicKey(_)
        | HostingError::IssuerKey(_)
        | HostingError::Password(PasswordError::Empty | PasswordError::TooLong(_)) => {
            StatusCode::BAD_REQUEST
        }
        HostingError::Password(PasswordError::Hash(_))
        | HostingError::Disk(_)
        | HostingError::Objects(_)
        | HostingError::Fork(_)
        | HostingError::Tree(_)
        | HostingError::Folder { .. }
        | HostingError::Receive(_)
        | HostingError::Gone(_)
        | HostingError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What a client reads of a failure that is ours; the log gets the whole of it.
pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Response {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    failure(status, error_text(error, status))
}

/// What a client reads of a refusal with this status; of a failure that is ours the log gets the whole.
pub(super) fn error_text(error: &(dyn std::error::Error + 'static), status: StatusCode) -> String {
    if status != StatusCode::INTERNAL_SERVER_ERROR {
        return error.to_string();
    }
    tracing::error!(error, "request failed");
    "internal error".to_owned()
}

/// The body of a refusal.
#[derive(Debug, Serialize)]
struct ErrorBody {
    error: String,
}

/// A refusal as Code Storage and our own API word it, with the headers its status calls for.
pub(super) fn failure(status: StatusCode, error: impl Into<String>) -> Response {
    let body = ErrorBody {
        error: error.into(),
    };
    with_headers(status, Json(body))
}

/// A refusal with this body and the headers that its status calls for.
pub(super) fn with_headers(status: StatusCode, body: impl IntoResponse) -> Response {
    let mut response = (status, body).into_response();
    match status {
        StatusCode::UNAUTHORIZED => {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, CHALLENGE);
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        _ => {}
    }
    response
}

impl FromRequestParts<App> for Caller {
    type Rejection = RequestError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, RequestError> {
        let peer = parts.extensions.get::<Peer>();
        let address = peer.map(|peer| peer.address.ip());
        http::caller(&app.authenticator, &parts.headers, address)
            .await
            .map_err(|error| match error {
                CredentialError::Refused => RequestError::BadCredential,
                CredentialError::TooMany => RequestError::TooManyTries,
            })
    }
}

/// The captured segments of the path, percent-decoded.
#[derive(Debug)]
pub(super) struct Segments(Vec<String>);

impl Segments {
    /// The segments in the order of the route, which has `N` of them.
    ///
    /// # Panics
    /// When the route has another number of them.
    pub(super) fn take<const N: usize>(self) -> [String; N] {
        self.0
            .try_into()
            .expect("a handler knows how many segments its route captures")
    }
}

impl FromRequestParts<App> for Segments {
    type Rejection = RequestError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, RequestError> {
        let captured = RawPathParams::from_request_parts(parts, app)
            .await
            .map_err(|_| RequestError::Path)?;
        Ok(Self(
            captured.iter().map(|(_, value)| value.to_owned()).collect(),
        ))
    }
}
