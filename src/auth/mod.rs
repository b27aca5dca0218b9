//! Who is it: from a credential to a [`Caller`].
//!
//! Source: RFC 6750 (Bearer), RFC 7617 (Basic), RFC 7519 (JWT), RFC 4252 section 7 (SSH keys: a
//! key that was merely offered proves nothing).
//! Bounds: each file names its own; see `login_limit`, `jwt` and `passwords`.
//! Invariant: no `Caller` but the anonymous one is made before its credential was verified, and
//! every refusal looks the same to the peer; the reason is for the log.
//! Not here: what the caller may do (`policy`), where credentials stand in a request (`http`,
//! `ssh`).

use std::{
    net::IpAddr,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use lru::LruCache;
use russh::keys::ssh_key;

use crate::{
    model::{Caller, CredentialUsed, Grant, Principal, RepositoryLimit, Scope, Timestamp},
    store::{
        Reads, Store, StoreError, deploy_keys, memberships::Subject, namespaces, robots, ssh_keys,
        ssh_keys::KeyHolder, tokens, users, users::UserRow,
    },
};

pub mod issuer_key;
mod jwt;
mod login_limit;
mod passwords;
pub mod public_key;
pub mod secrets;
#[cfg(test)]
mod tests;

pub use passwords::{PASSWORD_BYTES_MAX, PasswordError, hash_password};
use secrets::ServerSecret;

/// How exact the time of a token's last use is: it is written at most this often.
const LAST_USE_SECONDS: i64 = 300;

/// Tokens whose last use is remembered to spare a write.
const RECENT_TOKENS_MAX: NonZeroUsize = NonZeroUsize::new(4096).expect("it is not zero");

/// Verifies credentials; cheap to clone.
#[derive(Clone)]
pub struct Authenticator {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    secret: ServerSecret,
    jwts: jwt::Verifier,
    passwords: passwords::Verifier,
    logins: login_limit::LoginLimit,
    recent_tokens: Mutex<LruCache<u64, Timestamp>>,
}

/// Why a credential makes no caller. The text is for the log; the peer learns none of it.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// It is worthless.
    #[error("credential refused: {0}")]
    Unauthorized(#[from] Unauthorized),
    /// Too many wrong passwords came from there: ask again later.
    #[error("too many failed logins, again in {retry_after_seconds} s")]
    TooManyTries {
        /// When the next try is looked at.
        retry_after_seconds: u64,
    },
    /// It could not be checked; the peer may try again.
    #[error("credential could not be checked")]
    Unavailable(#[from] StoreError),
}

/// Why a credential is worthless.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unauthorized {
    /// No such token.
    #[error("unknown token")]
    UnknownToken,
    /// The token's or JWT's time is over.
    #[error("expired at {0}")]
    Expired(Timestamp),
    /// The JWT's time has not come.
    #[error("not valid before {0}")]
    NotYet(Timestamp),
    /// The account is blocked or gone.
    #[error("account blocked or gone")]
    Blocked,
    /// No such key.
    #[error("unknown SSH key {0}")]
    UnknownKey(String),
    /// No such user, no password set, or the wrong one.
    #[error("wrong user name or password for {0:?}")]
    WrongPassword(String),
    /// The token belongs to somebody else than the user name says.
    #[error("token is not of {0:?}")]
    OtherOwner(String),
    /// The JWT is not one, or claims what it can't.
    #[error("JWT malformed: {0}")]
    MalformedJwt(String),
    /// No namespace of the `iss` claim's name has a key.
    #[error("unknown issuer {0:?}")]
    UnknownIssuer(String),
    /// No key of the issuer verifies the JWT.
    #[error("JWT of {0:?} not verified by any of its keys")]
    BadSignature(String),
}

impl Authenticator {
    /// Verifies against this store; `secret` must be the one that its tokens were hashed with.
    pub fn new(store: Store, secret: ServerSecret) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                secret,
                jwts: jwt::Verifier::default(),
                passwords: passwords::Verifier::default(),
                logins: login_limit::LoginLimit::default(),
                recent_tokens: Mutex::new(LruCache::new(RECENT_TOKENS_MAX)),
            }),
        }
    }

    /// Whether anybody has this key, which says whether asking for a signature is worth while.
    /// It opens nothing.
    ///
    /// # Errors
    /// When the store fails.
    pub fn ssh_key_offered(&self, key: &ssh_key::PublicKey) -> Result<bool, StoreError> {
        let fingerprint = public_key::fingerprint(key);
        Ok(ssh_keys::holder(&self.inner.store.snapshot()?, &fingerprint)?.is_some())
    }

    /// Who holds this key; call it after the peer's signature was verified and never before.
    ///
    /// # Errors
    /// When nobody has the key, its account is blocked, or the store fails.
    pub fn ssh_key_proven(
        &self,
        key: &ssh_key::PublicKey,
        address: Option<IpAddr>,
    ) -> Result<Caller, AuthError> {
        let fingerprint = public_key::fingerprint(key);
        let snapshot = self.inner.store.snapshot()?;
        let unknown = || Unauthorized::UnknownKey(fingerprint.clone());
        let principal = match ssh_keys::holder(&snapshot, &fingerprint)?.ok_or_else(unknown)? {
            KeyHolder::Account(id) => {
                let row = ssh_keys::by_id(&snapshot, id)?.ok_or_else(unknown)?;
                principal_of(&snapshot, row.owner)?
            }
            KeyHolder::Deploy(id) => {
                let row = deploy_keys::by_id(&snapshot, id)?.ok_or_else(unknown)?;
                Principal::DeployKey {
                    id,
                    title: row.title,
                }
            }
        };
        let scopes = [Scope::GitRead, Scope::GitWrite].into_iter().collect();
        Ok(Caller {
            principal,
            grant: Grant {
                scopes,
                ..Grant::unlimited()
            },
            credential: CredentialUsed::SshKey(fingerprint),
            address,
        })
    }

    /// Who sent this token or JWT as `Authorization: Bearer` or in a header of its own.
    ///
    /// # Errors
    /// When it is worthless or the store fails.
    pub fn bearer(&self, token: &str, address: Option<IpAddr>) -> Result<Caller, AuthError> {
        if secrets::is_token(token) {
            return self.token(token, None, address);
        }
        self.jwt(token, address)
    }

    /// Who sent this user name and password. The password may be a token or a JWT, with any user
    /// name but a robot's, which must be the token's own.
    ///
    /// # Errors
    /// When it is worthless, too many wrong passwords came before it, or the store fails.
    pub async fn basic(
        &self,
        user: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<Caller, AuthError> {
        if secrets::is_token(password) {
            let robot = user.contains('+').then_some(user);
            return self.token(password, robot, address);
        }
        // `https://TOKEN@host/` leaves the password empty.
        if secrets::is_token(user) && password.is_empty() {
            return self.token(user, None, address);
        }
        if jwt::looks_like_one(password) {
            return self.jwt(password, address);
        }
        self.user_and_password(user, password, address).await
    }

    fn token(
        &self,
        token: &str,
        robot: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<Caller, AuthError> {
        let now = Timestamp::now();
        let snapshot = self.inner.store.snapshot()?;
        let hash = self.inner.secret.token_hash(token);
        let row = tokens::by_hash(&snapshot, &hash)?.ok_or(Unauthorized::UnknownToken)?;
        if let Some(expired) = row.expires_at.filter(|at| *at <= now) {
            return Err(Unauthorized::Expired(expired).into());
        }
        let principal = principal_of(&snapshot, row.owner)?;
        if let Some(claimed) = robot
            && !principal.display_name().eq_ignore_ascii_case(claimed)
        {
            return Err(Unauthorized::OtherOwner(claimed.to_owned()).into());
        }
        self.note_token_use(row.id, now);
        Ok(Caller {
            principal,
            grant: Grant {
                scopes: row.scopes,
                repositories: row
                    .repositories
                    .map_or(RepositoryLimit::All, RepositoryLimit::Ids),
                refs: row.refs,
            },
            credential: CredentialUsed::Token(row.id),
            address,
        })
    }

    fn jwt(&self, token: &str, address: Option<IpAddr>) -> Result<Caller, AuthError> {
        let snapshot = self.inner.store.snapshot()?;
        let verified = self.inner.jwts.verify(&snapshot, token, Timestamp::now())?;
        Ok(Caller {
            address,
            ..verified
        })
    }

    async fn user_and_password(
        &self,
        name: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<Caller, AuthError> {
        let inner = &self.inner;
        inner.logins.check(address, name, Timestamp::now())?;
        let row = users::by_name(&inner.store.snapshot()?, name)?;
        let hash = row.as_ref().and_then(|row| row.password_hash.clone());
        let right = inner.passwords.verify(hash, password.to_owned()).await?;
        let Some(row) = row.filter(|row| right && !row.blocked) else {
            inner.logins.note_failure(address, name, Timestamp::now());
            return Err(Unauthorized::WrongPassword(name.to_owned()).into());
        };
        inner.logins.note_success(address, name);
        Ok(Caller {
            principal: user(&row),
            grant: Grant::unlimited(),
            credential: CredentialUsed::Password,
            address,
        })
    }

    /// Writes the time of use, unless that was done a moment ago; nobody waits for it.
    fn note_token_use(&self, id: u64, now: Timestamp) {
        let mut recent = self
            .inner
            .recent_tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let noted = recent.get(&id).copied();
        if noted.is_some_and(|at| now < at.plus_seconds(LAST_USE_SECONDS)) {
            return;
        }
        recent.put(id, now);
        drop(recent);
        let store = self.inner.store.clone();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            let noted: Result<(), StoreError> =
                store.commit(move |tx| tokens::note_use(tx, id)).await;
            if let Err(error) = noted {
                tracing::warn!(token = id, %error, "the use of a token was not noted");
            }
        });
    }
}

fn user(row: &UserRow) -> Principal {
    Principal::User {
        id: row.id,
        name: row.name.to_string(),
        admin: row.admin,
    }
}

/// The account behind a key or token, as it is now.
///
/// # Errors
/// When it is blocked or gone, or the store fails.
pub fn principal_of(from: &impl Reads, owner: Subject) -> Result<Principal, AuthError> {
    let found = match owner {
        Subject::User(id) => users::by_id(from, id)?
            .filter(|row| !row.blocked)
            .map(|row| user(&row)),
        Subject::Robot(id) => match robots::by_id(from, id)? {
            Some(row) => {
                namespaces::by_id(from, row.namespace_id)?.map(|namespace| Principal::Robot {
                    id,
                    name: format!("{}+{}", namespace.name, row.short),
                })
            }
            None => None,
        },
    };
    Ok(found.ok_or(Unauthorized::Blocked)?)
}
