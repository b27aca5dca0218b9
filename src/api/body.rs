//! JSON bodies of the management APIs.
//!
//! Source: RFC 8259.
//! Bounds: the body by the server's configuration, whether or not its length was announced.
//! Invariant: bytes are read before a handler runs and understood only when it asks, so that a
//! handler can first find out whether the caller may.

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::{App, request::RequestError};

/// The whole body of a request, not yet understood.
#[derive(Debug)]
pub(super) struct JsonBody(Bytes);

impl JsonBody {
    /// What the body says.
    ///
    /// # Errors
    /// When it is no JSON or not of this shape.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, RequestError> {
        serde_json::from_slice(&self.0).map_err(RequestError::NotUnderstood)
    }

    /// What the body says; an absent body says what an empty object does.
    ///
    /// # Errors
    /// When it is no JSON or not of this shape.
    pub(super) fn parse_or_empty<T: DeserializeOwned>(&self) -> Result<T, RequestError> {
        match self.0.trim_ascii().is_empty() {
            true => serde_json::from_slice(b"{}").map_err(RequestError::NotUnderstood),
            false => self.parse(),
        }
    }
}

impl FromRequest<App> for JsonBody {
    type Rejection = RequestError;

    async fn from_request(request: Request, app: &App) -> Result<Self, RequestError> {
        refuse_encoded(request.headers())?;
        let body = Limited::new(request.into_body(), app.body_max_bytes);
        match body.collect().await {
            Ok(read) => Ok(Self(read.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => Err(RequestError::TooLarge {
                most: app.body_max_bytes,
            }),
            Err(_) => Err(RequestError::Unreadable),
        }
    }
}

/// Bodies are read as they come: none of them is compressed.
pub(super) fn refuse_encoded(headers: &HeaderMap) -> Result<(), RequestError> {
    let encoded = headers.get(header::CONTENT_ENCODING);
    match encoded.is_some_and(|encoding| encoding != "identity") {
        true => Err(RequestError::Encoded),
        false => Ok(()),
    }
}
