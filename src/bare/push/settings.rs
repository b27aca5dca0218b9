//! The keys of `receive.*` and `transfer.*` that decide what a push may do.
//!
//! Source: git-config(1).
//! Invariant: a key that can't be honoured is an error or is listed in [`super::super`], never
//! silently passed over.

use std::{path::PathBuf, time::Duration};

use packhorse_protocol::Offer;

use super::fsck;
use crate::{
    bare::{
        BareError, config::Config, dialogue::AGENT, fetch::keepalive, folder::Folder,
        hidden::Hidden, session_id,
    },
    git::receive::{Limits, Strictness},
};

/// Whether something is done, done with a warning, or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Ignore,
    Warn,
    Refuse,
    /// The work tree would have to follow, which is out of reach here.
    UpdateWorktree,
}

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) deny_deletes: bool,
    pub(super) deny_delete_current: Answer,
    pub(super) deny_current_branch: Answer,
    pub(super) deny_non_fast_forwards: bool,
    pub(super) unpack_limit: usize,
    pub(super) shallow_update: bool,
    pub(super) update_server_info: bool,
    pub(super) keepalive: Option<Duration>,
    pub(super) hidden: Hidden,
    pub(super) limits: Limits,
    pub(super) proc_receive: Vec<ProcReceive>,
    /// The folder has a worktree, whose branch is checked out.
    pub(super) has_worktree: bool,
    /// Branches that other worktrees of the repository have checked out.
    pub(super) checked_out_elsewhere: Vec<Vec<u8>>,
}

/// One value of `receive.procReceiveRefs`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ProcReceive {
    prefix: Vec<u8>,
    creates: bool,
    modifies: bool,
    deletes: bool,
    negated: bool,
}

impl Settings {
    pub(super) fn read(folder: &Folder) -> Result<(Self, Offer), BareError> {
        let config = &folder.config;
        let mut offer = Offer::new(folder.format.kind(), AGENT);
        offer.atomic = config.flag("receive.advertiseAtomic", true)?;
        offer.ofs_delta = config.flag("repack.useDeltaBaseOffset", true)?;
        offer.push_options = config.flag("receive.advertisePushOptions", false)?;
        offer.session_id = session_id(config)?;
        let named_so = folder
            .git_dir
            .file_name()
            .is_some_and(|name| name == ".git");
        let is_bare = config.flag("core.bare", !named_so)?;
        Ok((
            Self {
                deny_deletes: config.flag("receive.denyDeletes", false)?,
                deny_delete_current: answer(config, "receive.denyDeleteCurrent")?,
                deny_current_branch: answer(config, CURRENT_BRANCH)?,
                deny_non_fast_forwards: config.flag("receive.denyNonFastForwards", false)?,
                unpack_limit: unpack_limit(config)?,
                shallow_update: config.flag("receive.shallowUpdate", false)?,
                update_server_info: config.flag("receive.updateServerInfo", false)?,
                keepalive: keepalive(config, "receive.keepAlive")?,
                hidden: Hidden::of(config, "receive"),
                limits: limits(folder)?,
                proc_receive: config
                    .values_across(&["receive"], "procReceiveRefs")
                    .iter()
                    .map(|value| ProcReceive::parse(value))
                    .collect(),
                has_worktree: !is_bare,
                checked_out_elsewhere: checked_out_elsewhere(folder, is_bare),
            },
            offer,
        ))
    }

    /// Whether a command is for the `proc-receive` hook.
    pub(super) fn is_for_proc_receive(&self, name: &[u8], creates: bool, deletes: bool) -> bool {
        let matches = |value: &&ProcReceive| value.matches(name, creates, deletes);
        let all = self.proc_receive.iter().filter(matches);
        let (mut taken, mut negated) = (false, false);
        for value in all {
            taken |= !value.negated;
            negated |= value.negated;
        }
        taken && !negated
    }
}

impl ProcReceive {
    fn parse(value: &[u8]) -> Self {
        let colon = value.iter().position(|byte| *byte == b':');
        let (modifiers, prefix) = match colon {
            Some(at) => (&value[..at], &value[at + 1..]),
            None => (&b""[..], value),
        };
        let has = |letter: u8| modifiers.contains(&letter);
        let any = !(has(b'a') || has(b'm') || has(b'd'));
        let end = prefix.iter().rposition(|byte| *byte != b'/');
        Self {
            prefix: prefix[..end.map_or(0, |last| last + 1)].to_vec(),
            creates: any || has(b'a'),
            modifies: any || has(b'm'),
            deletes: any || has(b'd'),
            negated: has(b'!'),
        }
    }

    fn matches(&self, name: &[u8], creates: bool, deletes: bool) -> bool {
        let wanted = match (creates, deletes) {
            (true, _) => self.creates,
            (false, true) => self.deletes,
            (false, false) => self.modifies,
        };
        let rest = name.strip_prefix(self.prefix.as_slice());
        let below = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"));
        // A negated prefix stands for everything else.
        wanted && below != self.negated
    }
}

const CURRENT_BRANCH: &str = "receive.denyCurrentBranch";

/// What the `HEAD`s of linked worktrees name, and that of the main one if the folder is linked itself.
fn checked_out_elsewhere(folder: &Folder, is_bare: bool) -> Vec<Vec<u8>> {
    let mut heads = Vec::new();
    if folder.git_dir != folder.common && !is_bare {
        heads.push(folder.common.join("HEAD"));
    }
    let linked = std::fs::read_dir(folder.common.join("worktrees"));
    heads.extend(
        linked
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path().join("HEAD")),
    );
    // A worktree that is being made or removed has none.
    let branch = |head: PathBuf| {
        let text = std::fs::read(head).ok()?;
        Some(text.strip_prefix(b"ref:")?.trim_ascii().to_vec())
    };
    heads.into_iter().filter_map(branch).collect()
}

fn answer(config: &Config, key: &str) -> Result<Answer, BareError> {
    match config.texts(key).pop().as_deref() {
        None | Some("refuse") => Ok(Answer::Refuse),
        Some("updateInstead") if key == CURRENT_BRANCH => Ok(Answer::UpdateWorktree),
        Some("ignore") => Ok(Answer::Ignore),
        Some("warn") => Ok(Answer::Warn),
        Some(_) => Ok(match config.flag(key, true)? {
            true => Answer::Refuse,
            false => Answer::Ignore,
        }),
    }
}

/// Pushes of fewer objects are unpacked.
fn unpack_limit(config: &Config) -> Result<usize, BareError> {
    const DEFAULT: i64 = 100;
    let own = config
        .number("receive.unpackLimit")?
        .filter(|limit| *limit >= 0);
    let shared = config
        .number("transfer.unpackLimit")?
        .filter(|limit| *limit >= 0);
    let limit = own.or(shared).unwrap_or(DEFAULT);
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

fn limits(folder: &Folder) -> Result<Limits, BareError> {
    let config = &folder.config;
    let mut limits = Limits {
        // The host's own limits bound a process that serves one push; these are git's.
        pack_bytes: u64::MAX,
        ..Limits::default()
    };
    if let Some(bytes) = config.number("receive.maxInputSize")? {
        limits.pack_bytes = u64::try_from(bytes)
            .ok()
            .filter(|bytes| *bytes > 0)
            .unwrap_or(u64::MAX);
    }
    let own = config.optional_flag("receive.fsckObjects")?;
    let strict = match own {
        Some(strict) => strict,
        None => config.flag("transfer.fsckObjects", false)?,
    };
    limits.strictness = match strict {
        true => fsck::strictness(folder)?,
        false => Strictness::lenient(),
    };
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_for_the_hook_by_prefix_and_by_what_they_do() {
        let check = |value: &str, name: &str, creates, deletes, expected| {
            let found =
                ProcReceive::parse(value.as_bytes()).matches(name.as_bytes(), creates, deletes);
            assert_eq!(found, expected, "{value} {name}");
        };
        check("refs/for", "refs/for/main", true, false, true);
        check("refs/for/", "refs/for", false, true, true);
        check("refs/for", "refs/form", true, false, false);
        check("a:refs/for", "refs/for/x", true, false, true);
        check("a:refs/for", "refs/for/x", false, false, false);
        check("md:refs/for", "refs/for/x", false, true, true);
        check("!:refs/heads", "refs/for/x", false, false, true);
        check("!:refs/heads", "refs/heads/x", false, false, false);
    }
}
