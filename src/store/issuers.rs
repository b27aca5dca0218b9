//! Issuer keys: the public keys whose JWTs speak for a namespace.
//!
//! Invariant: every change raises [`generation`], so that a JWT verified before it is verified
//! again.

use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::{Reads, StoreError, Transaction, codec::Record, committer::counter_value, rows::Rows};
use crate::model::Timestamp;

/// (namespace, key).
static ISSUER_KEYS: Rows<(u64, u64), IssuerKeyRow> = Rows::new("issuer keys");

/// A public key whose JWTs speak for a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerKeyRow {
    /// Row id.
    pub id: u64,
    /// Row id of the namespace, whose name is the `iss` claim.
    pub namespace_id: u64,
    /// Selects this key by the `kid` of a JWT's header.
    pub kid: Option<String>,
    /// Which algorithms it can verify.
    pub family: KeyFamily,
    /// The key as it was given.
    pub pem: String,
    /// When it was added.
    pub created_at: Timestamp,
}

impl Record for IssuerKeyRow {}

/// Which algorithms a key can verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyFamily {
    /// RS256 to RS512 and PS256 to PS512.
    Rsa,
    /// ES256 and ES384.
    Ec,
    /// `EdDSA`.
    Ed,
}

pub(super) fn create_tables(database: &WriteTransaction) -> Result<(), StoreError> {
    ISSUER_KEYS.create(database)
}

/// Rises with every change of any issuer key.
///
/// # Errors
/// When the store fails.
pub fn generation(from: &impl Reads) -> Result<u64, StoreError> {
    counter_value(from, "issuer generation")
}

/// At most `limit` keys of a namespace, oldest first.
///
/// # Errors
/// When the store fails.
pub fn of_namespace(
    from: &impl Reads,
    namespace_id: u64,
    limit: usize,
) -> Result<Vec<IssuerKeyRow>, StoreError> {
    let range = (namespace_id, 0)..=(namespace_id, u64::MAX);
    ISSUER_KEYS.scan(from, range, limit, |_, row| row)
}

/// The key of this row id in a namespace.
///
/// # Errors
/// When the store fails.
pub fn find(
    from: &impl Reads,
    namespace_id: u64,
    id: u64,
) -> Result<Option<IssuerKeyRow>, StoreError> {
    ISSUER_KEYS.get(from, (namespace_id, id))
}

/// Adds a key.
///
/// # Errors
/// When the store fails.
pub fn insert(
    to: &Transaction<'_>,
    namespace_id: u64,
    kid: Option<&str>,
    family: KeyFamily,
    pem: &str,
) -> Result<IssuerKeyRow, StoreError> {
    to.next("issuer generation")?;
    let row = IssuerKeyRow {
        id: to.next("issuer keys")?,
        namespace_id,
        kid: kid.map(str::to_owned),
        family,
        pem: pem.to_owned(),
        created_at: to.now(),
    };
    ISSUER_KEYS.put(to, (namespace_id, row.id), &row)?;
    Ok(row)
}

/// Removes a key: from now on no JWT is verified by it.
///
/// # Errors
/// When the store fails.
pub fn remove(from: &Transaction<'_>, row: &IssuerKeyRow) -> Result<(), StoreError> {
    from.next("issuer generation")?;
    ISSUER_KEYS
        .remove(from, (row.namespace_id, row.id))
        .map(drop)
}
