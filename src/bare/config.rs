//! git's configuration as this mode reads it.
//!
//! Source: git-config(1), "FILES", "SCOPES", "ENVIRONMENT", "Includes".
//! Invariant: a value that does not parse is an error with its key in it, never taken for a default.
//! Bounds: includes are followed ten deep, as in git.
//! Not here: what a key means (the module that asks for it; the table is in [`super`]).

use std::{
    env,
    path::{Path, PathBuf},
};

use gix_config::{
    File, Source,
    file::{Metadata, includes, init},
};
use gix_object::bstr::ByteSlice as _;

use super::BareError;

/// Everything that is set, from the system's file to the environment.
#[derive(Debug)]
pub(super) struct Config(File);

impl Config {
    /// What the system, the user and the environment say, without any repository.
    pub(super) fn of_environment() -> Result<Self, BareError> {
        let home = env::var_os("HOME").map(PathBuf::from);
        let mut files = Vec::new();
        if !is_set("GIT_CONFIG_NOSYSTEM") {
            let path = env::var_os("GIT_CONFIG_SYSTEM").map(PathBuf::from);
            files.push((Source::System, path.unwrap_or("/etc/gitconfig".into())));
        }
        if let Some(path) = env::var_os("GIT_CONFIG_GLOBAL") {
            files.push((Source::User, path.into()));
        } else {
            let xdg = env::var_os("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty());
            let xdg = xdg.map(PathBuf::from);
            if let Some(folder) = xdg.or(home.as_ref().map(|home| home.join(".config"))) {
                files.push((Source::User, folder.join("git/config")));
            }
            files.extend(home.map(|home| (Source::User, home.join(".gitconfig"))));
        }
        let mut all = load(files, None)?;
        let options = init::Options::default();
        let overrides = File::from_env(options).map_err(|error| bad("the environment", &error))?;
        if let Some(overrides) = overrides {
            all.append(overrides)
                .map_err(|error| bad("the environment", &error))?;
        }
        Ok(Self(all))
    }

    /// The same with the repository's own file between the user's and the environment's.
    pub(super) fn of_repository(git_dir: &Path, common: &Path) -> Result<Self, BareError> {
        let own = load(vec![(Source::Local, common.join("config"))], Some(git_dir))?;
        let per_worktree = own
            .boolean("extensions.worktreeConfig")
            .map_err(|error| bad("extensions.worktreeConfig", &error))?;
        let Self(environment) = Self::of_environment()?;
        let (mut all, mut overrides) = (File::default(), File::default());
        let split = |source: Source| matches!(source, Source::Env | Source::Cli);
        for section in environment.sections() {
            let target = if split(section.meta().source) {
                &mut overrides
            } else {
                &mut all
            };
            let pushed = target.push_section(section.to_owned());
            pushed.map_err(|error| bad("config", &error))?;
        }
        let mut append = |more| match all.append(more) {
            Ok(_) => Ok(()),
            Err(error) => Err(bad("config", &error)),
        };
        append(own)?;
        if per_worktree == Some(true) {
            let path = git_dir.join("config.worktree");
            append(load(vec![(Source::Worktree, path)], Some(git_dir))?)?;
        }
        append(overrides)?;
        Ok(Self(all))
    }

    /// A boolean in any of git's spellings.
    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool, BareError> {
        Ok(self.optional_flag(key)?.unwrap_or(default))
    }

    /// As [`Self::flag`], `None` if it is not set.
    pub(super) fn optional_flag(&self, key: &str) -> Result<Option<bool>, BareError> {
        self.0.boolean(key).map_err(|error| bad(key, &error))
    }

    /// A boolean below a subsection.
    pub(super) fn flag_of(
        &self,
        section: &str,
        subsection: &str,
        key: &str,
    ) -> Result<Option<bool>, BareError> {
        self.0
            .boolean_by(section, subsection, key)
            .map_err(|error| bad(&format!("{section}.{subsection}.{key}"), &error))
    }

    /// A number, perhaps with a unit.
    pub(super) fn number(&self, key: &str) -> Result<Option<i64>, BareError> {
        self.0.integer(key).map_err(|error| bad(key, &error))
    }

    /// A number below a subsection.
    pub(super) fn number_of(
        &self,
        section: &str,
        subsection: &str,
        key: &str,
    ) -> Result<Option<i64>, BareError> {
        self.0
            .integer_by(section, subsection, key)
            .map_err(|error| bad(&format!("{section}.{subsection}.{key}"), &error))
    }

    /// All texts of a key that may be there more than once.
    pub(super) fn texts(&self, key: &str) -> Vec<String> {
        let all = self.0.strings(key).unwrap_or_default();
        all.iter()
            .map(|text| text.to_str_lossy().into_owned())
            .collect()
    }

    /// The values of `key` in these sections, in the order in which they were read.
    pub(super) fn values_across(&self, sections: &[&str], key: &str) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for section in self.0.sections() {
            let header = section.header();
            let named = |name: &&str| header.name().eq_ignore_ascii_case(name.as_bytes());
            if header.subsection_name().is_none() && sections.iter().any(named) {
                all.extend(section.values(key).into_iter().map(Vec::from));
            }
        }
        all
    }

    /// The keys and values of a section, lower-case, and of its subsection if one is named.
    pub(super) fn section(&self, name: &str, subsection: Option<&str>) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for section in self.0.sections() {
            let header = section.header();
            let of_section = header.name().eq_ignore_ascii_case(name.as_bytes())
                && header.subsection_name().map(|name| name.as_bytes())
                    == subsection.map(str::as_bytes);
            if !of_section {
                continue;
            }
            for key in section.value_names() {
                let value = section.value(&key).unwrap_or_default();
                all.push((key.to_ascii_lowercase(), value.to_str_lossy().into_owned()));
            }
        }
        all
    }
}

/// A number, perhaps with a unit, as configuration and some variables have it.
pub(super) fn number(text: &str) -> Option<i64> {
    let number = gix_config::Integer::try_from(text.as_bytes().as_bstr()).ok()?;
    number.to_decimal()
}

/// Whether a variable has a value that stands for yes.
pub(super) fn is_set(variable: &str) -> bool {
    let value = env::var(variable).unwrap_or_default();
    !matches!(
        value.to_ascii_lowercase().as_str(),
        "" | "0" | "false" | "no" | "off"
    )
}

/// Reads those of the files that exist, with what they include.
fn load(files: Vec<(Source, PathBuf)>, git_dir: Option<&Path>) -> Result<File, BareError> {
    let home = env::var_os("HOME").map(PathBuf::from);
    let interpolate = gix_config::path::interpolate::Context {
        home_dir: home.as_deref(),
        ..Default::default()
    };
    let conditional = includes::conditional::Context {
        git_dir,
        branch_name: None,
    };
    let options = init::Options {
        includes: includes::Options::follow(interpolate, conditional),
        lossy: true,
        ..Default::default()
    };
    let place = files
        .last()
        .map_or_else(String::new, |(_, path)| path.display().to_string());
    let mut files = files
        .into_iter()
        .map(|(source, path)| Metadata::from(source).at(path));
    let read = File::from_paths_metadata_buf(&mut files, &mut Vec::new(), false, options);
    Ok(read
        .map_err(|error| bad(&place, &error))?
        .unwrap_or_default())
}

fn bad(place: &str, error: &impl std::fmt::Display) -> BareError {
    BareError::Config {
        place: place.to_owned(),
        reason: error.to_string(),
    }
}
