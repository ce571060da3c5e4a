//! Reading the journal: along the primary key, which stands in the order of time.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use diesel::connection::Connection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::WHOLE_REQUEST;
use super::by_order::refused_of_order;
use super::retention::merchants;
use super::row::Row;
use crate::domain::attempt::{AttemptOutcome, Journaled, LinePlace};
use crate::domain::ids::{AttemptId, MerchantId};
use crate::domain::merchant::Mode;
use crate::storage::schema::attempts;
use crate::storage::{AnyConnection, Page, Scan, StoreError};

/// Which lines a list holds.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this mode. Where no merchant's key was named there is none.
    pub mode: Option<Mode>,
    /// With this exact reason.
    pub reason: Option<String>,
    /// That ended so.
    pub outcome: Option<AttemptOutcome>,
    /// That were signed rightly, or that were not.
    pub authenticated: Option<bool>,
    /// That name this order.
    pub order_id: Option<String>,
    /// Begun at or after.
    pub from: Option<DateTime<Utc>>,
    /// Begun before.
    pub to: Option<DateTime<Utc>>,
}

/// Whose key an attempt named, or whose link was clicked; `None` = nobody's.
pub type Owner = Option<MerchantId>;

/// How many owners one statement asks for.
const OWNERS_AT_ONCE: usize = 500;

/// More lines than a request has.
const LINES_MAX: i64 = 10_000;

type Query<'a> = attempts::BoxedQuery<'a, <AnyConnection as Connection>::Backend>;

/// All there are: every merchant, and nobody.
pub fn owners(connection: &mut AnyConnection) -> Result<Vec<Owner>, StoreError> {
    let unreadable = |id: &str| StoreError::Unusable(format!("{id:?} in the database is no merchant"));
    let merchants = merchants(connection)?.into_iter().map(|id| id.parse().map_err(|_| unreadable(&id)));
    merchants.map(|merchant| merchant.map(Some)).chain([Ok(None)]).collect()
}

/// A page of an owner's lines, newest first.
///
/// It may be short, even empty, and yet not the last: it looks at a bounded number of lines.
pub fn list(
    connection: &mut AnyConnection,
    owner: Owner,
    filter: &Filter,
    page: Page<LinePlace>,
) -> Result<Scan<Journaled, LinePlace>, StoreError> {
    if filter.order_of_refusals().is_some() {
        let found = load(connection, &[owner], filter, &Range { page, oldest: None })?;
        return Ok(Scan { found, stopped_at: None });
    }
    let in_time = Filter { from: filter.from, to: filter.to, ..Filter::default() };
    Scan::along(page, |page, rows| {
        let range = |limit| Range { page: Page { limit, ..page }, oldest: None };
        let floor = place_behind(connection, ranged(matching(&in_time), &[owner], &range(1)), rows)?;
        let mut query = ranged(matching(filter), &[owner], &range(page.limit));
        if let Some(LinePlace { attempt, row }) = floor {
            let attempt = attempt.to_string();
            query = query.filter(attempts::attempt_id.ge(attempt.clone()));
            query = query.filter(attempts::attempt_id.gt(attempt).or(attempts::bulk_row.ge(bulk_row(row))));
        }
        let rows: Vec<Row> = query.select(Row::as_select()).load(connection)?;
        let found = rows.into_iter().map(Row::into_journaled).collect::<Result<_, _>>()?;
        Ok((found, floor))
    })
}

/// The place so many lines behind the first; `None` = there are no more than that.
fn place_behind(
    connection: &mut AnyConnection,
    query: Query<'_>,
    lines: i64,
) -> Result<Option<LinePlace>, StoreError> {
    let found: Option<(String, i32)> = query
        .select((attempts::attempt_id, attempts::bulk_row))
        .offset(lines)
        .first(connection)
        .optional()?;
    let unreadable = |id: &str| StoreError::Unusable(format!("{id:?} in the database is no attempt id"));
    found
        .map(|(id, row)| {
            let attempt = id.parse().map_err(|_| unreadable(&id))?;
            // Below 0 is the whole request.
            Ok(LinePlace { attempt, row: u32::try_from(row).ok() })
        })
        .transpose()
}

/// The newest lines of these owners together, newest first.
///
/// Each owner's are the end of one range of the primary key, so nothing is sorted but what is returned;
/// and what is older than `limit` lines found already is not asked for.
pub fn newest(
    connection: &mut AnyConnection,
    owners: &[Owner],
    filter: &Filter,
    limit: usize,
) -> Result<Vec<Journaled>, StoreError> {
    let mut found: Vec<Journaled> = Vec::new();
    for owner in owners {
        let last = limit.checked_sub(1).and_then(|last| found.get(last));
        let range = Range { page: first_page(limit), oldest: last.map(|line| line.place.attempt) };
        found.extend(load(connection, &[*owner], filter, &range)?);
        newest_first(&mut found, limit);
    }
    Ok(found)
}

/// The same in few statements, for filters that leave little: a short time, or an order's refusals.
pub fn among(
    connection: &mut AnyConnection,
    owners: &[Owner],
    filter: &Filter,
    limit: usize,
) -> Result<Vec<Journaled>, StoreError> {
    let mut found = Vec::new();
    for owners in owners.chunks(OWNERS_AT_ONCE) {
        found.extend(load(connection, owners, filter, &Range { page: first_page(limit), oldest: None })?);
    }
    newest_first(&mut found, limit);
    Ok(found)
}

/// The lines of one request, itself first.
pub fn find(
    connection: &mut AnyConnection,
    owners: &[Owner],
    attempt: AttemptId,
) -> Result<Vec<Journaled>, StoreError> {
    let mut found = Vec::new();
    for owners in owners.chunks(OWNERS_AT_ONCE) {
        let rows: Vec<Row> = attempts::table
            .filter(attempts::merchant_id.eq_any(columns(owners)))
            .filter(attempts::attempt_id.eq(attempt.to_string()))
            .select(Row::as_select())
            .order(attempts::bulk_row)
            .limit(LINES_MAX)
            .load(connection)?;
        found.extend(rows.into_iter().map(Row::into_journaled).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(found)
}

/// Which part of a list that stands newest first.
pub struct Range {
    /// Where it begins, and how much there may be.
    pub page: Page<LinePlace>,
    /// The oldest request.
    pub oldest: Option<AttemptId>,
}

fn load(
    connection: &mut AnyConnection,
    owners: &[Owner],
    filter: &Filter,
    range: &Range,
) -> Result<Vec<Journaled>, StoreError> {
    let rows: Vec<Row> = match (connection, filter.order_of_refusals()) {
        (AnyConnection::Sqlite(c), Some(order)) => {
            refused_of_order(c, &columns(owners), order, (filter, range))?
        }
        (connection, _) => {
            ranged(matching(filter), owners, range).select(Row::as_select()).load(connection)?
        }
    };
    rows.into_iter().map(Row::into_journaled).collect()
}

/// A part of these owners' lines, newest first.
fn ranged<'a>(query: Query<'a>, owners: &[Owner], range: &Range) -> Query<'a> {
    let query = match owners {
        // The key's own order, without sorting: PostgreSQL does not see it through a list of one.
        [owner] => query.filter(attempts::merchant_id.eq(column(*owner))),
        owners => query.filter(attempts::merchant_id.eq_any(columns(owners))),
    };
    let mut query =
        query.order((attempts::attempt_id.desc(), attempts::bulk_row.desc())).limit(range.page.limit);
    if let Some(LinePlace { attempt, row }) = range.page.before {
        let attempt = attempt.to_string();
        query = query.filter(attempts::attempt_id.le(attempt.clone()));
        query = query.filter(attempts::attempt_id.lt(attempt).or(attempts::bulk_row.lt(bulk_row(row))));
    }
    if let Some(oldest) = range.oldest {
        query = query.filter(attempts::attempt_id.ge(oldest.to_string()));
    }
    query
}

/// The lines that a filter lets through, whosever they are.
fn matching(filter: &Filter) -> Query<'_> {
    let mut query = attempts::table.into_boxed();
    if let Some(mode) = filter.mode {
        query = query.filter(attempts::mode.eq(mode.as_str()));
    }
    if let Some(reason) = &filter.reason {
        query = query.filter(attempts::reason.eq(reason));
    }
    if filter.is_of_refusals() {
        // Spelled out: with a parameter in its place the partial indexes would not serve.
        query = query.filter(sql::<Bool>("outcome = 'refused'"));
    } else if let Some(outcome) = filter.outcome {
        query = query.filter(attempts::outcome.eq(outcome.as_str()));
    }
    if let Some(authenticated) = filter.authenticated {
        query = query.filter(attempts::authenticated.eq(authenticated));
    }
    if let Some(order) = &filter.order_id {
        query = query.filter(attempts::order_id.eq(order));
    }
    if let Some((from, first)) = filter.from() {
        query = query.filter(attempts::started_at.ge(from)).filter(attempts::attempt_id.ge(first));
    }
    if let Some((to, end)) = filter.to() {
        query = query.filter(attempts::started_at.lt(to)).filter(attempts::attempt_id.lt(end));
    }
    query
}

impl Filter {
    /// Whether it leaves nothing but refusals. What was not refused has its outcome for a reason.
    fn is_of_refusals(&self) -> bool {
        let words = AttemptOutcome::ALL.into_iter().filter(|outcome| *outcome != AttemptOutcome::Refused);
        match (self.outcome, &self.reason) {
            (Some(outcome), _) => outcome == AttemptOutcome::Refused,
            (None, Some(reason)) => !words.into_iter().any(|word| word.as_str() == reason),
            (None, None) => false,
        }
    }

    /// The order, if it leaves nothing but its refusals.
    fn order_of_refusals(&self) -> Option<&str> {
        self.order_id.as_deref().filter(|_| self.is_of_refusals())
    }

    /// The beginning, and the smallest id since: an id holds the millisecond of its request's beginning,
    /// both are of one look at the clock.
    pub(super) fn from(&self) -> Option<(NaiveDateTime, String)> {
        self.from.map(|from| (from.naive_utc(), AttemptId::first_at(from).to_string()))
    }

    /// The end, and the smallest id that lies behind it.
    pub(super) fn to(&self) -> Option<(NaiveDateTime, String)> {
        let end = |to| AttemptId::first_at(to + TimeDelta::milliseconds(1)).to_string();
        self.to.map(|to| (to.naive_utc(), end(to)))
    }
}

fn newest_first(lines: &mut Vec<Journaled>, limit: usize) {
    lines.sort_unstable_by_key(|line| std::cmp::Reverse(line.place));
    lines.truncate(limit);
}

fn first_page(limit: usize) -> Page<LinePlace> {
    Page { before: None, limit: i64::try_from(limit).unwrap_or(i64::MAX) }
}

fn columns(owners: &[Owner]) -> Vec<String> {
    owners.iter().copied().map(column).collect()
}

fn column(owner: Owner) -> String {
    owner.map(|merchant| merchant.to_string()).unwrap_or_default()
}

/// A row's number as its column holds it.
pub fn bulk_row(row: Option<u32>) -> i32 {
    row.map_or(WHOLE_REQUEST, |row| i32::try_from(row).unwrap_or(i32::MAX))
}
