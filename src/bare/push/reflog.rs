//! Logs of refs, one line a move.
//!
//! Source: gitrepository-layout(5) `logs`, git-config(1) `core.logAllRefUpdates`, git-reflog(1).
//! Invariant: a line is on disk before the ref that it tells of is moved.

use std::{
    env,
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use gix_object::bstr::ByteSlice as _;

use super::{Pusher, sharing::Sharing};
use crate::{
    bare::{BareError, config::Config, folder::Folder},
    model::{ObjectFormat, ObjectId},
};

/// Which refs have logs, and in whose name they are written.
#[derive(Debug)]
pub(super) struct Reflog {
    made_for: MadeFor,
    format: ObjectFormat,
    /// `Name <email> seconds offset`.
    identity: String,
}

/// Refs for which a log is begun if there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MadeFor {
    None,
    Usual,
    All,
}

impl Reflog {
    pub(super) fn of(
        folder: &Folder,
        has_worktree: bool,
        pusher: &Pusher,
    ) -> Result<Self, BareError> {
        let config = &folder.config;
        const KEY: &str = "core.logAllRefUpdates";
        let made_for = match config.texts(KEY).pop() {
            Some(value) if value.eq_ignore_ascii_case("always") => MadeFor::All,
            _ if config.flag(KEY, has_worktree)? => MadeFor::Usual,
            _ => MadeFor::None,
        };
        Ok(Self {
            made_for,
            format: folder.format,
            identity: identity(config, pusher),
        })
    }

    /// Adds a line to the log of this ref, if it has one or shall have one.
    pub(super) fn append(
        &self,
        common: &Path,
        name: &[u8],
        old: Option<ObjectId>,
        new: Option<ObjectId>,
        sharing: Sharing,
    ) -> io::Result<()> {
        let path = common.join("logs").join(name.to_path_lossy());
        let exists = path.is_file();
        if !exists && !self.is_made_for(name) {
            return Ok(());
        }
        if !exists && let Some(above) = path.parent() {
            fs::create_dir_all(above)?;
            for folder in above.ancestors().take_while(|folder| *folder != common) {
                sharing.apply(folder)?;
            }
        }
        let mut log = File::options().append(true).create(true).open(&path)?;
        let id = |id: Option<ObjectId>| id.unwrap_or(ObjectId::null(self.format.kind()));
        let line = format!("{} {} {}\tpush\n", id(old), id(new), self.identity);
        log.write_all(line.as_bytes())?;
        if !exists {
            sharing.apply(&path)?;
        }
        log.sync_all()
    }

    fn is_made_for(&self, name: &[u8]) -> bool {
        let usual = ["refs/heads/", "refs/remotes/", "refs/notes/"];
        match self.made_for {
            MadeFor::None => false,
            MadeFor::Usual => {
                name == b"HEAD"
                    || usual
                        .iter()
                        .any(|prefix| name.starts_with(prefix.as_bytes()))
            }
            MadeFor::All => true,
        }
    }
}

/// Who moves refs: the environment, the configuration, or the user who runs this.
fn identity(config: &Config, pusher: &Pusher) -> String {
    let said = |variable: &str| env::var(variable).ok().filter(|text| !text.is_empty());
    let configured = |keys: [&str; 2]| keys.iter().find_map(|key| config.texts(key).pop());
    let user = || {
        said("USER")
            .or(said("LOGNAME"))
            .unwrap_or_else(|| "unknown".to_owned())
    };
    let name = said("GIT_COMMITTER_NAME").or_else(|| pusher.name.clone());
    let name = name.or_else(|| configured(["committer.name", "user.name"]));
    let email = said("GIT_COMMITTER_EMAIL").or_else(|| pusher.email.clone());
    let email = email.or_else(|| configured(["committer.email", "user.email"]));
    let email = email
        .or_else(|| said("EMAIL"))
        .unwrap_or_else(|| format!("{}@localhost", user()));
    let clean = |text: String| text.replace(['<', '>', '\n', '\t', '\0'], "");
    let date = said("GIT_COMMITTER_DATE").and_then(|date| raw_date(&date));
    let date = date.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        format!("{} +0000", now.unwrap_or_default().as_secs())
    });
    format!(
        "{} <{}> {date}",
        clean(name.unwrap_or_else(user)),
        clean(email)
    )
}

/// A date in git's own form, `@` or not before it.
fn raw_date(text: &str) -> Option<String> {
    let (seconds, offset) = text.strip_prefix('@').unwrap_or(text).split_once(' ')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let rest = offset.strip_prefix(['+', '-'])?;
    (digits(seconds) && rest.len() == 4 && digits(rest)).then(|| format!("{seconds} {offset}"))
}
