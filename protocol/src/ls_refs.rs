//! The v2 command `ls-refs`: which refs a client wants to see, and the answer.
//!
//! Source: gitprotocol-v2(5), "ls-refs".
//! Bounds: [`crate::Limits::ref_prefixes`] prefixes; with more, all refs match, as in git.
//! Invariant: prefixes are sorted and none begins with another, so each stands for a range of its own.
//! Not here: refs themselves, and which of them the caller may see.

use crate::{
    AdvertisedRef,
    error::ProtocolError,
    pkt_line::{self, Line, LineTooLong},
    text::Excerpt,
};

/// What an `ls-refs` request asks for. Equal requests have equal answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct LsRefsRequest {
    /// Show what tags point to.
    pub peel: bool,
    /// Show what symbolic refs stand for.
    pub symrefs: bool,
    /// Show `HEAD` even if its branch is not born yet.
    pub unborn: bool,
    /// Only refs that begin with one of these, sorted, none a prefix of another; empty: all refs.
    pub prefixes: Vec<Vec<u8>>,
    /// Options for the server, as they were given.
    pub server_options: Vec<Vec<u8>>,
}

impl LsRefsRequest {
    /// Whether the prefixes let this name through.
    pub fn matches(&self, name: &[u8]) -> bool {
        if self.prefixes.is_empty() {
            return true;
        }
        // The last prefix not after the name is the only one that can begin it.
        let after = self
            .prefixes
            .partition_point(|prefix| prefix.as_slice() <= name);
        after
            .checked_sub(1)
            .and_then(|last| self.prefixes.get(last))
            .is_some_and(|prefix| name.starts_with(prefix))
    }
}

/// Arguments of a request that is still arriving.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    request: LsRefsRequest,
    prefixes: usize,
}

impl Arguments {
    pub(crate) fn new(server_options: Vec<Vec<u8>>) -> Self {
        Self {
            request: LsRefsRequest {
                server_options,
                ..LsRefsRequest::default()
            },
            prefixes: 0,
        }
    }

    pub(crate) fn take(
        &mut self,
        argument: &[u8],
        prefixes_max: usize,
    ) -> Result<(), ProtocolError> {
        match argument {
            b"peel" => self.request.peel = true,
            b"symrefs" => self.request.symrefs = true,
            b"unborn" => self.request.unborn = true,
            _ => {
                let Some(prefix) = argument.strip_prefix(b"ref-prefix ") else {
                    return Err(ProtocolError::UnexpectedLine(Excerpt::of(argument)));
                };
                self.prefixes = self.prefixes.saturating_add(1);
                if self.prefixes <= prefixes_max {
                    self.request.prefixes.push(prefix.to_vec());
                } else {
                    self.request.prefixes = Vec::new();
                }
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> LsRefsRequest {
        let mut request = self.request;
        request.prefixes.sort_unstable();
        request
            .prefixes
            .dedup_by(|next, kept| next.starts_with(kept));
        if request.prefixes.first().is_some_and(Vec::is_empty) {
            request.prefixes.clear();
        }
        request
    }
}

/// Appends the answer, flush included: those of `refs` that match. `HEAD` should come first.
///
/// # Errors
/// When a ref does not fit into a line; the lines before it were appended.
pub fn encode_ls_refs<'a>(
    request: &LsRefsRequest,
    refs: impl IntoIterator<Item = AdvertisedRef<'a>>,
    output: &mut Vec<u8>,
) -> Result<(), LineTooLong> {
    for each in refs {
        if request.matches(each.name) {
            encode_ref(request, each, output)?;
        }
    }
    pkt_line::write_flush(output);
    Ok(())
}

fn encode_ref(
    request: &LsRefsRequest,
    each: AdvertisedRef<'_>,
    output: &mut Vec<u8>,
) -> Result<(), LineTooLong> {
    let symref_target = each.symref_target.filter(|_| request.symrefs);
    if each.id.is_none() && !(request.unborn && symref_target.is_some()) {
        return Ok(());
    }
    let mut line = Line::begin(output);
    match each.id {
        Some(id) => line.id(id),
        None => line.bytes(b"unborn"),
    }
    line.bytes(b" ");
    line.bytes(each.name);
    if let Some(target) = symref_target {
        line.bytes(b" symref-target:");
        line.bytes(target);
    }
    if let Some(peeled) = each.peeled.filter(|_| request.peel && each.id.is_some()) {
        line.bytes(b" peeled:");
        line.id(peeled);
    }
    line.bytes(b"\n");
    line.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(prefixes: &[&str]) -> LsRefsRequest {
        let mut arguments = Arguments::default();
        for prefix in prefixes {
            arguments
                .take(format!("ref-prefix {prefix}").as_bytes(), 10)
                .unwrap();
        }
        arguments.finish()
    }

    #[track_caller]
    fn check(prefixes: &[&str], kept: &[&str]) {
        let kept: Vec<Vec<u8>> = kept
            .iter()
            .map(|prefix| prefix.as_bytes().to_vec())
            .collect();
        assert_eq!(request(prefixes).prefixes, kept, "{prefixes:?}");
    }

    #[test]
    fn prefixes_become_ranges_that_do_not_overlap() {
        check(
            &["refs/tags/", "HEAD", "refs/heads/"],
            &["HEAD", "refs/heads/", "refs/tags/"],
        );
        check(
            &["refs/heads/a", "refs/heads/", "refs/heads/a/b"],
            &["refs/heads/"],
        );
        check(&["a", "b", "ab", "a"], &["a", "b"]);
        check(&["refs/", ""], &[]);
        check(&[], &[]);
    }

    #[test]
    fn a_name_matches_by_the_last_prefix_before_it() {
        let request = request(&["HEAD", "refs/heads/main", "refs/tags/"]);
        for (name, matches) in [
            ("HEAD", true),
            ("HEADS", true),
            ("HEA", false),
            ("refs/heads/main", true),
            ("refs/heads/main2", true),
            ("refs/heads/mai", false),
            ("refs/heads/next", false),
            ("refs/tags/v1", true),
            ("refs/tags/", true),
            ("refs/tagt", false),
            ("A", false),
            ("", false),
        ] {
            assert_eq!(request.matches(name.as_bytes()), matches, "{name}");
        }
        assert!(LsRefsRequest::default().matches(b"anything"));
    }
}
