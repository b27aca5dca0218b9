//! The words of the domain: parsed once at the edge, valid ever after.
//!
//! Invariant: a value of these types cannot hold anything its parser refuses; no type here does
//! input or output or knows another module of the server.
//! Not here: what a caller may do (`policy`) and how rows are stored (`store`).

mod branch_name;
mod caller;
mod object_format;
mod ref_name;
mod ref_snapshot;
mod repository_path;
mod role;
mod scope;
mod secret;
mod timestamp;

pub use branch_name::BranchName;
pub use caller::{Caller, CredentialUsed, Grant, Principal, RepositoryLimit};
pub use gix_hash::ObjectId;
pub use object_format::{ObjectFormat, UnknownObjectFormat};
pub(crate) use ref_name::broken_rule_of_git;
pub use ref_name::{RefName, RefNameError};
pub use ref_snapshot::{RefEntry, RefSnapshot};
pub use repository_path::{NameError, NamespaceName, RepositoryName, RepositoryPath};
pub use role::{Role, UnknownVisibility, Visibility};
pub use scope::{RefOperation, RefPolicy, RefRule, Scope, Scopes, UnknownScope};
pub use secret::Secret;
pub use timestamp::{Timestamp, UnknownTime};
