//! Random values, and the server's own secret.
//!
//! Source: HMAC-SHA256 (RFC 2104); AES-256-GCM (NIST SP 800-38D) with random nonces. Random bytes come
//! from the cryptography library alone.
//! Invariant: what the store keeps of a token or a sealed secret is worthless without the server's
//! secret; a sealed one opens in the place that it was sealed for, and in no other.

use std::{fmt::Write as _, sync::Arc};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac, rand,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::model::Secret;

/// What every token begins with, so that people and scanners know one when they see it.
pub const TOKEN_PREFIX: &str = "ph_";

/// Bytes of the server's secret and of a token's.
pub const SECRET_BYTES: usize = 32;

/// The secret that the hashes of tokens are keyed with, and that seals what must be read again.
#[derive(Clone)]
pub struct ServerSecret {
    hashing: hmac::Key,
    sealing: Arc<LessSafeKey>,
}

/// First byte of everything sealed: how it was.
const SEALED_VERSION: u8 = 1;

impl ServerSecret {
    /// Takes the secret.
    ///
    /// # Panics
    /// Never: the key has the length that the cipher takes.
    pub fn new(secret: &Secret<[u8; SECRET_BYTES]>) -> Self {
        let hashing = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        let sealing = hmac::sign(&hashing, b"sealing\0");
        let sealing = UnboundKey::new(&AES_256_GCM, sealing.as_ref()).expect("32 bytes are a key");
        Self {
            hashing,
            sealing: Arc::new(LessSafeKey::new(sealing)),
        }
    }

    /// Encrypts what `place` shall hold.
    ///
    /// # Panics
    /// When the system has no randomness to give, or there is more than a cipher takes at once.
    pub fn seal(&self, place: &str, plain: &[u8]) -> Vec<u8> {
        let nonce = random_bytes::<NONCE_LEN>();
        let mut sealed = plain.to_vec();
        self.sealing
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place.as_bytes()),
                &mut sealed,
            )
            .expect("secrets are short");
        [&[SEALED_VERSION], &nonce[..], &sealed].concat()
    }

    /// What was sealed for `place`; `None` if it was not, or not by this server.
    pub fn unseal(&self, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let body = sealed.strip_prefix(&[SEALED_VERSION])?;
        let (nonce, body) = body.split_first_chunk::<NONCE_LEN>()?;
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let place = Aad::from(place.as_bytes());
        let plain = self.sealing.open_in_place(nonce, place, &mut body).ok()?;
        Some(plain.to_vec())
    }

    /// What the store keeps of a token.
    pub fn token_hash(&self, token: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.hashing);
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
    fn what_is_sealed_opens_in_its_place_and_with_its_secret_alone() {
        let secret = |byte| ServerSecret::new(&Secret::new([byte; SECRET_BYTES]));
        let sealed = secret(1).seal("here", b"hunter2");
        assert_eq!(secret(1).unseal("here", &sealed).unwrap(), b"hunter2");
        assert!(!sealed.windows(7).any(|bytes| bytes == b"hunter2"));
        assert_ne!(
            sealed,
            secret(1).seal("here", b"hunter2"),
            "each has a nonce of its own"
        );
        assert_eq!(secret(1).unseal("there", &sealed), None);
        assert_eq!(secret(2).unseal("here", &sealed), None);
        for at in 0..sealed.len() {
            let mut other = sealed.clone();
            other[at] ^= 1;
            assert_eq!(secret(1).unseal("here", &other), None, "byte {at}");
            assert_eq!(secret(1).unseal("here", &sealed[..at]), None, "{at} bytes");
        }
    }

    #[test]
    fn the_same_token_hashes_otherwise_under_another_secret() {
        let secret = |byte| ServerSecret::new(&Secret::new([byte; SECRET_BYTES]));
        assert_eq!(secret(1).token_hash("ph_x"), secret(1).token_hash("ph_x"));
        assert_ne!(secret(1).token_hash("ph_x"), secret(2).token_hash("ph_x"));
        assert_ne!(secret(1).token_hash("ph_x"), secret(1).token_hash("ph_y"));
    }
}
