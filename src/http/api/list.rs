//! What lists have in common (contract section 9): pages, newest first, that cursors lead through.

use schemars::JsonSchema;
use serde::Serialize;

use super::cursor::{Place, QueryTag};
use crate::http::extract::Query;
use crate::http::openapi::values;
use crate::storage::{Page, Scan};

/// How many items a page has unless told otherwise.
pub const LIMIT_DEFAULT: i64 = 100;
/// The most that a page may have.
pub const LIMIT_MAX: i64 = 500;

/// A page, newest first.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}List")]
pub struct List<T> {
    data: Vec<T>,
    /// Give it as `cursor` for the next page, all other parameters as they were; `null` on the last. A page
    /// looks at a bounded number of rows: it may hold fewer than `limit`, also none, while this is there.
    #[schemars(with = "Option<values::Cursor>")]
    next_cursor: Option<String>,
}

impl<T> List<T> {
    /// These, and where the list goes on.
    pub const fn new(data: Vec<T>, next_cursor: Option<String>) -> Self {
        Self { data, next_cursor }
    }
}

/// Which page of a list is asked for.
pub struct Pager<P> {
    tag: QueryTag,
    before: Option<P>,
    limit: i64,
}

impl<P: Place> Pager<P> {
    /// Takes `limit` and `cursor`; `parts` are all that the list depends on besides.
    pub fn take(query: &mut Query, parts: &[&str]) -> Self {
        let tag = QueryTag::of(parts);
        let limit = query.take("limit", limit).unwrap_or(LIMIT_DEFAULT);
        Self { tag, before: query.take("cursor", |cursor| tag.read(cursor)), limit }
    }

    /// The page to read: one more than asked for tells whether there are more.
    pub const fn page(&self) -> Page<P> {
        Page { before: self.before, limit: self.limit + 1 }
    }

    /// Cuts off what is beyond the page; the cursor of the next one, if there is one.
    pub fn cut<T>(&self, scan: &mut Scan<T, P>, place: impl Fn(&T) -> P) -> Option<String> {
        let Scan { found, stopped_at } = scan;
        let wanted = usize::try_from(self.limit).unwrap_or(0);
        let more = found.len() > wanted;
        found.truncate(wanted);
        let next = if more { found.last().map(place) } else { *stopped_at };
        next.map(|after| self.tag.cursor(after))
    }
}

fn limit(text: &str) -> Result<i64, String> {
    text.parse()
        .ok()
        .filter(|limit| (1..=LIMIT_MAX).contains(limit))
        .ok_or_else(|| format!("must be 1 to {LIMIT_MAX}"))
}
