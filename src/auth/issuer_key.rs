//! The public keys that namespaces give us to verify JWTs with.
//!
//! Source: RFC 7468 (PEM), RFC 7518 section 3.1 (algorithms).
//! Bounds: [`PEM_BYTES_MAX`].
//! Invariant: the algorithms a key may verify follow from the key, never from a JWT.

use jsonwebtoken::{AlgorithmFamily, DecodingKey};

use crate::store::issuers::KeyFamily;

/// Longest PEM text, in bytes.
pub const PEM_BYTES_MAX: usize = 16 * 1024;

/// Why a key is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerKeyError {
    /// Longer than [`PEM_BYTES_MAX`].
    #[error("issuer key of {0} bytes, at most {PEM_BYTES_MAX} allowed")]
    TooLong(usize),
    /// It is the half that must stay secret.
    #[error("this is a private key: keep it secret and give the public one")]
    Private,
    /// It is no PEM text of a public RSA, EC or Ed25519 key.
    #[error("not a public RSA, EC or Ed25519 key in PEM")]
    Unreadable,
}

/// What kind of key a PEM text holds.
///
/// # Errors
/// When it holds none that can verify JWTs.
pub fn family(pem: &str) -> Result<KeyFamily, IssuerKeyError> {
    if pem.len() > PEM_BYTES_MAX {
        return Err(IssuerKeyError::TooLong(pem.len()));
    }
    if pem.contains("PRIVATE KEY") {
        return Err(IssuerKeyError::Private);
    }
    [KeyFamily::Ec, KeyFamily::Rsa, KeyFamily::Ed]
        .into_iter()
        .find(|family| decoding_key(pem, *family).is_some())
        .ok_or(IssuerKeyError::Unreadable)
}

pub(super) fn decoding_key(pem: &str, family: KeyFamily) -> Option<DecodingKey> {
    let pem = pem.as_bytes();
    match family {
        KeyFamily::Rsa => DecodingKey::from_rsa_pem(pem),
        KeyFamily::Ec => DecodingKey::from_ec_pem(pem),
        KeyFamily::Ed => DecodingKey::from_ed_pem(pem),
    }
    .ok()
}

/// The kind of key that a JWT's algorithm needs; none for the symmetric ones.
pub(super) fn family_of(algorithm: jsonwebtoken::Algorithm) -> Option<KeyFamily> {
    match algorithm.family() {
        AlgorithmFamily::Rsa => Some(KeyFamily::Rsa),
        AlgorithmFamily::Ec => Some(KeyFamily::Ec),
        AlgorithmFamily::Ed => Some(KeyFamily::Ed),
        AlgorithmFamily::Hmac => None,
    }
}
