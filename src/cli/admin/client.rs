//! The server's own API as the command line calls it.
//!
//! Bounds: an answer by [`ANSWER_MAX_BYTES`], a call by [`TIMEOUT`].
//! Invariant: redirects are not followed, so that the token goes to the server that was named and
//! to no other.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use ureq::{
    Agent, Body,
    http::{Response, StatusCode},
    tls::{RootCerts, TlsConfig},
};

use crate::model::Secret;

const ANSWER_MAX_BYTES: u64 = 16 << 20;
const TIMEOUT: Duration = Duration::from_secs(60);
/// Items asked for at once when all are wanted.
const PAGE: usize = 100;

/// A server and the token that it knows us by.
pub(super) struct Client {
    agent: Agent,
    url: String,
    token: Secret<String>,
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// No answer.
    #[error("can't reach {url}")]
    Unreachable {
        /// Whom we called.
        url: String,
        /// What went wrong.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The server refused, in its own words.
    #[error("{message}")]
    Refused {
        /// The status of the answer.
        status: StatusCode,
        /// What the server said.
        message: String,
    },
    /// An answer that is none of ours.
    #[error("{url} does not answer as a packhorse server does")]
    Foreign {
        /// Whom we called.
        url: String,
    },
}

impl Client {
    pub(super) fn new(url: String, token: Secret<String>) -> Self {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(
                rustls::crypto::aws_lc_rs::default_provider(),
            ))
            .build();
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(TIMEOUT))
            .user_agent(concat!("packhorse/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build()
            .new_agent();
        Self { agent, url, token }
    }

    /// Makes something below these path segments; the answer describes it.
    pub(super) fn post(&self, segments: &[&str], body: &Value) -> Result<Value, ClientError> {
        let url = self.address(segments);
        let answer = self
            .agent
            .post(&url)
            .header("authorization", self.authorization())
            .send_json(body);
        self.read(answer)
    }

    /// Deletes what these path segments name.
    pub(super) fn delete(&self, segments: &[&str]) -> Result<Value, ClientError> {
        let url = self.address(segments);
        let answer = self
            .agent
            .delete(&url)
            .header("authorization", self.authorization())
            .call();
        self.read(answer)
    }

    /// Hands over every item of a list, however many pages it has.
    pub(super) fn for_each(
        &self,
        segments: &[&str],
        mut each: impl FnMut(&Value) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut cursor: Option<String> = None;
        loop {
            let page = self.get(segments, cursor.as_deref())?;
            let items = page["items"].as_array().ok_or_else(|| self.foreign())?;
            items.iter().try_for_each(&mut each)?;
            match (&page["has_more"], page["next_cursor"].as_str()) {
                // A server that stays where it is would keep us here for ever.
                (Value::Bool(true), Some(next)) if cursor.as_deref() != Some(next) => {
                    cursor = Some(next.to_owned());
                }
                (Value::Bool(false), _) => return Ok(()),
                _ => return Err(self.foreign().into()),
            }
        }
    }

    /// Makes the namespace, an organization, unless there is one of this name.
    pub(super) fn ensure_namespace(&self, name: &str) -> Result<(), ClientError> {
        let status = |outcome: &Result<Value, ClientError>| match outcome {
            Err(ClientError::Refused { status, .. }) => Some(*status),
            _ => None,
        };
        let found = self.get(&["namespaces", name], None);
        if status(&found) != Some(StatusCode::NOT_FOUND) {
            return found.map(drop);
        }
        let made = self.post(&["namespaces"], &json!({"name": name}));
        match status(&made) {
            // Somebody else was faster.
            Some(StatusCode::CONFLICT) => Ok(()),
            _ => made.map(drop),
        }
    }

    fn get(&self, segments: &[&str], cursor: Option<&str>) -> Result<Value, ClientError> {
        let url = self.address(segments);
        let mut request = self
            .agent
            .get(&url)
            .header("authorization", self.authorization())
            .query("limit", PAGE.to_string());
        if let Some(cursor) = cursor {
            request = request.query("cursor", cursor);
        }
        let answer = request.call();
        self.read(answer)
    }

    fn authorization(&self) -> String {
        format!("Bearer {}", self.token.expose())
    }

    fn address(&self, segments: &[&str]) -> String {
        let mut address = format!("{}/api/v1/admin", self.url);
        for segment in segments {
            address.push('/');
            address.push_str(&escaped(segment));
        }
        address
    }

    fn foreign(&self) -> ClientError {
        ClientError::Foreign {
            url: self.url.clone(),
        }
    }

    fn read(&self, answer: Result<Response<Body>, ureq::Error>) -> Result<Value, ClientError> {
        let unreachable = |source| ClientError::Unreachable {
            url: self.url.clone(),
            source: Box::new(source),
        };
        let mut answer = answer.map_err(unreachable)?;
        let status = answer.status();
        let text = answer
            .body_mut()
            .with_config()
            .limit(ANSWER_MAX_BYTES)
            .read_to_string()
            .map_err(unreachable)?;
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let body: Option<Value> = serde_json::from_str(&text).ok();
        match body {
            Some(body) if status.is_success() => Ok(body),
            Some(body) if body["error"].is_string() => Err(ClientError::Refused {
                status,
                message: super::text(&body["error"]),
            }),
            _ if status.is_success() => Err(self.foreign()),
            _ => Err(ClientError::Refused {
                status,
                message: format!("the server answered {status}"),
            }),
        }
    }
}

/// One path segment in which even a slash is data.
fn escaped(segment: &str) -> String {
    let mut escaped = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_segment() {
        let client = Client::new("http://localhost".to_owned(), Secret::new(String::new()));
        assert_eq!(
            client.address(&["repositories", "acme/a b+ä"]),
            "http://localhost/api/v1/admin/repositories/acme%2Fa%20b%2B%C3%A4"
        );
    }
}
