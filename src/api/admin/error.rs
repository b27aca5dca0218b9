//! Refusals of our own API: a status and `{"error": "..."}`.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

use crate::{
    api::{
        query::QueryError,
        request::{RequestError, failure, internal, status_of_hosting},
    },
    hosting::HostingError,
    policy::Denied,
};

/// Why a request of this API is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The caller may not, what is asked for can't be, or the server failed.
    #[error(transparent)]
    Hosting(#[from] HostingError),
    /// The request itself is not understood.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A value can't be what it should be.
    #[error("{field}: {reason}")]
    Value {
        /// Where it stands.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// A value that its parser refuses.
    pub(super) fn value(field: &'static str, reason: impl ToString) -> Self {
        Self::Value {
            field,
            reason: reason.to_string(),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Hosting(error) => status_of_hosting(error),
            Self::Request(error) => error.status(),
            Self::Value { .. } => StatusCode::BAD_REQUEST,
        }
    }
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

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        match status == StatusCode::INTERNAL_SERVER_ERROR {
            true => internal(&self),
            false => failure(status, self.to_string()),
        }
    }
}
