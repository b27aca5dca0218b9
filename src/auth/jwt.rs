//! JWTs: signed statements of a namespace about what their bearer may do.
//!
//! Source: RFC 7519 and RFC 8725 (best practice); the claims `repo`, `scopes`, `refs` and `ops` are
//! those of the Code Storage API.
//! Bounds: [`TOKEN_BYTES_MAX`], [`KEYS_TRIED_MAX`], [`REF_RULES_MAX`], [`SCOPES_MAX`]; verified JWTs
//! are remembered for [`REMEMBERED_SECONDS`], [`REMEMBERED_MAX`] at a time.
//! Invariant: nothing of a JWT but its issuer's name is used before a signature was verified by a
//! key of that issuer, with an algorithm of that key's family; what can't be understood in a limit
//! refuses the JWT, what can't be understood in a permission is dropped.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::digest;
use jsonwebtoken::Validation;
use lru::LruCache;
use serde::Deserialize;

use super::{AuthError, Unauthorized, issuer_key};
use crate::{
    model::{
        Caller, CredentialUsed, Grant, NamespaceName, Principal, RefOperation, RefPolicy, RefRule,
        RepositoryLimit, Scope, Scopes, Timestamp,
    },
    store::{
        Reads,
        issuers::{self, IssuerKeyRow},
        namespaces,
    },
};

const TOKEN_BYTES_MAX: usize = 8 * 1024;
const KEYS_TRIED_MAX: usize = 32;
const REF_RULES_MAX: usize = 256;
const SCOPES_MAX: usize = 64;
const REMEMBERED_SECONDS: i64 = 60;
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::new(4096).expect("it is not zero");

/// How far the issuer's clock may be ahead or behind.
const LEEWAY_SECONDS: i64 = 30;

/// The `repo` claim that stands for the whole namespace.
const WHOLE_NAMESPACE: &str = "org";

/// Whether this password is shaped like a JWT.
pub(super) fn looks_like_one(text: &str) -> bool {
    let base64url = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() <= TOKEN_BYTES_MAX
        && text.starts_with("ey")
        && text.split('.').count() == 3
        && text.split('.').all(base64url)
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    #[serde(default)]
    sub: String,
    repo: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
    exp: i64,
    nbf: Option<i64>,
    #[serde(default)]
    refs: Vec<(String, Vec<String>)>,
    #[serde(default)]
    ops: Vec<String>,
}

#[derive(Clone)]
struct Remembered {
    caller: Caller,
    issuer_generation: u64,
    expires: Timestamp,
    not_before: Option<Timestamp>,
    forget_at: Timestamp,
}

pub(super) struct Verifier {
    remembered: Mutex<LruCache<[u8; 32], Remembered>>,
}

impl Default for Verifier {
    fn default() -> Self {
        Self {
            remembered: Mutex::new(LruCache::new(REMEMBERED_MAX)),
        }
    }
}

impl Verifier {
    /// Who the JWT speaks for; without an address.
    pub(super) fn verify(
        &self,
        from: &impl Reads,
        token: &str,
        now: Timestamp,
    ) -> Result<Caller, AuthError> {
        if token.len() > TOKEN_BYTES_MAX {
            let reason = format!("{} bytes, at most {TOKEN_BYTES_MAX} allowed", token.len());
            return Err(Unauthorized::MalformedJwt(reason).into());
        }
        let mut key = [0; 32];
        key.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        let issuer_generation = issuers::generation(from)?;
        if let Some(known) = self.recall(&key)
            && known.issuer_generation == issuer_generation
            && now < known.forget_at
        {
            check_time(known.expires, known.not_before, now)?;
            return Ok(known.caller);
        }
        let (key_id, claims) = verified_claims(from, token)?;
        let expires = Timestamp::from_seconds(claims.exp);
        let not_before = claims.nbf.map(Timestamp::from_seconds);
        check_time(expires, not_before, now)?;
        let caller = caller_of(from, key_id, claims)?;
        self.remember(
            key,
            Remembered {
                caller: caller.clone(),
                issuer_generation,
                expires,
                not_before,
                forget_at: now.plus_seconds(REMEMBERED_SECONDS),
            },
        );
        Ok(caller)
    }

    fn recall(&self, key: &[u8; 32]) -> Option<Remembered> {
        let mut remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        remembered.get(key).cloned()
    }

    fn remember(&self, key: [u8; 32], known: Remembered) {
        self.remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .put(key, known);
    }
}

fn check_time(
    expires: Timestamp,
    not_before: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Unauthorized> {
    if now >= expires.plus_seconds(LEEWAY_SECONDS) {
        return Err(Unauthorized::Expired(expires));
    }
    match not_before {
        Some(begin) if now.plus_seconds(LEEWAY_SECONDS) < begin => Err(Unauthorized::NotYet(begin)),
        _ => Ok(()),
    }
}

/// The claims and the key that vouches for them.
fn verified_claims(from: &impl Reads, token: &str) -> Result<(u64, Claims), AuthError> {
    let malformed =
        |cause: jsonwebtoken::errors::Error| Unauthorized::MalformedJwt(cause.to_string());
    let header = jsonwebtoken::decode_header(token).map_err(malformed)?;
    let family = issuer_key::family_of(header.alg).ok_or_else(|| {
        Unauthorized::MalformedJwt(format!("the algorithm {:?} is symmetric", header.alg))
    })?;
    #[derive(Deserialize)]
    struct Issuer {
        iss: String,
    }
    let claimed: Issuer =
        jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(malformed)?;
    let unknown = || Unauthorized::UnknownIssuer(claimed.iss.clone());
    let name: NamespaceName = claimed.iss.parse().map_err(|_| unknown())?;
    let namespace = namespaces::by_name(from, &name)?.ok_or_else(unknown)?;
    let keys = issuers::of_namespace(from, namespace.id, KEYS_TRIED_MAX)?;
    if keys.is_empty() {
        return Err(unknown().into());
    }
    let mut validation = Validation::new(header.alg);
    // Times are judged by our own clock, after the signature; `aud` is not part of these JWTs.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    for key in selected(&keys, header.kid.as_deref()) {
        if key.family != family {
            continue;
        }
        let Some(decoding_key) = issuer_key::decoding_key(&key.pem, family) else {
            continue;
        };
        match jsonwebtoken::decode::<Claims>(token, &decoding_key, &validation) {
            Ok(verified) => return Ok((key.id, verified.claims)),
            Err(cause) if is_about_claims(&cause) => return Err(malformed(cause).into()),
            Err(_) => {}
        }
    }
    Err(Unauthorized::BadSignature(claimed.iss).into())
}

/// Whether the signature was right and what it signs was not.
fn is_about_claims(cause: &jsonwebtoken::errors::Error) -> bool {
    matches!(cause.kind(), jsonwebtoken::errors::ErrorKind::Json(_))
}

/// The keys that a `kid` names; without a match those that were added without one.
fn selected<'k>(
    keys: &'k [IssuerKeyRow],
    kid: Option<&'k str>,
) -> impl Iterator<Item = &'k IssuerKeyRow> {
    let named = kid.filter(|kid| keys.iter().any(|key| key.kid.as_deref() == Some(kid)));
    keys.iter().filter(move |key| match (kid, named) {
        (None, _) => true,
        (Some(_), Some(_)) => key.kid.as_deref() == named,
        (Some(_), None) => key.kid.is_none(),
    })
}

fn caller_of(from: &impl Reads, key_id: u64, claims: Claims) -> Result<Caller, AuthError> {
    let unknown = || Unauthorized::UnknownIssuer(claims.iss.clone());
    let name: NamespaceName = claims.iss.parse().map_err(|_| unknown())?;
    let namespace = namespaces::by_name(from, &name)?.ok_or_else(unknown)?;
    let repositories = match claims.repo.as_deref() {
        Some(WHOLE_NAMESPACE) => RepositoryLimit::Organization,
        Some(name) => RepositoryLimit::Named(
            name.parse()
                .map_err(|cause| Unauthorized::MalformedJwt(format!("the claim repo: {cause}")))?,
        ),
        None => return Err(Unauthorized::MalformedJwt("no claim repo".to_owned()).into()),
    };
    Ok(Caller {
        principal: Principal::Issuer {
            namespace_id: namespace.id,
            namespace: namespace.name,
            subject: claims.sub.chars().take(100).collect(),
        },
        grant: Grant {
            scopes: scopes_of(&claims.scopes),
            repositories,
            refs: refs_of(claims.refs, claims.ops)?,
        },
        credential: CredentialUsed::Jwt(key_id.to_string()),
        address: None,
    })
}

/// The scopes that a JWT may carry; others mean nothing to us, or are not for JWTs.
fn scopes_of(claimed: &[String]) -> Scopes {
    claimed
        .iter()
        .take(SCOPES_MAX)
        .filter_map(|scope| scope.parse().ok())
        .filter(|scope| !matches!(scope, Scope::Api | Scope::Admin))
        .collect()
}

fn refs_of(
    claimed: Vec<(String, Vec<String>)>,
    ops: Vec<String>,
) -> Result<RefPolicy, Unauthorized> {
    if claimed.len() > REF_RULES_MAX {
        let reason = format!(
            "{} ref rules, at most {REF_RULES_MAX} allowed",
            claimed.len()
        );
        return Err(Unauthorized::MalformedJwt(reason));
    }
    // The older claim holds for whatever no rule names.
    let remaining = (!ops.is_empty()).then(|| ("*".to_owned(), ops));
    let rule = |(pattern, operations): (String, Vec<String>)| {
        let operations = operations.iter().map(|name| operation(name));
        Ok(RefRule {
            pattern,
            operations: operations.collect::<Result<_, _>>()?,
        })
    };
    let rules = claimed.into_iter().chain(remaining).map(rule);
    rules.collect::<Result<_, _>>().map(RefPolicy)
}

fn operation(name: &str) -> Result<RefOperation, Unauthorized> {
    match name {
        "no-push" => Ok(RefOperation::NoPush),
        "no-force-push" => Ok(RefOperation::NoForcePush),
        "verify-sig" => Ok(RefOperation::VerifySig),
        other => Err(Unauthorized::MalformedJwt(format!(
            "the ref operation {other:?} is unknown"
        ))),
    }
}
