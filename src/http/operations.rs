//! `/healthz`, `/readyz` and `/metrics`.
//!
//! Source: the probes of Kubernetes and friends; the Prometheus text format 0.0.4.
//! Invariant: these answer without touching a repository and tell nothing about any.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::metrics::metrics_handle;

/// Whether new work should be sent here: not while the server drains, nor once it needs a restart.
#[derive(Clone)]
pub struct Readiness {
    welcome: Arc<AtomicBool>,
    broken: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Readiness {
    /// Not ready yet; `broken` says at any time whether only a restart helps.
    pub fn new(broken: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self {
            welcome: Arc::default(),
            broken: Arc::new(broken),
        }
    }

    /// Says whether new work is welcome from now on.
    pub fn set(&self, ready: bool) {
        self.welcome.store(ready, Ordering::Relaxed);
    }
}

pub(super) fn router<S: Clone + Send + Sync + 'static>(readiness: Readiness) -> Router<S> {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready).with_state(readiness))
        .route("/metrics", get(metrics))
}

/// `GET /readyz`: 200 while new work is welcome, 503 while the server drains or its store has failed.
async fn ready(State(readiness): State<Readiness>) -> Response {
    let reason = if (readiness.broken)() {
        "the store has failed, restart the server\n"
    } else if !readiness.welcome.load(Ordering::Relaxed) {
        "draining\n"
    } else {
        return "ready\n".into_response();
    };
    (StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
}

/// `GET /metrics`: all counters and gauges as text.
async fn metrics() -> Response {
    let text = metrics_handle().render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
