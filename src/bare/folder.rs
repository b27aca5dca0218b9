//! Finds the repository that a path names and checks that it may and can be served.
//!
//! Source: gitrepository-layout(5), git-upload-pack(1) `--strict`, git-config(1) `safe.directory`,
//! gitrepository-layout's "repository format version".
//! Bounds: [`ALTERNATES_DEPTH`] folders that borrow from each other, [`ALTERNATES_MAX`] in all.
//! Invariant: nothing of a folder's configuration is used before its owner was found to be trusted.
//! Not here: refs (`refs`), what the keys mean for a service (`fetch`, `push`).

use std::{
    env, fs, io,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Component, Path, PathBuf},
};

use super::{BareError, config::Config};
use crate::{
    git::Repository,
    model::{ObjectFormat, ObjectId},
};

/// How deep folders may borrow from each other, as in git.
const ALTERNATES_DEPTH: usize = 5;
/// How many folders may be borrowed from.
const ALTERNATES_MAX: usize = 1000;

/// An ordinary repository that may be served.
#[derive(Debug)]
pub(super) struct Folder {
    /// As it was found, made absolute.
    pub(super) git_dir: PathBuf,
    /// Where refs and objects lie: the same but for a linked worktree.
    pub(super) common: PathBuf,
    /// The own `objects` folder first, then those it borrows from.
    pub(super) objects: Vec<PathBuf>,
    /// The hash that names the objects.
    pub(super) format: ObjectFormat,
    pub(super) config: Config,
    /// Commits whose parents are not here.
    pub(super) shallow: Vec<ObjectId>,
}

impl Folder {
    /// Opens the repository at `path`; unless `strict`, also at `path/.git`, `path.git` and so on.
    pub(super) fn open(path: &Path, strict: bool) -> Result<Self, BareError> {
        let shown = path.display().to_string();
        let found = find(path, strict).ok_or_else(|| BareError::NotARepository(shown.clone()))?;
        let git_dir =
            fs::canonicalize(&found).map_err(BareError::io("unable to resolve", &found))?;
        // The folder itself counts, as in git, not a symbolic link to it.
        if !is_owned(&git_dir) && !is_called_safe(&git_dir)? {
            return Err(BareError::DubiousOwnership(shown));
        }
        let common = common_dir(&git_dir);
        let config = Config::of_repository(&git_dir, &common)?;
        let format = check_format(&config)?;
        let mut objects = vec![own_objects(&common)];
        borrowed(&mut objects)?;
        let shallow = read_shallow(&common, format)?;
        Ok(Self {
            git_dir,
            common,
            objects,
            format,
            config,
            shallow,
        })
    }

    /// Opens its objects; packs under way are kept in `incoming`.
    pub(super) fn repository(&self, incoming: &Path) -> Result<Repository, BareError> {
        Ok(Repository::open_plain(
            &self.objects,
            &self.shallow,
            incoming,
            self.format,
        )?)
    }

    /// Where new objects go.
    pub(super) fn own_objects(&self) -> &Path {
        &self.objects[0]
    }
}

/// The first of git's guesses that is a repository.
fn find(path: &Path, strict: bool) -> Option<PathBuf> {
    if strict {
        return is_git_dir(path).then(|| path.to_owned());
    }
    let text = path.as_os_str().as_bytes();
    let end = text.iter().rposition(|byte| *byte != b'/');
    let trimmed = &text[..end.map_or(1.min(text.len()), |last| last + 1)];
    let base = expand_home(trimmed)?;
    for suffix in ["/.git", "", ".git/.git", ".git"] {
        let mut candidate = base.clone().into_os_string();
        candidate.push(suffix);
        let candidate = PathBuf::from(candidate);
        let candidate = follow_gitfile(&candidate).unwrap_or(candidate);
        if is_git_dir(&candidate) {
            return Some(candidate);
        }
    }
    None
}

/// `~/x` and `~user/x` as paths; `None` if there is no such user.
fn expand_home(path: &[u8]) -> Option<PathBuf> {
    use std::ffi::OsStr;
    let Some(rest) = path.strip_prefix(b"~") else {
        return Some(Path::new(OsStr::from_bytes(path)).to_owned());
    };
    let slash = rest
        .iter()
        .position(|byte| *byte == b'/')
        .unwrap_or(rest.len());
    let (user, rest) = rest.split_at(slash);
    let home = if user.is_empty() {
        PathBuf::from(env::var_os("HOME")?)
    } else {
        home_of(user)?
    };
    let below = rest.strip_prefix(b"/").unwrap_or(rest);
    Some(home.join(Path::new(OsStr::from_bytes(below))))
}

/// The home folder that passwd(5) has for a user.
fn home_of(user: &[u8]) -> Option<PathBuf> {
    use std::ffi::OsStr;
    let table = fs::read("/etc/passwd").ok()?;
    table.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        (fields.next() == Some(user))
            .then(|| fields.nth(4))?
            .map(|home| PathBuf::from(OsStr::from_bytes(home)))
    })
}

/// What a file that says `gitdir: …` points to.
fn follow_gitfile(path: &Path) -> Option<PathBuf> {
    /// Longer ones are none.
    const BYTES_MAX: u64 = 1 << 20;
    let facts = fs::metadata(path).ok()?;
    if !facts.is_file() || facts.len() > BYTES_MAX {
        return None;
    }
    let text = fs::read_to_string(path).ok()?;
    let target = text
        .strip_prefix("gitdir: ")?
        .trim_end_matches(['\n', '\r']);
    Some(path.parent()?.join(target))
}

fn is_git_dir(path: &Path) -> bool {
    let common = common_dir(path);
    has_head(path) && own_objects(&common).is_dir() && common.join("refs").is_dir()
}

/// Whether `HEAD` is a symbolic link into `refs/`, or says `ref: refs/…` or an object id.
fn has_head(path: &Path) -> bool {
    let head = path.join("HEAD");
    if let Ok(target) = fs::read_link(&head) {
        return target.starts_with("refs");
    }
    let Ok(text) = fs::read(&head) else {
        return false;
    };
    if let Some(target) = text.strip_prefix(b"ref:") {
        return target.trim_ascii_start().starts_with(b"refs/");
    }
    let hex = text
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    hex >= gix_hash::Kind::Sha1.len_in_hex()
}

/// Where a linked worktree's refs and objects are.
fn common_dir(git_dir: &Path) -> PathBuf {
    match fs::read_to_string(git_dir.join("commondir")) {
        Ok(text) => git_dir.join(text.trim_end_matches('\n')),
        Err(_) => git_dir.to_owned(),
    }
}

fn own_objects(common: &Path) -> PathBuf {
    match env::var_os("GIT_OBJECT_DIRECTORY") {
        Some(path) => path.into(),
        None => common.join("objects"),
    }
}

fn is_owned(path: &Path) -> bool {
    let me = rustix::process::geteuid().as_raw();
    let Ok(owner) = fs::symlink_metadata(path).map(|facts| facts.uid()) else {
        return false;
    };
    let sudo = || {
        env::var("SUDO_UID")
            .ok()
            .and_then(|uid| uid.parse::<u32>().ok())
    };
    owner == me || (me == 0 && sudo() == Some(owner))
}

/// Whether `safe.directory` names it; the repository's own file has no say in this.
fn is_called_safe(git_dir: &Path) -> Result<bool, BareError> {
    let mut safe = false;
    for value in Config::of_environment()?.texts("safe.directory") {
        if value.is_empty() {
            safe = false;
        } else if value == "*" {
            safe = true;
        } else if let Some(named) = expand_home(value.as_bytes()) {
            let (below, star) = match named.file_name() {
                Some(last) if last == "*" => (named.parent(), true),
                _ => (Some(named.as_path()), false),
            };
            let Some(below) = below else { continue };
            let resolved = fs::canonicalize(below).unwrap_or_else(|_| below.to_owned());
            safe |= if star {
                git_dir.starts_with(&resolved)
            } else {
                git_dir == resolved
            };
        }
    }
    Ok(safe)
}

/// Refuses what a later git wrote; answers which hash names the objects.
fn check_format(config: &Config) -> Result<ObjectFormat, BareError> {
    let version = config.number("core.repositoryFormatVersion")?.unwrap_or(0);
    if !(0..=1).contains(&version) {
        return Err(BareError::UnknownVersion(version));
    }
    let mut format = ObjectFormat::Sha1;
    for (key, value) in config.section("extensions", None) {
        match key.as_str() {
            "noop" | "preciousobjects" | "partialclone" | "worktreeconfig" => {}
            "noop-v1" | "objectformat" | "compatobjectformat" | "refstorage"
            | "relativeworktrees"
                if version == 0 =>
            {
                return Err(BareError::ExtensionNeedsVersion1(key));
            }
            "noop-v1" | "compatobjectformat" | "relativeworktrees" => {}
            "objectformat" => {
                let unknown = |_| BareError::ExtensionValue {
                    key: "objectformat",
                    value: value.clone(),
                };
                format = value.parse().map_err(unknown)?;
            }
            "refstorage" if value == "files" => {}
            "refstorage" if value == "reftable" => return Err(BareError::RefTable),
            "refstorage" => {
                return Err(BareError::ExtensionValue {
                    key: "refstorage",
                    value,
                });
            }
            _ if version == 0 => {}
            _ => return Err(BareError::UnknownExtension(key)),
        }
    }
    Ok(format)
}

/// Adds the `objects` folders that those in the list borrow from, and those of the environment.
fn borrowed(objects: &mut Vec<PathBuf>) -> Result<(), BareError> {
    let listed = env::var_os("GIT_ALTERNATE_OBJECT_DIRECTORIES").unwrap_or_default();
    let mut queue: Vec<(PathBuf, usize)> = env::split_paths(&listed)
        .filter(|path| !path.as_os_str().is_empty())
        .map(|path| (path, 1))
        .collect();
    let own = objects[0].clone();
    queue.extend(alternates_of(&own)?.into_iter().map(|path| (path, 1)));
    let mut at = 0;
    while let Some((path, depth)) = queue.get(at).cloned() {
        at += 1;
        let normal = normalized(&path);
        // One that is gone is passed over, as git does with a warning.
        if depth > ALTERNATES_DEPTH || objects.contains(&normal) || !normal.is_dir() {
            continue;
        }
        if objects.len() > ALTERNATES_MAX {
            return Err(BareError::Refs(format!(
                "more than {ALTERNATES_MAX} alternates"
            )));
        }
        let further = alternates_of(&normal)?;
        queue.extend(further.into_iter().map(|path| (path, depth + 1)));
        objects.push(normal);
    }
    Ok(())
}

/// The lines of `info/alternates`, relative ones resolved.
fn alternates_of(objects: &Path) -> Result<Vec<PathBuf>, BareError> {
    use std::ffi::OsStr;
    let path = objects.join("info/alternates");
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(BareError::io("unable to read", path)(error)),
    };
    let lines = text.split(|byte| *byte == b'\n');
    Ok(lines
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
        .map(|line| objects.join(Path::new(OsStr::from_bytes(line))))
        .collect())
}

/// Without `.` and `..`, so that equal folders are found to be equal.
fn normalized(path: &Path) -> PathBuf {
    if let Ok(real) = fs::canonicalize(path) {
        return real;
    }
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

/// The `shallow` file, or the one that the environment names.
pub(super) fn read_shallow(
    common: &Path,
    format: ObjectFormat,
) -> Result<Vec<ObjectId>, BareError> {
    let path = match env::var_os("GIT_SHALLOW_FILE") {
        Some(path) if path.is_empty() => return Ok(Vec::new()),
        Some(path) => path.into(),
        None => common.join("shallow"),
    };
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(BareError::io("unable to read", path)(error)),
    };
    let lines = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let id = |line: &[u8]| {
        ObjectId::from_hex(line)
            .ok()
            .filter(|id| id.kind() == format.kind())
            .ok_or_else(|| BareError::Refs(format!("bad shallow line: {}", line.escape_ascii())))
    };
    lines.map(id).collect()
}
