//! Lists of our own API: `{"items": […], "next_cursor": "…", "has_more": …}`.
//!
//! Bounds: [`PAGE_DEFAULT`], [`PAGE_MAX`].
//! Invariant: the cursor is the key of the last item, so that what is made or removed meanwhile
//! neither repeats nor hides another item.

use serde::Serialize;

use super::error::Error;
use crate::api::query::Query;

const PAGE_DEFAULT: usize = 20;
const PAGE_MAX: usize = 100;

/// One page of a list.
#[derive(Debug, Serialize)]
pub(super) struct Page<T> {
    items: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    has_more: bool,
}

/// Which page is asked for; `C` is the key that a cursor holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<C> {
    /// The key of the last item that the client has.
    pub(super) after: Option<C>,
    limit: usize,
}

impl<C: std::str::FromStr> Asked<C> {
    /// Reads `cursor` and `limit`.
    pub(super) fn of(query: &Query) -> Result<Self, Error> {
        Ok(Self {
            after: query.parsed("cursor", "a cursor of this list")?,
            limit: query.limit(PAGE_DEFAULT, PAGE_MAX)?,
        })
    }
}

impl<C> Asked<C> {
    /// How many items to look for: one more than the page holds, to know whether there are more.
    pub(super) fn count(&self) -> usize {
        self.limit + 1
    }

    /// The page of up to [`Asked::count`] items that were found.
    pub(super) fn page<R, T>(
        &self,
        mut found: Vec<R>,
        key: impl Fn(&R) -> String,
        view: impl FnMut(R) -> T,
    ) -> Page<T> {
        let has_more = found.len() > self.limit;
        found.truncate(self.limit);
        Page {
            next_cursor: found.last().filter(|_| has_more).map(key),
            items: found.into_iter().map(view).collect(),
            has_more,
        }
    }
}

impl<T> Page<T> {
    /// A list that is short by its own bound and comes whole.
    pub(super) fn whole(items: impl IntoIterator<Item = T>) -> Self {
        Self {
            items: items.into_iter().collect(),
            next_cursor: None,
            has_more: false,
        }
    }
}
