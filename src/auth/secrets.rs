//! Random values, and the server's own secret.
//!
//! Source: HMAC-SHA256 (RFC 2104). Random bytes come from the cryptography library alone.
//! Invariant: what the store keeps of a token is worthless without the server's secret.

use std::fmt::Write as _;

use aws_lc_rs::{hmac, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::model::Secret;

/// What every token begins with, so that people and scanners know one when they see it.
pub const TOKEN_PREFIX: &str = "ph_";

/// Bytes of the server's secret and of a token's.
pub const SECRET_BYTES: usize = 32;

/// The secret that the hashes of tokens are keyed with.
#[derive(Clone)]
pub struct ServerSecret(hmac::Key);

impl ServerSecret {
    /// Takes the secret.
    pub fn new(secret: &Secret<[u8; SECRET_BYTES]>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose()))
    }

    /// What the store keeps of a token.
    pub fn token_hash(&self, token: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        // The purpose goes in front, so that other uses of the secret never yield these hashes.
        context.update(b"token\0");
        context.update(token.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(context.sign().as_ref());
        hash
    }
}

/// Fresh random bytes.
///
/// # Panics
/// When the system has no randomness to give, in which case no secret may be made at all.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

/// A new token: the prefix and 256 random bits.
pub fn new_token() -> Secret<String> {
    let random = URL_SAFE_NO_PAD.encode(random_bytes::<SECRET_BYTES>());
    Secret::new(format!("{TOKEN_PREFIX}{random}"))
}

/// Whether this text is shaped like a token of ours.
pub fn is_token(text: &str) -> bool {
    text.starts_with(TOKEN_PREFIX)
}

/// A new uuid: 32 lower-case hex digits.
pub fn new_uuid() -> String {
    let mut hex = String::with_capacity(32);
    for byte in random_bytes::<16>() {
        write!(hex, "{byte:02x}").expect("a string takes what is written to it");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_uuids_do_not_repeat_and_have_their_shape() {
        let (one, other) = (new_token(), new_token());
        assert_ne!(one.expose(), other.expose());
        assert!(is_token(one.expose()));
        assert_eq!(one.expose().len(), 46);
        let uuid = new_uuid();
        assert_eq!(uuid.len(), 32);
        assert!(uuid.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(uuid, new_uuid());
    }

    #[test]
    fn the_same_token_hashes_otherwise_under_another_secret() {
        let secret = |byte| ServerSecret::new(&Secret::new([byte; SECRET_BYTES]));
        assert_eq!(secret(1).token_hash("ph_x"), secret(1).token_hash("ph_x"));
        assert_ne!(secret(1).token_hash("ph_x"), secret(2).token_hash("ph_x"));
        assert_ne!(secret(1).token_hash("ph_x"), secret(1).token_hash("ph_y"));
    }
}
