//! Refusals in Code Storage's words: a status and `{"error": "..."}`.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    api::{
        query::QueryError,
        request::{RequestError, failure, internal, status_of_hosting},
    },
    hosting::HostingError,
    model::{NameError, RefNameError},
    policy::Denied,
};

/// What a credential without the scope gets. The API's pages say 401 for every route of this
/// module; its clients look at the class of the status alone.
const MISSING_SCOPE: StatusCode = StatusCode::UNAUTHORIZED;

/// Why a request of this API is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The caller may not, or the server failed.
    #[error(transparent)]
    Hosting(#[from] HostingError),
    /// The request itself is not understood.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A name of a namespace or a repository is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A name of a branch is none.
    #[error(transparent)]
    Ref(#[from] RefNameError),
    /// A parameter holds what it can't.
    #[error("{0}")]
    Parameter(String),
    /// There is no such branch, commit or file.
    #[error("{0}")]
    NotFound(String),
    /// There is more of it than can be served.
    #[error("{0}")]
    TooMuch(String),
    /// The token that a fork brings for its source is none that opens it.
    #[error("base_repo: the token does not open the source")]
    SourceToken,
    /// The file is not what the client thinks.
    #[error("precondition failed")]
    PreconditionFailed,
    /// The file has no such range.
    #[error("range is beyond the {size} bytes of the file")]
    OutOfRange {
        /// What it has.
        size: u64,
    },
    /// No memory for another file.
    #[error("too many files are being sent, try again later")]
    Busy,
    /// Something that the API describes and this server does not do.
    #[error("{0}")]
    NotServed(&'static str),
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        Self::Hosting(denied.into())
    }
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        Self::Request(error.into())
    }
}

impl Error {
    fn status(&self) -> StatusCode {
        match self {
            Self::Hosting(HostingError::Denied(Denied::MissingScope(_))) => MISSING_SCOPE,
            Self::Hosting(error) => status_of_hosting(error),
            Self::Request(error) => error.status(),
            Self::Name(_) | Self::Ref(_) | Self::Parameter(_) | Self::NotServed(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::SourceToken => StatusCode::UNAUTHORIZED,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::TooMuch(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::OutOfRange { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            return internal(&self);
        }
        let mut response = failure(status, self.to_string());
        if let Self::OutOfRange { size } = self
            && let Ok(range) = HeaderValue::from_str(&format!("bytes */{size}"))
        {
            response.headers_mut().insert(header::CONTENT_RANGE, range);
        }
        response
    }
}
