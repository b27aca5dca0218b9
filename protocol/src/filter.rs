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
