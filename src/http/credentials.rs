//! Credentials in HTTP headers, wherever this server's clients put them.
//!
//! Source: RFC 7617 (Basic), RFC 6750 (Bearer), GitLab's `PRIVATE-TOKEN`, CodeArts' `X-Auth-Token`.
//! Bounds: header sizes are bounded by the HTTP layer.
//! Invariant: more than one credential is refused, so that no two layers can disagree which counts.
//! Not here: what a credential is worth (`auth`).

use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{
    auth::{AuthError, Authenticator},
    model::Caller,
};

/// Headers that carry a bare token.
const TOKEN_HEADERS: &[&str] = &["private-token", "x-auth-token"];

/// Why no caller came of the headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialError {
    /// Not a credential of ours, or more than one.
    Refused,
    /// Too many failed tries of late.
    TooMany,
}

/// Finds out who sends these headers; nobody in particular if they hold no credential.
///
/// # Errors
/// When there is a credential that is not good; it is never taken for "no credential".
pub async fn caller(
    authenticator: &Authenticator,
    headers: &HeaderMap,
    address: Option<IpAddr>,
) -> Result<Caller, CredentialError> {
    let named = TOKEN_HEADERS.iter().flat_map(|name| headers.get_all(*name));
    let mut given = headers.get_all(header::AUTHORIZATION).iter().chain(named);
    let Some(value) = given.next() else {
        return Ok(Caller::anonymous(address));
    };
    if given.next().is_some() {
        return Err(CredentialError::Refused);
    }
    let value = value.to_str().map_err(|_| CredentialError::Refused)?;
    let outcome = if headers.contains_key(header::AUTHORIZATION) {
        let (scheme, rest) = value.split_once(' ').ok_or(CredentialError::Refused)?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            authenticator.bearer(rest, address)
        } else if scheme.eq_ignore_ascii_case("basic") {
            let (user, password) = basic(rest).ok_or(CredentialError::Refused)?;
            authenticator.basic(&user, &password, address).await
        } else {
            return Err(CredentialError::Refused);
        }
    } else {
        authenticator.bearer(value, address)
    };
    outcome.map_err(|error| {
        tracing::info!(?address, %error, "credential refused");
        match error {
            AuthError::TooManyTries { .. } => CredentialError::TooMany,
            _ => CredentialError::Refused,
        }
    })
}

fn basic(encoded: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_splits_at_the_first_colon() {
        let encoded = BASE64_STANDARD.encode("alice:s:e");
        assert_eq!(basic(&encoded), Some(("alice".into(), "s:e".into())));
        assert_eq!(basic("!"), None);
        assert_eq!(basic(&BASE64_STANDARD.encode("alice")), None);
    }
}
