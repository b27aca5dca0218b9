//! The management APIs: each surface parses and renders, and all call the same `hosting`.
//!
//! Source: RFC 9110 for methods and statuses.
//! Bounds: bodies by configuration, queries and pages in their own files.
//! Invariant: routes match the raw path, so that `acme%2Fnovel` is one segment; a trailing slash
//! changes nothing; what lies below `/api` is always answered in JSON; nothing redirects.
//! Not here: rules of what may be done (`policy`) and doing it (`hosting`).

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    response::Response,
    routing::{MethodRouter, any},
};

pub use self::upload::UploadLimits;
use self::{request::failure, upload::Uploads};
use crate::{
    auth::Authenticator,
    hosting::{Hosting, HostingError},
    mirror::Mirrors,
    store::StoreError,
};

mod admin;
mod body;
mod code_storage;
mod query;
mod request;
#[cfg(test)]
mod tests;
mod upload;

/// What every handler works with.
#[derive(Clone)]
struct App {
    hosting: Hosting,
    authenticator: Authenticator,
    mirrors: Mirrors,
    /// Base of the URLs that clients are told, without trailing slash.
    public_url: Arc<str>,
    body_max_bytes: usize,
    /// For commits being sent.
    uploads: Uploads,
    /// For files being sent.
    room: code_storage::Room,
}

/// What requests may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a body that is no upload.
    pub body_bytes: usize,
    /// What an upload may cost.
    pub upload: UploadLimits,
}

/// All management APIs.
pub fn router(
    hosting: Hosting,
    authenticator: Authenticator,
    mirrors: Mirrors,
    public_url: String,
    limits: Limits,
) -> Router {
    let app = App {
        hosting,
        authenticator,
        mirrors,
        public_url: public_url.into(),
        body_max_bytes: limits.body_bytes,
        uploads: Uploads::new(limits.upload),
        room: code_storage::Room::default(),
    };
    Router::new()
        .merge(code_storage::routes(&app))
        .merge(admin::routes())
        .method_not_allowed_fallback(wrong_method)
        .route("/api", any(unknown_path))
        .route("/api/", any(unknown_path))
        .route("/api/{*rest}", any(unknown_path))
        .with_state(app)
}

/// A table of routes, each with and without a trailing slash.
fn table(rows: impl IntoIterator<Item = (&'static str, MethodRouter<App>)>) -> Router<App> {
    rows.into_iter()
        .fold(Router::new(), |router, (path, methods)| {
            router
                .route(path, methods.clone())
                .route(&format!("{path}/"), methods)
        })
}

/// Runs `work` where blocking is fine.
async fn off_runtime<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<HostingError> + Send + 'static,
{
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| HostingError::Store(StoreError::Panicked))?
}

/// The router adds the `Allow` header.
async fn wrong_method(request: Request) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let error = format!("{method} is not allowed at {path}");
    failure(StatusCode::METHOD_NOT_ALLOWED, error)
}

async fn unknown_path(request: Request) -> Response {
    let error = format!("there is nothing at {}", request.uri().path());
    failure(StatusCode::NOT_FOUND, error)
}
