//! HTTP: listeners, TLS, who is asking, Git's routes, and what operators and monitors look at.
//!
//! Source: RFC 9110, RFC 9112 (HTTP/1.1), RFC 9113 (HTTP/2).
//! Invariant: every request is answered by exactly one log line, without its query and headers,
//! since tokens travel in both.
//! Not here: the management APIs (`api`), which are merged into the same router by `server`.

mod bounded;
mod credentials;
mod git;
mod listener;
mod metrics;
mod operations;
mod punctual;
mod request_log;
mod tls;

use axum::{Router, middleware};

pub(crate) use self::listener::accept;
pub use self::{
    credentials::{CredentialError, caller},
    git::GitState,
    listener::{Accepting, Peer, serve},
    metrics::metrics_handle,
    operations::Readiness,
    tls::{TlsError, TlsSource},
};

/// The whole HTTP side: `apis` first, then operators' routes, then Git for every other path.
pub fn router(git: GitState, readiness: Readiness, apis: Router) -> Router {
    Router::new()
        .fallback(git::serve)
        .with_state(git)
        .merge(apis)
        .merge(operations::router(readiness))
        .layer(middleware::from_fn(request_log::log))
}
