//! Passwords: argon2id, slow on purpose, and therefore few at a time.
//!
//! Source: RFC 9106 (argon2id), with the parameters that the library takes for its default.
//! Bounds: [`AT_ONCE`] computations run, [`WAITING_MAX`] wait, further ones are turned away;
//! [`PASSWORD_BYTES_MAX`].
//! Invariant: a user that does not exist costs the same time as one with a wrong password.

use std::sync::{Arc, OnceLock};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use tokio::sync::Semaphore;

use super::AuthError;
use crate::store::StoreError;

/// Longest password, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Computations at a time; each takes about 20 MB and 20 ms.
const AT_ONCE: usize = 2;

/// Logins that may wait for their computation.
const WAITING_MAX: usize = 64;

/// Why a password can't be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Nothing there.
    #[error("password is empty")]
    Empty,
    /// Longer than [`PASSWORD_BYTES_MAX`].
    #[error("password of {0} bytes, at most {PASSWORD_BYTES_MAX} allowed")]
    TooLong(usize),
    /// The hash could not be computed.
    #[error("password can't be hashed: {0}")]
    Hash(String),
}

/// The hash of a new password as a PHC string. Slow: call it where blocking is fine.
///
/// # Errors
/// When the password is empty or too long, or memory is short.
pub fn hash_password(password: &str) -> Result<String, PasswordError> {
    match password.len() {
        0 => return Err(PasswordError::Empty),
        length if length > PASSWORD_BYTES_MAX => return Err(PasswordError::TooLong(length)),
        _ => {}
    }
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|cause| PasswordError::Hash(cause.to_string()))
}

pub(super) struct Verifier {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Verifier {
    fn default() -> Self {
        Self {
            running: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
        }
    }
}

impl Verifier {
    /// Whether this is the password of this hash; without a hash it never is.
    pub(super) async fn verify(
        &self,
        hash: Option<String>,
        password: String,
    ) -> Result<bool, AuthError> {
        let Ok(_place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            return Err(AuthError::TooManyTries {
                retry_after_seconds: 1,
            });
        };
        // Only closing a semaphore makes this fail, and nobody closes it.
        let Ok(slot) = Arc::clone(&self.running).acquire_owned().await else {
            return Err(StoreError::Closed.into());
        };
        let verified = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            matches(hash.as_deref(), &password)
        });
        verified.await.map_err(|_| StoreError::Panicked.into())
    }
}

fn matches(hash: Option<&str>, password: &str) -> bool {
    static NOBODYS: OnceLock<Option<String>> = OnceLock::new();
    if password.len() > PASSWORD_BYTES_MAX {
        return false;
    }
    let compared = match hash {
        Some(hash) => Some(hash),
        None => NOBODYS
            .get_or_init(|| hash_password("nobody's password").ok())
            .as_deref(),
    };
    let Some(Ok(parsed)) = compared.map(PasswordHash::new) else {
        return false;
    };
    let right = Argon2::default()
        .verify_password(password.as_bytes(), &parsed)
        .is_ok();
    right && hash.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_password_matches_and_nothing_else_does() {
        let hash = hash_password("hunter2").unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(matches(Some(&hash), "hunter2"));
        assert!(!matches(Some(&hash), "hunter3"));
        assert!(!matches(Some("no hash"), "hunter2"));
        assert!(!matches(None, "nobody's password"));
    }

    #[test]
    fn the_length_bound_holds_on_both_sides() {
        assert!(hash_password(&"a".repeat(PASSWORD_BYTES_MAX)).is_ok());
        let longer = "a".repeat(PASSWORD_BYTES_MAX + 1);
        let refused = hash_password(&longer).unwrap_err();
        assert_eq!(refused, PasswordError::TooLong(PASSWORD_BYTES_MAX + 1));
        assert_eq!(hash_password(""), Err(PasswordError::Empty));
    }

    #[tokio::test]
    async fn logins_beyond_the_queue_are_turned_away() {
        let verifier = Verifier::default();
        let _all = verifier.waiting.try_acquire_many(64).unwrap();
        let refused = verifier.verify(None, "x".to_owned()).await;
        assert!(matches!(refused, Err(AuthError::TooManyTries { .. })));
    }
}
