//! Users, and what they sign in with: tokens and SSH keys.
//!
//! Bounds: [`TOKENS_PER_OWNER_MAX`], [`KEYS_PER_OWNER_MAX`], [`EMAIL_BYTES_MAX`].
//! Invariant: a secret is shown once, when it is made; nobody makes a token that may more than the
//! credential it was asked for with.

use super::{Hosting, HostingError, access, blocking, check_title};
use crate::{
    auth::{hash_password, public_key, secrets},
    model::{Caller, NamespaceName, RefPolicy, Scope, Scopes, Secret, Timestamp},
    policy::{AdministerServer, Authorized, Denied, ManageAccount, ManageNamespace},
    store::{
        Transaction,
        audit::{self, AuditRow, Entry},
        memberships::Subject,
        namespaces::{self, NamespaceOwner},
        robots,
        ssh_keys::{self, NewSshKey, SshKeyRow},
        tokens::{self, NewToken, TokenRow},
        users::{self, NewUser, UserRow},
    },
};

/// Most tokens that one account may have.
const TOKENS_PER_OWNER_MAX: usize = 1000;

/// Most SSH keys that one account may have.
const KEYS_PER_OWNER_MAX: usize = 100;

/// Longest email address, in bytes.
const EMAIL_BYTES_MAX: usize = 254;

/// Most rows in one answer.
const LIST_MAX: usize = 1000;

/// What a new user is made of.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Login name and name of the personal namespace.
    pub name: NamespaceName,
    /// Where mail would go.
    pub email: Option<String>,
    /// Without one only keys and tokens sign in.
    pub password: Option<Secret<String>>,
    /// May administer the whole server.
    pub admin: bool,
}

/// What a new token may do.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// What its owner calls it.
    pub name: String,
    /// What it may do at most.
    pub scopes: Scopes,
    /// The only repositories it reaches, by row id.
    pub repositories: Option<Vec<u64>>,
    /// What holds for single refs.
    pub refs: RefPolicy,
    /// From when on it is worthless.
    pub expires_at: Option<Timestamp>,
}

impl Hosting {
    /// Makes a user and its personal namespace.
    ///
    /// # Errors
    /// [`HostingError::Taken`] when a user or a namespace has the name.
    pub async fn create_user(
        &self,
        authorized: Authorized<AdministerServer>,
        new: NewAccount,
    ) -> Result<UserRow, HostingError> {
        check_email(new.email.as_deref())?;
        let password_hash = hashed(new.password).await?;
        let new = NewUser {
            name: new.name,
            email: new.email,
            password_hash,
            admin: new.admin,
        };
        let uuid = secrets::new_uuid();
        self.store
            .commit(move |tx| {
                let authorized = access::confirm_caller(tx, &authorized)?;
                let taken = || HostingError::taken("user or namespace", &new.name);
                if namespaces::by_name(tx, &new.name)?.is_some() {
                    return Err(taken());
                }
                let user = users::insert(tx, &new)?.ok_or_else(taken)?;
                let owner = NamespaceOwner::User(user.id);
                namespaces::insert(tx, &uuid, &new.name, owner)?.ok_or_else(taken)?;
                let entry = Entry::done("user.create", new.name.as_str());
                audit::append(tx, authorized.caller(), &entry)?;
                Ok(user)
            })
            .await
    }

    /// At most `limit` users with ids above `after`, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub fn list_users(
        &self,
        _authorized: &Authorized<AdministerServer>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<UserRow>, HostingError> {
        Ok(users::list(
            &self.store.snapshot()?,
            after,
            limit.min(LIST_MAX),
        )?)
    }

    /// The account itself.
    ///
    /// # Errors
    /// When it is gone.
    pub fn user(&self, authorized: &Authorized<ManageAccount>) -> Result<UserRow, HostingError> {
        let id = authorized.target().user_id;
        users::by_id(&self.store.snapshot()?, id)?
            .ok_or_else(|| HostingError::not_found("user", id))
    }

    /// Blocks or unblocks a user; a blocked one signs in by no credential, from the next request
    /// on.
    ///
    /// # Errors
    /// When there is no such user.
    pub async fn block_user(
        &self,
        authorized: Authorized<AdministerServer>,
        user_id: u64,
        blocked: bool,
    ) -> Result<UserRow, HostingError> {
        self.store
            .commit(move |tx| {
                let authorized = access::confirm_caller(tx, &authorized)?;
                let mut row = user_of(tx, user_id)?;
                row.blocked = blocked;
                users::update(tx, &row)?;
                let action = if blocked {
                    "user.block"
                } else {
                    "user.unblock"
                };
                let entry = Entry::done(action, row.name.as_str());
                audit::append(tx, authorized.caller(), &entry)?;
                Ok(row)
            })
            .await
    }

    /// Sets or removes the password of an account.
    ///
    /// # Errors
    /// When the password is not fit or the account is gone.
    pub async fn set_password(
        &self,
        authorized: Authorized<ManageAccount>,
        password: Option<Secret<String>>,
    ) -> Result<(), HostingError> {
        let hash = hashed(password).await?;
        self.store
            .commit(move |tx| {
                let authorized = access::confirm_caller(tx, &authorized)?;
                let mut row = user_of(tx, authorized.target().user_id)?;
                row.password_hash.clone_from(&hash);
                users::update(tx, &row)?;
                let entry = Entry::done("user.password", row.name.as_str());
                Ok(audit::append(tx, authorized.caller(), &entry)?)
            })
            .await
    }

    /// Makes a token of a user; its secret is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`Denied::MissingScope`] when it would be allowed more than the credential it is asked for
    /// with.
    pub async fn create_token(
        &self,
        authorized: Authorized<ManageAccount>,
        settings: TokenSettings,
    ) -> Result<(Secret<String>, TokenRow), HostingError> {
        let own = Subject::User(authorized.target().user_id);
        check_token(authorized.caller(), &settings)?;
        let (secret, new) = self.new_token(own, settings);
        let row = self
            .store
            .commit(move |tx| {
                let authorized = access::confirm_caller(tx, &authorized)?;
                let owner = user_of(tx, authorized.target().user_id)?;
                insert_token(tx, authorized.caller(), owner.name.as_str(), &new)
            })
            .await?;
        Ok((secret, row))
    }

    /// Makes a token of a robot of this namespace.
    ///
    /// # Errors
    /// As [`Hosting::create_token`]; [`HostingError::NotFound`] when the namespace has no such
    /// robot.
    pub async fn create_robot_token(
        &self,
        authorized: Authorized<ManageNamespace>,
        robot: String,
        settings: TokenSettings,
    ) -> Result<(Secret<String>, TokenRow), HostingError> {
        check_token(authorized.caller(), &settings)?;
        // The owner is looked up where it is used; the hash does not depend on it.
        let (secret, new) = self.new_token(Subject::Robot(0), settings);
        let row = self
            .store
            .commit(move |tx| {
                let authorized = access::confirm_on_namespace(tx, &authorized)?;
                let found = robots::by_name(tx, authorized.target().id, &robot)?
                    .ok_or_else(|| HostingError::not_found("robot", &robot))?;
                let name = format!("{}+{}", authorized.target().name, found.short);
                let new = NewToken {
                    owner: Subject::Robot(found.id),
                    ..new.clone()
                };
                insert_token(tx, authorized.caller(), &name, &new)
            })
            .await?;
        Ok((secret, row))
    }

    fn new_token(&self, owner: Subject, settings: TokenSettings) -> (Secret<String>, NewToken) {
        let secret = secrets::new_token();
        let new = NewToken {
            hash: self.secret.token_hash(secret.expose()),
            owner,
            name: settings.name,
            scopes: settings.scopes,
            repositories: settings.repositories,
            refs: settings.refs,
            expires_at: settings.expires_at,
        };
        (secret, new)
    }

    /// The tokens of a user, oldest first, and when each was last used.
    ///
    /// # Errors
    /// When the store fails.
    pub fn list_tokens(
        &self,
        authorized: &Authorized<ManageAccount>,
    ) -> Result<Vec<(TokenRow, Option<Timestamp>)>, HostingError> {
        let snapshot = self.store.snapshot()?;
        let owner = Subject::User(authorized.target().user_id);
        let rows = tokens::of_owner(&snapshot, owner, TOKENS_PER_OWNER_MAX)?;
        rows.into_iter()
            .map(|row| {
                let used = tokens::last_used_at(&snapshot, row.id)?;
                Ok((row, used))
            })
            .collect()
    }

    /// Removes a token of a user: it opens nothing from now on.
    ///
    /// # Errors
    /// [`HostingError::NotFound`] when the user has no such token.
    pub async fn delete_token(
        &self,
        authorized: Authorized<ManageAccount>,
        id: u64,
    ) -> Result<(), HostingError> {
        self.store
            .commit(move |tx| {
                let authorized = access::confirm_caller(tx, &authorized)?;
                let owner = Subject::User(authorized.target().user_id);
                let row = tokens::by_id(tx, id)?
                    .filter(|row| row.owner == owner)
                    .ok_or_else(|| HostingError::not_found("token", id))?;
                tokens::remove(tx, &row)?;
                let entry = Entry::done("token.delete", format!("token {id}"));
                Ok(audit::append(tx, authorized.caller(), &entry)?)
            })
            .await
    }

    /// Adds an SSH key to a user; without a title the key's comment is taken.
    ///
    /// # Errors
    /// [`HostingError::PublicKey`] when it is not a good key, [`HostingError::Taken`] when it is
    /// in use, be it as a deploy key.
    pub async fn add_user_key(
        &self,
        authorized: Authorized<ManageAccount>,
        title: Option<String>,
        text: &str,
    ) -> Result<SshKeyRow, HostingError> {
        let key = public_key::parse(text)?;
        let title = title.unwrap_or(key.comment);
        check_title("title", &title)?;
        let new = NewSshKey {
            owner: Subject::User(authorized.target().user_id),
            title,
            fingerprint: key.fingerprint,
            public_key: key.text,
        };
        self.store
            .commit(move |tx| {
                let authorized = access::confirm_caller(tx, &authorized)?;
                let owner = user_of(tx, authorized.target().user_id)?;
                if ssh_keys::of_owner(tx, new.owner, KEYS_PER_OWNER_MAX)?.len()
                    >= KEYS_PER_OWNER_MAX
                {
                    return Err(HostingError::TooMany {
                        what: "SSH keys",
                        max: KEYS_PER_OWNER_MAX,
                    });
                }
                let row = ssh_keys::insert(tx, &new)?
                    .ok_or_else(|| HostingError::taken("SSH key", &new.fingerprint))?;
                let target = format!("{} of {}", row.fingerprint, owner.name);
                audit::append(tx, authorized.caller(), &Entry::done("key.add", target))?;
                Ok(row)
            })
            .await
    }

    /// The SSH keys of a user, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub fn list_user_keys(
        &self,
        authorized: &Authorized<ManageAccount>,
    ) -> Result<Vec<SshKeyRow>, HostingError> {
        let owner = Subject::User(authorized.target().user_id);
        let snapshot = self.store.snapshot()?;
        Ok(ssh_keys::of_owner(&snapshot, owner, KEYS_PER_OWNER_MAX)?)
    }

    /// Removes an SSH key of a user: it opens nothing from now on.
    ///
    /// # Errors
    /// [`HostingError::NotFound`] when the user has no such key.
    pub async fn delete_user_key(
        &self,
        authorized: Authorized<ManageAccount>,
        id: u64,
    ) -> Result<(), HostingError> {
        self.store
            .commit(move |tx| {
                let authorized = access::confirm_caller(tx, &authorized)?;
                let owner = Subject::User(authorized.target().user_id);
                let row = ssh_keys::by_id(tx, id)?
                    .filter(|row| row.owner == owner)
                    .ok_or_else(|| HostingError::not_found("SSH key", id))?;
                ssh_keys::remove(tx, &row)?;
                let entry = Entry::done("key.delete", row.fingerprint);
                Ok(audit::append(tx, authorized.caller(), &entry)?)
            })
            .await
    }

    /// At most `limit` rows of the audit log, newest first, those before this row only.
    ///
    /// # Errors
    /// When the store fails.
    pub fn audit_log(
        &self,
        _authorized: &Authorized<AdministerServer>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditRow>, HostingError> {
        let snapshot = self.store.snapshot()?;
        Ok(audit::newest(&snapshot, before, limit.min(LIST_MAX))?)
    }
}

fn user_of(tx: &Transaction<'_>, id: u64) -> Result<UserRow, HostingError> {
    users::by_id(tx, id)?.ok_or_else(|| HostingError::not_found("user", id))
}

fn check_email(email: Option<&str>) -> Result<(), HostingError> {
    let Some(email) = email else {
        return Ok(());
    };
    let fit = email.len() <= EMAIL_BYTES_MAX
        && email
            .split_once('@')
            .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
        && !email.chars().any(|c| c.is_control() || c.is_whitespace());
    if fit {
        return Ok(());
    }
    Err(HostingError::Invalid {
        field: "email",
        reason: format!("{email:?} is not an address"),
    })
}

async fn hashed(password: Option<Secret<String>>) -> Result<Option<String>, HostingError> {
    match password {
        Some(password) => blocking(move || Ok(Some(hash_password(password.expose())?))).await,
        None => Ok(None),
    }
}

/// A token may be allowed nothing that the credential asking for it is not; whoever administers
/// the server may anyway.
fn check_token(caller: &Caller, settings: &TokenSettings) -> Result<(), HostingError> {
    check_title("token name", &settings.name)?;
    let held = caller.grant.scopes;
    let beyond = settings.scopes.iter().find(|scope| !held.allows(*scope));
    match beyond {
        Some(scope) if !held.allows(Scope::Admin) => Err(Denied::MissingScope(scope).into()),
        _ => Ok(()),
    }
}

fn insert_token(
    tx: &Transaction<'_>,
    caller: &Caller,
    owner: &str,
    new: &NewToken,
) -> Result<TokenRow, HostingError> {
    if tokens::of_owner(tx, new.owner, TOKENS_PER_OWNER_MAX)?.len() >= TOKENS_PER_OWNER_MAX {
        return Err(HostingError::TooMany {
            what: "tokens",
            max: TOKENS_PER_OWNER_MAX,
        });
    }
    let row = tokens::insert(tx, new)?;
    let target = format!("token {} of {owner}", row.id);
    audit::append(tx, caller, &Entry::done("token.create", target))?;
    Ok(row)
}
