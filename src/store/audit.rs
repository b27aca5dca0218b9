//! The audit log: who did what to what, from where, by which credential, and how it ended.
//!
//! Bounds: grows with every action until [`forget`] is called.
//! Invariant: rows are only ever added at the end; a row commits with the action it tells of.

use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::{Reads, StoreError, Transaction, codec::Record, rows::Rows};
use crate::model::{Caller, CredentialUsed, Timestamp};

static AUDIT: Rows<u64, AuditRow> = Rows::new("audit");

/// One action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// Row id, rising.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// Who, in words.
    pub actor: String,
    /// From where.
    pub address: Option<String>,
    /// By which credential, in words; never a secret.
    pub credential: String,
    /// What was done, such as `repository.create`.
    pub action: String,
    /// To what, such as `acme/novel`.
    pub target: String,
    /// Row id of the repository it was about.
    pub repository_id: Option<u64>,
    /// Row id of the namespace it was about.
    pub namespace_id: Option<u64>,
    /// What else is worth knowing; may be empty.
    pub detail: String,
    /// Whether it was done or refused.
    pub result: AuditResult,
}

impl Record for AuditRow {}

/// How an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditResult {
    /// It was done.
    Done,
    /// It was refused, wholly or in part; the detail says why.
    Refused,
}

/// What [`append`] needs to know beside the caller.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What was done.
    pub action: &'static str,
    /// To what.
    pub target: String,
    /// Row id of the repository.
    pub repository_id: Option<u64>,
    /// Row id of the namespace.
    pub namespace_id: Option<u64>,
    /// What else is worth knowing.
    pub detail: String,
    /// How it ended.
    pub result: AuditResult,
}

impl Entry {
    /// Something that was done and belongs to no repository or namespace.
    pub fn done(action: &'static str, target: impl Into<String>) -> Self {
        Self {
            action,
            target: target.into(),
            repository_id: None,
            namespace_id: None,
            detail: String::new(),
            result: AuditResult::Done,
        }
    }

    /// The same about this repository.
    #[must_use]
    pub fn in_repository(mut self, namespace_id: u64, repository_id: u64) -> Self {
        self.repository_id = Some(repository_id);
        self.namespace_id = Some(namespace_id);
        self
    }

    /// The same about this namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace_id: u64) -> Self {
        self.namespace_id = Some(namespace_id);
        self
    }
}

pub(super) fn create_tables(database: &WriteTransaction) -> Result<(), StoreError> {
    AUDIT.create(database)
}

fn in_words(credential: &CredentialUsed) -> String {
    match credential {
        CredentialUsed::None => "none".to_owned(),
        CredentialUsed::SshKey(fingerprint) => format!("SSH key {fingerprint}"),
        CredentialUsed::Token(id) => format!("token {id}"),
        CredentialUsed::Password => "password".to_owned(),
        CredentialUsed::Jwt(key) => format!("JWT by issuer key {key}"),
    }
}

/// Adds a row.
///
/// # Errors
/// When the store fails.
pub fn append(to: &Transaction<'_>, caller: &Caller, entry: &Entry) -> Result<(), StoreError> {
    let row = AuditRow {
        id: to.next("audit")?,
        at: to.now(),
        actor: caller.principal.display_name(),
        address: caller.address.map(|address| address.to_string()),
        credential: in_words(&caller.credential),
        action: entry.action.to_owned(),
        target: entry.target.clone(),
        repository_id: entry.repository_id,
        namespace_id: entry.namespace_id,
        detail: entry.detail.clone(),
        result: entry.result,
    };
    AUDIT.put(to, row.id, &row)
}

/// At most `limit` rows, newest first, those before this row only.
///
/// # Errors
/// When the store fails.
pub fn newest(
    from: &impl Reads,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<AuditRow>, StoreError> {
    AUDIT.scan_backwards(from, 0..before.unwrap_or(u64::MAX), limit, |_, row| row)
}

/// Removes the rows up to and including this one.
///
/// # Errors
/// When the store fails.
pub fn forget(from: &Transaction<'_>, up_to: u64) -> Result<(), StoreError> {
    AUDIT.remove_range(from, 0..=up_to)
}
