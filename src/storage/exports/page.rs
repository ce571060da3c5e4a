//! A page of an export.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use diesel::connection::DefaultLoadingMode;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::pg::{Pg, PgValue};
use diesel::prelude::*;
use diesel::sql_types::Timestamp;
use diesel::sqlite::{Sqlite, SqliteValue};

use super::Horizon;
use crate::domain::ids::{EventId, MerchantId};
use crate::domain::merchant::Mode;
use crate::storage::events::{ID_LAG_MAX, ID_LEAD_MAX, column};
use crate::storage::schema::events;
use crate::storage::{AnyConnection, StoreError};

/// Which events are exported.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// Whose.
    pub merchant: MerchantId,
    /// Real or test.
    pub mode: Mode,
    /// Received at or after.
    pub from: Option<DateTime<Utc>>,
    /// Received before.
    pub to: Option<DateTime<Utc>>,
}

impl Scope {
    /// Whether every event of it that there ever will be lies before this horizon: never without an end.
    pub fn is_complete_at(&self, horizon: Horizon) -> bool {
        self.end().is_some_and(|end| end <= horizon.id())
    }

    /// An id behind those of all its events.
    fn end(&self) -> Option<EventId> {
        self.to.map(|to| EventId::first_at(to + ID_LAG_MAX))
    }
}

/// An event as its columns say it: nothing is read that is only going to be written again.
#[derive(Queryable, Selectable)]
#[diesel(table_name = events)]
#[expect(missing_docs, reason = "they are the columns")]
pub struct ExportedEvent {
    pub event_id: String,
    pub event_name: String,
    pub order_id: String,
    #[diesel(deserialize_as = At)]
    pub received_at: DateTime<Utc>,
    pub attribution: String,
    pub attribution_reason: Option<String>,
    pub click_id: Option<String>,
    pub url_id: Option<String>,
    pub domain_id: Option<String>,
    pub clicked_at: Option<At>,
    pub external_id: Option<String>,
    pub value_minor: Option<i64>,
    pub currency: Option<String>,
    #[diesel(deserialize_as = At)]
    pub occurred_at: DateTime<Utc>,
    pub times_received: i64,
    pub times_differed: i64,
    pub metadata: Option<String>,
}

/// Calls `each` with a page of events in the order of their ids: those that come `after` this one and
/// before the horizon. Returns how many they were; fewer than `limit` are the last.
///
/// # Errors
/// The database's, or `each`'s own.
pub fn page(
    connection: &mut AnyConnection,
    scope: &Scope,
    after: EventId,
    horizon: Horizon,
    limit: u32,
    each: &mut dyn FnMut(&ExportedEvent) -> Result<(), StoreError>,
) -> Result<u32, StoreError> {
    // The bounds on the id keep the search within the primary key's range.
    let first = scope.from.map_or(after, |from| after.max(EventId::first_at(from - ID_LEAD_MAX)));
    let end = scope.end().map_or(horizon.id(), |end| horizon.id().min(end));
    let (from, to) = received(scope);
    let query = events::table
        .filter(events::merchant_id.eq(scope.merchant.to_string()))
        .filter(events::mode.eq(scope.mode.as_str()))
        .filter(events::event_id.gt(first.to_string()))
        .filter(events::event_id.lt(end.to_string()))
        .filter(events::received_at.ge(from))
        .filter(events::received_at.lt(to))
        .order(events::event_id.asc())
        .limit(limit.into());
    let mut count = 0;
    let mut take = |found: QueryResult<ExportedEvent>| -> Result<(), StoreError> {
        count += 1;
        each(&found?)
    };
    match connection {
        AnyConnection::Postgres(c) => {
            let query = query.select(ExportedEvent::as_select());
            query.load_iter::<ExportedEvent, DefaultLoadingMode>(c)?.try_for_each(&mut take)?;
        }
        AnyConnection::Sqlite(c) => {
            let query = query.select(ExportedEvent::as_select());
            query.load_iter::<ExportedEvent, DefaultLoadingMode>(c)?.try_for_each(&mut take)?;
        }
    }
    Ok(count)
}

/// Every event was received between these Unix seconds. On SQLite instants are compared as texts: their
/// years must have four digits.
const RECEIVED: (i64, i64) = (0, 253_402_300_799);

/// The range of a scope, closed where it is open: one text of the query for all.
fn received(scope: &Scope) -> (NaiveDateTime, NaiveDateTime) {
    let at = |given: Option<DateTime<Utc>>, seconds| {
        column(given.or_else(|| DateTime::from_timestamp(seconds, 0)).unwrap_or_default())
    };
    (at(scope.from, RECEIVED.0), at(scope.to, RECEIVED.1))
}

/// An instant in a column.
#[derive(Debug, Clone, Copy, FromSqlRow)]
pub struct At(NaiveDateTime);

impl From<At> for DateTime<Utc> {
    fn from(at: At) -> Self {
        at.0.and_utc()
    }
}

impl FromSql<Timestamp, Pg> for At {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        FromSql::<Timestamp, Pg>::from_sql(value).map(Self)
    }
}

impl FromSql<Timestamp, Sqlite> for At {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        match usual(value.read_text().as_bytes()) {
            Some(at) => Ok(Self(at)),
            None => FromSql::<Timestamp, Sqlite>::from_sql(value).map(Self),
        }
    }
}

/// Reads the one form that instants are written in, `2026-11-21 20:00:00.123456`, many times faster than
/// by trying all that SQLite may hold.
fn usual(text: &[u8]) -> Option<NaiveDateTime> {
    let number = |from: usize, to: usize| {
        text.get(from..to)?.iter().try_fold(0u32, |number, byte| {
            byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0'))
        })
    };
    let is = |at: usize, byte: u8| text.get(at) == Some(&byte);
    let separated = is(4, b'-') && is(7, b'-') && is(10, b' ') && is(13, b':') && is(16, b':');
    let micros = match text.len() {
        19 => 0,
        23 if is(19, b'.') => number(20, 23)? * 1_000,
        26 if is(19, b'.') => number(20, 26)?,
        _ => return None,
    };
    let date = NaiveDate::from_ymd_opt(number(0, 4)?.try_into().ok()?, number(5, 7)?, number(8, 10)?)?;
    date.and_hms_micro_opt(number(11, 13)?, number(14, 16)?, number(17, 19)?, micros).filter(|_| separated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_they_are_written() {
        for text in ["2026-11-21 20:00:00", "1970-01-01 00:00:00.001", "9999-12-31 23:59:59.000001"] {
            let expected = NaiveDateTime::parse_from_str(text, "%F %T%.f").unwrap();
            assert_eq!(usual(text.as_bytes()), Some(expected), "{text}");
            assert_eq!(expected.format("%F %T%.f").to_string(), text);
        }
    }

    #[test]
    fn what_is_written_otherwise_is_left_to_others() {
        for text in
            ["2026-11-21T20:00:00", "2026-11-21 20:00:00.1", "2026-13-21 20:00:00", "2026-11-21 20:00:0x", ""]
        {
            assert_eq!(usual(text.as_bytes()), None, "{text}");
        }
    }
}
