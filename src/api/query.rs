//! Query parameters of the management APIs.
//!
//! Source: the URL standard, "application/x-www-form-urlencoded parsing".
//! Bounds: [`MAX_PARAMETERS`]; the length of the whole is bounded by the HTTP layer.
//! Invariant: a parameter that is read as a single value and given twice is refused, so that no
//! proxy in front can have meant the other one; keys that nobody asks for are ignored.

use std::str::FromStr;

use axum::{extract::FromRequestParts, http::request::Parts};

use super::{App, request::RequestError};

/// Most parameters that a request may have.
const MAX_PARAMETERS: usize = 256;

/// The parameters of one request, decoded but not yet understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

/// Why the query can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueryError {
    /// A percent sign without two hex digits, or bytes that are not UTF-8.
    #[error("query {0:?} is not percent-encoded UTF-8")]
    Encoding(String),
    /// More than [`MAX_PARAMETERS`].
    #[error("more than {MAX_PARAMETERS} query parameters")]
    TooMany,
    /// Read as one value, but there are several.
    #[error("query parameter {0} is given more than once")]
    Repeated(&'static str),
    /// It has to be there.
    #[error("query parameter {0} is missing")]
    Missing(&'static str),
    /// Neither `true` nor `false`.
    #[error("query parameter {name} is {value:?}, neither true nor false")]
    NotBoolean {
        /// Which one.
        name: &'static str,
        /// What it held.
        value: String,
    },
    /// Something else was expected in its place.
    #[error("query parameter {name} is {value:?}, {expected} was expected")]
    Malformed {
        /// Which one.
        name: &'static str,
        /// What it held.
        value: String,
        /// What it should have held.
        expected: &'static str,
    },
}

impl Query {
    /// Decodes what follows the question mark.
    pub(super) fn parse(raw: &str) -> Result<Self, QueryError> {
        let mut parameters = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            if parameters.len() == MAX_PARAMETERS {
                return Err(QueryError::TooMany);
            }
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameters.push((form_decoded(key)?, form_decoded(value)?));
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter; an empty one counts as absent.
    pub(super) fn one(&self, name: &'static str) -> Result<Option<&str>, QueryError> {
        let mut values = self.all(name);
        let first = values.next();
        match values.next() {
            Some(_) => Err(QueryError::Repeated(name)),
            None => Ok(first.filter(|value| !value.is_empty())),
        }
    }

    /// The value of a parameter that has to be there.
    pub(super) fn required(&self, name: &'static str) -> Result<&str, QueryError> {
        self.one(name)?.ok_or(QueryError::Missing(name))
    }

    /// All values of a repeatable parameter in their order.
    pub(super) fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A switch: exactly `true` or `false`.
    pub(super) fn switch(&self, name: &'static str) -> Result<Option<bool>, QueryError> {
        match self.one(name)? {
            None if self.all(name).next().is_none() => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            other => Err(QueryError::NotBoolean {
                name,
                value: other.unwrap_or_default().to_owned(),
            }),
        }
    }

    /// A value of any type that parses.
    pub(super) fn parsed<T: FromStr>(
        &self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, QueryError> {
        let Some(value) = self.one(name)? else {
            return Ok(None);
        };
        let malformed = |_| QueryError::Malformed {
            name,
            value: value.to_owned(),
            expected,
        };
        value.parse().map(Some).map_err(malformed)
    }

    /// How many items a page may hold: at least 1, silently no more than `most`.
    pub(super) fn limit(&self, default: usize, most: usize) -> Result<usize, QueryError> {
        match self.one("limit")? {
            None => Ok(default),
            // A number too big for us is still a number.
            Some(digits)
                if digits.bytes().all(|byte| byte.is_ascii_digit())
                    && digits.bytes().any(|byte| byte != b'0') =>
            {
                Ok(digits.parse().unwrap_or(most).min(most))
            }
            Some(other) => Err(QueryError::Malformed {
                name: "limit",
                value: other.to_owned(),
                expected: "a positive number",
            }),
        }
    }
}

impl FromRequestParts<App> for Query {
    type Rejection = RequestError;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, RequestError> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default())?)
    }
}

fn form_decoded(text: &str) -> Result<String, QueryError> {
    let malformed = || QueryError::Encoding(text.to_owned());
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || {
                    let digit = char::from(bytes.next()?).to_digit(16)?;
                    u8::try_from(digit).ok()
                };
                match (digit(), digit()) {
                    (Some(high), Some(low)) => high << 4 | low,
                    _ => return Err(malformed()),
                }
            }
            other => other,
        });
    }
    String::from_utf8(decoded).map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(raw: &str) -> Query {
        Query::parse(raw).unwrap()
    }

    #[test]
    fn values_are_decoded_as_forms_are() {
        let query = query("ref=feature%2Fa+b&empty=&bare&%70ath=%c3%a4&path=y");
        assert_eq!(query.one("ref"), Ok(Some("feature/a b")));
        assert_eq!(query.one("empty"), Ok(None));
        assert_eq!(query.one("bare"), Ok(None));
        assert_eq!(query.one("absent"), Ok(None));
        assert_eq!(query.all("path").collect::<Vec<_>>(), ["ä", "y"]);
        assert_eq!(query.one("path"), Err(QueryError::Repeated("path")));
        assert_eq!(query.required("bare"), Err(QueryError::Missing("bare")));
    }

    #[test]
    fn broken_escapes_are_refused() {
        for raw in ["a=%", "a=%4", "a=%zz", "a=%ff", "%=a", "a=%+1"] {
            assert!(
                matches!(Query::parse(raw), Err(QueryError::Encoding(_))),
                "query {raw:?}"
            );
        }
    }

    #[test]
    fn switches_are_exactly_true_or_false() {
        let query = query("a=true&b=false&c=1&d=True&e=");
        assert_eq!(query.switch("a"), Ok(Some(true)));
        assert_eq!(query.switch("b"), Ok(Some(false)));
        assert_eq!(query.switch("absent"), Ok(None));
        for name in ["c", "d", "e"] {
            assert!(
                matches!(query.switch(name), Err(QueryError::NotBoolean { .. })),
                "parameter {name}"
            );
        }
    }

    #[test]
    fn a_limit_is_positive_and_cut_to_the_most() {
        let limit = |raw: &str| query(raw).limit(20, 100);
        assert_eq!(limit(""), Ok(20));
        assert_eq!(limit("limit=1"), Ok(1));
        assert_eq!(limit("limit=100"), Ok(100));
        assert_eq!(limit("limit=101"), Ok(100));
        assert_eq!(limit("limit=99999999999999999999999"), Ok(100));
        for raw in ["limit=0", "limit=00", "limit=-1", "limit=%2B1", "limit=x"] {
            assert!(limit(raw).is_err(), "query {raw:?}");
        }
    }

    #[test]
    fn the_bound_on_parameters_holds_on_both_sides() {
        let most = "a&".repeat(MAX_PARAMETERS);
        assert!(Query::parse(&most).is_ok());
        assert_eq!(Query::parse(&format!("{most}a")), Err(QueryError::TooMany));
    }
}
