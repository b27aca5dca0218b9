//! Refusals in Code Storage's words: a status and `{"error": "..."}`.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    api::{
        query::QueryError,
        request::{RequestError, failure, internal, status_of_hosting},
        upload::UploadError,
    },
    git::{GlobsError, receive::ReceiveError},
    hosting::{CommitError, HostingError, Refusal},
    model::{NameError, RefNameError, Scope},
    policy::{self, Denied},
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
    /// A commit was not made, or a ref not moved.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The body of an upload can't be read to its end.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// A name of a namespace or a repository is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A name of a branch is none.
    #[error(transparent)]
    Ref(#[from] RefNameError),
    /// Patterns of paths are none.
    #[error(transparent)]
    Globs(#[from] GlobsError),
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
    /// The credential lacks this scope, at a route whose pages call that forbidden.
    #[error("the credential lacks the scope {name}", name = .0.as_str())]
    LacksScope(Scope),
    /// No mirror can be synced now.
    #[error("the sync service is unavailable, try again later")]
    SyncUnavailable,
    /// More was sent than is taken.
    #[error("{0}")]
    TooMuchSent(String),
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

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Commit(CommitError::Refused(refusal))
    }
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        Self::Request(error.into())
    }
}

impl Error {
    /// For the one route whose pages say 403 of a missing scope.
    pub(super) fn forbidden_without_scope(error: HostingError) -> Self {
        match error {
            HostingError::Denied(Denied::MissingScope(scope)) => Self::LacksScope(scope),
            other => other.into(),
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Hosting(error) | Self::Commit(CommitError::Hosting(error)) => match error {
                HostingError::Denied(Denied::MissingScope(_)) => MISSING_SCOPE,
                error => status_of_hosting(error),
            },
            Self::Commit(error) => status_of_commit(error),
            Self::Upload(error) => match error {
                UploadError::LongLine(_) | UploadError::TooLarge(_) => {
                    StatusCode::PAYLOAD_TOO_LARGE
                }
                UploadError::Silence(_) | UploadError::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
                UploadError::Unreadable => StatusCode::BAD_REQUEST,
                UploadError::Busy => StatusCode::SERVICE_UNAVAILABLE,
            },
            Self::Request(error) => error.status(),
            Self::Name(_)
            | Self::Ref(_)
            | Self::Globs(_)
            | Self::Parameter(_)
            | Self::NotServed(_) => StatusCode::BAD_REQUEST,
            Self::SourceToken => StatusCode::UNAUTHORIZED,
            Self::LacksScope(_) => StatusCode::FORBIDDEN,
            Self::SyncUnavailable => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::TooMuch(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooMuchSent(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::OutOfRange { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

fn status_of_commit(error: &CommitError) -> StatusCode {
    match error {
        CommitError::Hosting(error) => status_of_hosting(error),
        CommitError::NoBranch(_) | CommitError::NoStart(_) | CommitError::NoNote(_) => {
            StatusCode::NOT_FOUND
        }
        CommitError::Moved { .. } | CommitError::Conflict(_) => StatusCode::CONFLICT,
        CommitError::Invalid(_) => StatusCode::BAD_REQUEST,
        CommitError::Contended(_) => StatusCode::SERVICE_UNAVAILABLE,
        CommitError::Unfit(ReceiveError::Limit { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
        CommitError::Unfit(_) => StatusCode::BAD_REQUEST,
        CommitError::Refused(refusal) => match refusal {
            Refusal::Policy(policy::Refusal::DefaultBranch) => StatusCode::CONFLICT,
            Refusal::Policy(_) => StatusCode::FORBIDDEN,
            Refusal::NoSuchRef | Refusal::MissingObject(_) => StatusCode::NOT_FOUND,
            Refusal::Stale
            | Refusal::AlreadyExists
            | Refusal::Conflict(_)
            | Refusal::Duplicate
            | Refusal::TooManyRefs(_)
            | Refusal::Atomic => StatusCode::CONFLICT,
            Refusal::NotACommit(_) => StatusCode::BAD_REQUEST,
        },
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        if status == StatusCode::INTERNAL_SERVER_ERROR && !matches!(self, Self::SyncUnavailable) {
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
