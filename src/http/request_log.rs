//! One log line and one count for each request.
//!
//! Invariant: neither the query nor a header is logged, since both may carry tokens.

use std::time::Instant;

use axum::{extract::Request, middleware::Next, response::Response};

use super::listener::Peer;

pub(super) async fn log(request: Request, next: Next) -> Response {
    let begin = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let peer = request.extensions().get::<Peer>().map(|peer| peer.address);
    let response = next.run(request).await;
    let status = response.status().as_u16();
    metrics::counter!("packhorse_http_requests_total", "method" => method_label(&method), "status" => status.to_string())
        .increment(1);
    let millis = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(%method, path, status, millis, ?peer, "request");
    response
}

/// Methods are the peer's to invent; labels are not.
fn method_label(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}
