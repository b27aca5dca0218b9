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

/// Whether new work should be sent here; false while the server drains.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Says whether new work is welcome from now on.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }
}

pub(super) fn router<S: Clone + Send + Sync + 'static>(readiness: Readiness) -> Router<S> {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready).with_state(readiness))
        .route("/metrics", get(metrics))
}

/// `GET /readyz`: 200 while new work is welcome, 503 while the server drains.
async fn ready(State(readiness): State<Readiness>) -> Response {
    if readiness.0.load(Ordering::Relaxed) {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    }
}

/// `GET /metrics`: all counters and gauges as text.
async fn metrics() -> Response {
    let text = metrics_handle().render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
