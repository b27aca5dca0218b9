//! Conditional and range requests for one file: which part of it, if any, the client is to get.
//!
//! Source: RFC 9110 sections 13 (conditional requests) and 14 (ranges).
//! Invariant: a header that is not understood asks for nothing, as the RFC demands; several ranges
//! at once are answered with the whole, which it allows.
//! Not here: reading the file.

use axum::http::{HeaderMap, HeaderName, header};
use jiff::fmt::rfc2822::DateTimeParser;

use crate::model::Timestamp;

/// What is known of the file before its bytes are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Representation<'a> {
    /// Its strong entity tag, with the quotes.
    pub(super) etag: &'a str,
    /// When it last changed, in whole seconds.
    pub(super) modified: Option<Timestamp>,
    /// Bytes.
    pub(super) size: u64,
}

/// What to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selection {
    /// 200: all of it.
    Whole,
    /// 206: these bytes, both ends inclusive.
    Part {
        /// First byte.
        first: u64,
        /// Last byte.
        last: u64,
    },
    /// 304: the client has it.
    NotModified,
    /// 412: it is not what the client thinks.
    PreconditionFailed,
    /// 416: it has no such bytes.
    OutOfRange,
}

/// Judges the headers of a GET or HEAD in the order that RFC 9110 section 13.2.2 lays down.
pub(super) fn select(headers: &HeaderMap, file: Representation<'_>) -> Selection {
    if headers.contains_key(header::IF_MATCH) {
        if !names_tag(headers, &header::IF_MATCH, file.etag, Comparison::Strong) {
            return Selection::PreconditionFailed;
        }
    } else if let (Some(since), Some(modified)) =
        (date(headers, &header::IF_UNMODIFIED_SINCE), file.modified)
        && modified.seconds() > since
    {
        return Selection::PreconditionFailed;
    }
    if headers.contains_key(header::IF_NONE_MATCH) {
        if names_tag(headers, &header::IF_NONE_MATCH, file.etag, Comparison::Weak) {
            return Selection::NotModified;
        }
    } else if let (Some(since), Some(modified)) =
        (date(headers, &header::IF_MODIFIED_SINCE), file.modified)
        && modified.seconds() <= since
    {
        return Selection::NotModified;
    }
    match headers.get(header::IF_RANGE) {
        Some(_) if !same_as_before(headers, file) => Selection::Whole,
        _ => {
            text(headers, &header::RANGE).map_or(Selection::Whole, |asked| range(asked, file.size))
        }
    }
}

/// Whether `If-Range` names this very representation.
fn same_as_before(headers: &HeaderMap, file: Representation<'_>) -> bool {
    match text(headers, &header::IF_RANGE) {
        Some(tag) if tag.starts_with('"') => tag == file.etag,
        Some(_) => {
            let since = date(headers, &header::IF_RANGE);
            since.is_some() && since == file.modified.map(Timestamp::seconds)
        }
        None => false,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether a list of entity tags, or `*`, names this one.
fn names_tag(headers: &HeaderMap, name: &HeaderName, etag: &str, comparison: Comparison) -> bool {
    let lists = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    // Our tags are hex, so that a comma can only stand between them.
    lists.flat_map(|list| list.split(',')).any(|tag| {
        let tag = tag.trim();
        let weak = tag.strip_prefix("W/");
        match comparison {
            Comparison::Strong => tag == "*" || tag == etag,
            Comparison::Weak => tag == "*" || weak.unwrap_or(tag) == etag,
        }
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Seconds since the epoch.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    let at = PARSER.parse_timestamp(text(headers, name)?).ok()?;
    Some(at.as_second())
}

/// The bytes that a `Range` header asks for.
fn range(asked: &str, size: u64) -> Selection {
    let Some((unit, set)) = asked.split_once('=') else {
        return Selection::Whole;
    };
    if !unit.eq_ignore_ascii_case("bytes") {
        return Selection::Whole;
    }
    let Some((first, last)) = set.trim().split_once('-') else {
        return Selection::Whole;
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(first) || !digits(last) {
        return Selection::Whole;
    }
    // Past what fits, any number is as large as another.
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    match (first.is_empty(), last.is_empty()) {
        (true, true) => Selection::Whole,
        (true, false) => match number(last).min(size) {
            0 => Selection::OutOfRange,
            suffix => Selection::Part {
                first: size - suffix,
                last: size - 1,
            },
        },
        (false, _) => {
            let first = number(first);
            let last = if last.is_empty() {
                u64::MAX
            } else {
                number(last)
            };
            if last < first {
                return Selection::Whole;
            }
            if first >= size {
                return Selection::OutOfRange;
            }
            Selection::Part {
                first,
                last: last.min(size - 1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"abc\"";
    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const MODIFIED: i64 = 784_111_777;

    #[track_caller]
    fn check(headers: &[(&'static str, &str)], expected: Selection) {
        let map: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        let file = Representation {
            etag: ETAG,
            modified: Some(Timestamp::from_seconds(MODIFIED)),
            size: 10,
        };
        assert_eq!(select(&map, file), expected, "headers {headers:?}");
    }

    #[test]
    fn one_range_is_cut_to_the_file_and_several_are_not_served() {
        let part = |first, last| Selection::Part { first, last };
        for (asked, expected) in [
            ("bytes=0-0", part(0, 0)),
            ("bytes=0-", part(0, 9)),
            ("bytes=9-9", part(9, 9)),
            ("bytes=5-99", part(5, 9)),
            ("Bytes=-3", part(7, 9)),
            ("bytes=-99", part(0, 9)),
            ("bytes=2-99999999999999999999999", part(2, 9)),
            ("bytes=10-", Selection::OutOfRange),
            ("bytes=99999999999999999999999-", Selection::OutOfRange),
            ("bytes=-0", Selection::OutOfRange),
            ("bytes=0-1,3-4", Selection::Whole),
            ("bytes=3-1", Selection::Whole),
            ("bytes=-", Selection::Whole),
            ("bytes=a-b", Selection::Whole),
            ("bytes=+1-2", Selection::Whole),
            ("lines=1-2", Selection::Whole),
            ("bytes", Selection::Whole),
        ] {
            check(&[("range", asked)], expected);
        }
        assert_eq!(range("bytes=0-", 0), Selection::OutOfRange);
    }

    #[test]
    fn a_client_that_has_it_gets_nothing_and_one_that_errs_is_told() {
        for tags in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*"] {
            check(&[("if-none-match", tags)], Selection::NotModified);
        }
        check(&[("if-none-match", "\"x\"")], Selection::Whole);
        for tags in ["\"abc\"", "\"x\", \"abc\"", "*"] {
            check(&[("if-match", tags)], Selection::Whole);
        }
        check(&[("if-match", "W/\"abc\"")], Selection::PreconditionFailed);
        check(&[("if-match", "\"x\"")], Selection::PreconditionFailed);
    }

    #[test]
    fn dates_count_only_where_no_tag_is_given() {
        let (same, before) = (
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:36 GMT",
        );
        check(&[("if-modified-since", same)], Selection::NotModified);
        check(&[("if-modified-since", before)], Selection::Whole);
        check(&[("if-modified-since", "yesterday")], Selection::Whole);
        check(
            &[("if-modified-since", same), ("if-none-match", "\"x\"")],
            Selection::Whole,
        );
        check(&[("if-unmodified-since", same)], Selection::Whole);
        check(
            &[("if-unmodified-since", before)],
            Selection::PreconditionFailed,
        );
        check(
            &[("if-unmodified-since", before), ("if-match", ETAG)],
            Selection::Whole,
        );
    }

    #[test]
    fn a_range_of_another_version_gives_the_whole() {
        let part = Selection::Part { first: 0, last: 0 };
        for (condition, expected) in [
            (ETAG, part),
            ("\"x\"", Selection::Whole),
            ("W/\"abc\"", Selection::Whole),
            ("Sun, 06 Nov 1994 08:49:37 GMT", part),
            ("Sun, 06 Nov 1994 08:49:38 GMT", Selection::Whole),
        ] {
            check(&[("range", "bytes=0-0"), ("if-range", condition)], expected);
        }
    }
}
