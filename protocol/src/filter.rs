//! Filter specifications of partial clones.
//!
//! Source: git-rev-list(1), `--filter=<filter-spec>`.
//! Bounds: [`crate::Limits::filter_parts`] parts at all depths together, which also bounds the recursion.
//! Invariant: a [`Filter`] is one that git would take too.
//! Not here: what a filter lets through.

use crate::text::Excerpt;

/// Which objects a partial clone leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Filter {
    /// `blob:none`: all blobs.
    BlobNone,
    /// `blob:limit=<n>`: blobs of at least this many bytes.
    BlobLimit(u64),
    /// `tree:<depth>`: blobs and trees at this depth or deeper, a root tree being at depth 0.
    TreeDepth(u64),
    /// `object:type=<type>`: objects of other types.
    ObjectType(ObjectType),
    /// `sparse:oid=<blob-ish>`: blobs that the sparse-checkout patterns in this blob don't need.
    SparseOid(Vec<u8>),
    /// `combine:<filter>+<filter>…`: whatever any of these leaves out.
    Combine(Vec<Self>),
}

/// The type of an object, as filters name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "git's object types need no further words")]
pub enum ObjectType {
    Blob,
    Tree,
    Commit,
    Tag,
}

/// Why a specification is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// No filter looks like this.
    #[error("invalid filter-spec '{0}'")]
    Unknown(Excerpt),
    /// A number that is none, or too large.
    #[error("invalid number '{0}' in filter-spec")]
    BadNumber(Excerpt),
    /// Not a type of object.
    #[error("'{0}' for 'object:type=<type>' is not a valid object type")]
    BadType(Excerpt),
    /// A character that must be written as `%xx` inside `combine:`.
    #[error("must escape char in sub-filter-spec: '{0}'")]
    Unescaped(Excerpt),
    /// `combine:` without a filter.
    #[error("expected something after combine:")]
    EmptyCombine,
    /// More parts than this.
    #[error("filter-spec with more than {0} parts")]
    TooManyParts(usize),
    /// The server allows no filters of this kind.
    #[error("filter '{0}' not supported")]
    NotAllowed(&'static str),
    /// The server allows trees down to a lesser depth only.
    #[error("filter 'tree' not supported (maximum depth: {max}, but got: {depth})")]
    TooDeep {
        /// What is allowed.
        max: u64,
        /// What was asked for.
        depth: u64,
    },
}

/// Which filters a server allows, and down to which depth.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the filters by name")]
pub struct Allowed {
    pub blob_none: bool,
    pub blob_limit: bool,
    pub tree: bool,
    pub object_type: bool,
    pub sparse_oid: bool,
    pub combine: bool,
    /// The greatest `n` of `tree:<n>`.
    pub tree_depth_max: u64,
}

impl Default for Allowed {
    fn default() -> Self {
        Self {
            blob_none: true,
            blob_limit: true,
            tree: true,
            object_type: true,
            sparse_oid: true,
            combine: true,
            tree_depth_max: u64::MAX,
        }
    }
}

impl Allowed {
    /// Refuses a filter that is not allowed, or that has a part which is not.
    ///
    /// # Errors
    /// When it is so.
    pub fn check(&self, filter: &Filter) -> Result<(), FilterError> {
        let (allowed, name) = match filter {
            Filter::BlobNone => (self.blob_none, "blob:none"),
            Filter::BlobLimit(_) => (self.blob_limit, "blob:limit"),
            Filter::TreeDepth(depth) => {
                let (max, depth) = (self.tree_depth_max, *depth);
                if self.tree && depth > max {
                    return Err(FilterError::TooDeep { max, depth });
                }
                (self.tree, "tree")
            }
            Filter::ObjectType(_) => (self.object_type, "object:type"),
            Filter::SparseOid(_) => (self.sparse_oid, "sparse:oid"),
            Filter::Combine(parts) => {
                if self.combine {
                    return parts.iter().try_for_each(|part| self.check(part));
                }
                (false, "combine")
            }
        };
        if allowed {
            Ok(())
        } else {
            Err(FilterError::NotAllowed(name))
        }
    }
}

impl Filter {
    /// Reads a specification as it stands on the wire.
    ///
    /// # Errors
    /// When git would refuse it, or it has more than `parts_max` parts.
    pub fn parse(spec: &[u8], parts_max: usize) -> Result<Self, FilterError> {
        let mut parts_left = parts_max;
        parse(spec, &mut parts_left, parts_max)
    }
}

fn parse(spec: &[u8], parts_left: &mut usize, parts_max: usize) -> Result<Filter, FilterError> {
    *parts_left = parts_left
        .checked_sub(1)
        .ok_or(FilterError::TooManyParts(parts_max))?;
    if spec == b"blob:none" {
        Ok(Filter::BlobNone)
    } else if let Some(limit) = spec.strip_prefix(b"blob:limit=") {
        number(limit).map(Filter::BlobLimit)
    } else if let Some(depth) = spec.strip_prefix(b"tree:") {
        number(depth).map(Filter::TreeDepth)
    } else if let Some(name) = spec.strip_prefix(b"object:type=") {
        Ok(Filter::ObjectType(match name {
            b"blob" => ObjectType::Blob,
            b"tree" => ObjectType::Tree,
            b"commit" => ObjectType::Commit,
            b"tag" => ObjectType::Tag,
            _ => return Err(FilterError::BadType(Excerpt::of(name))),
        }))
    } else if let Some(name) = spec.strip_prefix(b"sparse:oid=") {
        Ok(Filter::SparseOid(name.to_vec()))
    } else if let Some(parts) = spec.strip_prefix(b"combine:") {
        combine(parts, parts_left, parts_max)
    } else {
        Err(FilterError::Unknown(Excerpt::of(spec)))
    }
}

fn combine(parts: &[u8], parts_left: &mut usize, parts_max: usize) -> Result<Filter, FilterError> {
    let mut filters = Vec::new();
    for part in parts
        .split(|&byte| byte == b'+')
        .filter(|part| !part.is_empty())
    {
        if let Some(&byte) = part.iter().find(|&&byte| must_be_escaped(byte)) {
            return Err(FilterError::Unescaped(Excerpt::of(&[byte])));
        }
        filters.push(parse(&percent_decoded(part), parts_left, parts_max)?);
    }
    if filters.is_empty() {
        return Err(FilterError::EmptyCombine);
    }
    Ok(Filter::Combine(filters))
}

/// A decimal number with an optional unit of 1,024 (k), 1,024² (m) or 1,024³ (g).
fn number(text: &[u8]) -> Result<u64, FilterError> {
    let bad = || FilterError::BadNumber(Excerpt::of(text));
    let (digits, unit) = match text.split_last() {
        Some((b'k' | b'K', digits)) => (digits, 1 << 10),
        Some((b'm' | b'M', digits)) => (digits, 1 << 20),
        Some((b'g' | b'G', digits)) => (digits, 1 << 30),
        _ => (text, 1),
    };
    let number = decimal(digits).ok_or_else(bad)?;
    number.checked_mul(unit).ok_or_else(bad)
}

/// One or more decimal digits, nothing else, as a number.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(value)
    })
}

fn must_be_escaped(byte: u8) -> bool {
    !byte.is_ascii_graphic() || b"~`!@#$^&*()[]{}\\;'\",<>?".contains(&byte)
}

/// Replaces each `%xx`; what only looks like one stays as it is.
fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%'
            && let Some((&[high, low], after)) = after.split_first_chunk()
            && let (Some(high), Some(low)) = (hex_value(high), hex_value(low))
        {
            decoded.push(high * 16 + low);
            rest = after;
        } else {
            decoded.push(byte);
            rest = after;
        }
    }
    decoded
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS_MAX: usize = 5;

    #[track_caller]
    fn check(spec: &str, expected: Result<Filter, FilterError>) {
        assert_eq!(
            Filter::parse(spec.as_bytes(), PARTS_MAX),
            expected,
            "filter {spec:?}"
        );
    }

    fn excerpt(text: &str) -> Excerpt {
        Excerpt::of(text.as_bytes())
    }

    #[test]
    fn each_filter_is_read() {
        check("blob:none", Ok(Filter::BlobNone));
        check("blob:limit=0", Ok(Filter::BlobLimit(0)));
        check("blob:limit=1k", Ok(Filter::BlobLimit(1_024)));
        check("blob:limit=2M", Ok(Filter::BlobLimit(2 << 20)));
        check("blob:limit=3g", Ok(Filter::BlobLimit(3 << 30)));
        check("tree:0", Ok(Filter::TreeDepth(0)));
        check("tree:18446744073709551615", Ok(Filter::TreeDepth(u64::MAX)));
        check("object:type=blob", Ok(Filter::ObjectType(ObjectType::Blob)));
        check("object:type=tree", Ok(Filter::ObjectType(ObjectType::Tree)));
        check(
            "object:type=commit",
            Ok(Filter::ObjectType(ObjectType::Commit)),
        );
        check("object:type=tag", Ok(Filter::ObjectType(ObjectType::Tag)));
        check(
            "sparse:oid=main:.sparse",
            Ok(Filter::SparseOid(b"main:.sparse".to_vec())),
        );
    }

    #[test]
    fn numbers_are_decimal_whole_and_fit() {
        for text in [
            "",
            "k",
            "-1",
            "+1",
            "0x10",
            "1kk",
            "1 ",
            "18446744073709551616",
            "18446744073709551615k",
        ] {
            check(
                &format!("blob:limit={text}"),
                Err(FilterError::BadNumber(excerpt(text))),
            );
            check(
                &format!("tree:{text}"),
                Err(FilterError::BadNumber(excerpt(text))),
            );
        }
    }

    #[test]
    fn what_git_refuses_is_refused() {
        for spec in [
            "",
            "blob",
            "blob:",
            "blob:none ",
            "BLOB:NONE",
            "sparse:path=x",
            "auto",
            "combine",
        ] {
            check(spec, Err(FilterError::Unknown(excerpt(spec))));
        }
        check(
            "object:type=blobs",
            Err(FilterError::BadType(excerpt("blobs"))),
        );
        check("combine:", Err(FilterError::EmptyCombine));
        check("combine:++", Err(FilterError::EmptyCombine));
    }

    #[test]
    fn filters_combine_and_their_parts_may_be_escaped() {
        check(
            "combine:blob:none",
            Ok(Filter::Combine(vec![Filter::BlobNone])),
        );
        check(
            "combine:tree:2+blob:limit=1k+",
            Ok(Filter::Combine(vec![
                Filter::TreeDepth(2),
                Filter::BlobLimit(1_024),
            ])),
        );
        check(
            "combine:sparse%3aoid=a%2Bb%25+tree%3A1",
            Ok(Filter::Combine(vec![
                Filter::SparseOid(b"a+b%".to_vec()),
                Filter::TreeDepth(1),
            ])),
        );
        check(
            "combine:combine:tree:1%2bblob:none+tree:3",
            Ok(Filter::Combine(vec![
                Filter::Combine(vec![Filter::TreeDepth(1), Filter::BlobNone]),
                Filter::TreeDepth(3),
            ])),
        );
        // What only looks like an escape stays as it is.
        check("combine:sparse:oid=a%2+tree:1", {
            Ok(Filter::Combine(vec![
                Filter::SparseOid(b"a%2".to_vec()),
                Filter::TreeDepth(1),
            ]))
        });
    }

    #[test]
    fn reserved_characters_must_be_escaped_inside_combine() {
        for character in ["~", "*", "\"", " ", "\x1b", "\x7f", "é"] {
            let spec = format!("combine:sparse:oid={character}");
            assert!(
                matches!(
                    Filter::parse(spec.as_bytes(), PARTS_MAX),
                    Err(FilterError::Unescaped(_))
                ),
                "{spec:?}"
            );
        }
    }

    #[test]
    fn parts_are_bounded_at_all_depths_together() {
        check(
            "combine:tree:0+tree:0+tree:0+tree:0",
            Ok(Filter::Combine(vec![Filter::TreeDepth(0); PARTS_MAX - 1])),
        );
        check(
            "combine:tree:0+tree:0+tree:0+tree:0+tree:0",
            Err(FilterError::TooManyParts(PARTS_MAX)),
        );
        check(
            "combine:combine:combine:tree:0+tree:0",
            Ok(Filter::Combine(vec![
                Filter::Combine(vec![Filter::Combine(vec![Filter::TreeDepth(0)])]),
                Filter::TreeDepth(0),
            ])),
        );
        check(
            &("combine:".repeat(PARTS_MAX) + "tree:0"),
            Err(FilterError::TooManyParts(PARTS_MAX)),
        );
    }

    #[test]
    fn only_what_is_allowed_passes_whatever_it_hides_in() {
        let allowed = Allowed {
            blob_limit: false,
            tree_depth_max: 1,
            ..Allowed::default()
        };
        let check = |spec: &str| allowed.check(&Filter::parse(spec.as_bytes(), PARTS_MAX).unwrap());
        assert_eq!(check("combine:tree:1+blob:none"), Ok(()));
        let refused = Err(FilterError::NotAllowed("blob:limit"));
        assert_eq!(check("blob:limit=1"), refused);
        assert_eq!(check("combine:blob:none+blob:limit=1"), refused);
        let too_deep = Err(FilterError::TooDeep { max: 1, depth: 2 });
        assert_eq!(check("combine:tree:2"), too_deep);
        let simple = Allowed {
            combine: false,
            ..Allowed::default()
        };
        let combined = Filter::Combine(vec![Filter::BlobNone]);
        assert_eq!(
            simple.check(&combined),
            Err(FilterError::NotAllowed("combine"))
        );
    }
}
