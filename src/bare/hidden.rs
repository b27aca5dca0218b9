//! Which refs are hidden from clients.
//!
//! Source: git-config(1), `transfer.hideRefs`; gitnamespaces(7).
//! Invariant: of several patterns that match, the last one decides.

use super::config::Config;

/// The patterns of one service, in the order in which they were read.
#[derive(Debug, Default)]
pub(super) struct Hidden(Vec<Pattern>);

#[derive(Debug)]
struct Pattern {
    prefix: Vec<u8>,
    /// `!`: what matches is shown.
    shows: bool,
    /// `^`: it stands for the name before a namespace was stripped from it.
    full: bool,
}

impl Hidden {
    /// The patterns of `transfer` and of the service, `uploadpack` or `receive`.
    pub(super) fn of(config: &Config, service: &str) -> Self {
        let values = config.values_across(&["transfer", service], "hideRefs");
        Self(values.iter().map(|value| Pattern::parse(value)).collect())
    }

    /// Whether a ref is hidden; `name` is its name within the namespace, if it lies within it.
    pub(super) fn hides(&self, name: Option<&[u8]>, full: &[u8]) -> bool {
        for pattern in self.0.iter().rev() {
            let subject = if pattern.full { Some(full) } else { name };
            let rest = subject.and_then(|subject| subject.strip_prefix(pattern.prefix.as_slice()));
            if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")) {
                return !pattern.shows;
            }
        }
        false
    }
}

impl Pattern {
    fn parse(value: &[u8]) -> Self {
        let (shows, value) = match value.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, value),
        };
        let (full, value) = match value.strip_prefix(b"^") {
            Some(rest) => (true, rest),
            None => (false, value),
        };
        let end = value.iter().rposition(|byte| *byte != b'/');
        let prefix = value[..end.map_or(0, |last| last + 1)].to_vec();
        Self {
            prefix,
            shows,
            full,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(patterns: &[&str], name: Option<&str>, full: &str, expected: bool) {
        let hidden = Hidden(
            patterns
                .iter()
                .map(|text| Pattern::parse(text.as_bytes()))
                .collect(),
        );
        let name = name.map(str::as_bytes);
        assert_eq!(
            hidden.hides(name, full.as_bytes()),
            expected,
            "{patterns:?} {full}"
        );
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let own = |name| (Some(name), name);
        let hidden = |patterns: &[&str], (name, full): (Option<&str>, &str), expected| {
            check(patterns, name, full, expected);
        };
        hidden(&["refs/secret"], own("refs/secret/x"), true);
        hidden(&["refs/secret/"], own("refs/secret"), true);
        hidden(&["refs/secret"], own("refs/secrets"), false);
        hidden(
            &["refs/heads", "!refs/heads/main"],
            own("refs/heads/main"),
            false,
        );
        hidden(
            &["!refs/heads/main", "refs/heads"],
            own("refs/heads/main"),
            true,
        );
        hidden(
            &["^refs/heads"],
            (Some("refs/heads/a"), "refs/namespaces/n/refs/heads/a"),
            false,
        );
        let full = "^refs/namespaces/n/refs/heads";
        hidden(
            &[full],
            (Some("refs/heads/a"), "refs/namespaces/n/refs/heads/a"),
            true,
        );
        hidden(&["refs/heads"], (None, "refs/heads/a"), false);
        hidden(
            &["^refs/heads", "!^refs/heads/a"],
            (None, "refs/heads/a"),
            false,
        );
    }
}
