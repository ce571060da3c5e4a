//! Sales and leads as they were told, added up period by period.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamp};

use super::{Scope, Stop, link, unreadable};
use crate::domain::event::EventName;
use crate::domain::money::Currency;
use crate::domain::report::{Credit, Dimension, GroupBy, Report, ReportQuery, Tally, TooManyRows};
use crate::storage::time_limit::{self, IN_TIME};
use crate::storage::{AnyConnection, StoreError};

/// How many lines of a period are read: a row has one for its leads and one for every currency.
const LINES_MAX: usize = 4 * Report::ROWS_MAX;

/// Amounts are summed in two parts: their sum could be more than a database's integer holds.
const UNIT: i128 = 1_000_000;

/// Sales of one currency, or leads, of one row.
#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    event_name: String,
    #[diesel(sql_type = Nullable<Text>)]
    currency: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    url_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    domain_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    attribution: Option<String>,
    #[diesel(sql_type = BigInt)]
    events: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    high: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    low: Option<i64>,
}

/// Adds them. A statement a period: each is a range of the index by time.
pub fn add(
    connection: &mut AnyConnection,
    scope: Scope,
    tally: &mut Tally<'_>,
    query: &ReportQuery,
) -> Result<(), Stop> {
    for (period, (from, to)) in query.periods.iter().enumerate() {
        time_limit::check()?;
        let lines = load(connection, scope, query, (from.naive_utc(), to.naive_utc()))?;
        if lines.len() >= LINES_MAX {
            return Err(TooManyRows.into());
        }
        for line in lines {
            line.add(tally, period)?;
        }
    }
    Ok(())
}

fn load(
    connection: &mut AnyConnection,
    scope: Scope,
    query: &ReportQuery,
    (from, to): (NaiveDateTime, NaiveDateTime),
) -> Result<Vec<Line>, StoreError> {
    // Parameters stand in the order of their numbers: SQLite counts them so.
    macro_rules! lines {
        ($connection:expr, $source:literal, $condition:expr) => {
            sql_query(text(query.group_by, $source, $condition))
                .bind::<Text, _>(scope.merchant.to_string())
                .bind::<Text, _>(scope.mode.as_str())
                .bind::<Timestamp, _>(from)
                .bind::<Timestamp, _>(to)
                .bind::<Nullable<Text>, _>(query.currency.map(Currency::code))
                .load($connection)?
        };
    }
    Ok(match connection {
        AnyConnection::Postgres(c) => lines!(c, "events", "TRUE"),
        // Without statistics it takes one of the longer indexes.
        AnyConnection::Sqlite(c) => lines!(c, "events INDEXED BY events_sold_by_time", IN_TIME),
    })
}

/// The index by time is a partial one: its condition is spelled out.
fn text(group_by: GroupBy, source: &str, condition: &str) -> String {
    let column = |dimension, name| if group_by.has(dimension) { name } else { "CAST(NULL AS TEXT)" };
    // What is the same in all lines would be sorted by all the same.
    let place = |dimension, number| if group_by.has(dimension) { number } else { "" };
    format!(
        "SELECT event_name, CASE WHEN event_name = 'sale' THEN currency END AS currency, \
         {url_id} AS url_id, {domain_id} AS domain_id, {attribution} AS attribution, \
         count(*) AS events, CAST(sum(value_minor / {UNIT}) AS BIGINT) AS high, \
         CAST(sum(value_minor % {UNIT}) AS BIGINT) AS low \
         FROM {source} WHERE merchant_id = $1 AND mode = $2 AND event_name IN ('sale', 'lead') \
         AND occurred_at >= $3 AND occurred_at < $4 \
         AND ($5 IS NULL OR event_name = 'lead' OR currency = $5) AND {condition} \
         GROUP BY 1, 2{url_place}{domain_place}{attribution_place} LIMIT {LINES_MAX}",
        url_id = column(Dimension::UrlId, "url_id"),
        domain_id = column(Dimension::DomainId, "domain_id"),
        attribution = column(Dimension::Attribution, "attribution"),
        url_place = place(Dimension::UrlId, ", 3"),
        domain_place = place(Dimension::DomainId, ", 4"),
        attribution_place = place(Dimension::Attribution, ", 5"),
    )
}

impl Line {
    fn add(&self, tally: &mut Tally<'_>, period: usize) -> Result<(), Stop> {
        let credit = Credit {
            url_id: link(self.url_id.as_deref())?,
            domain_id: link(self.domain_id.as_deref())?,
            attributed: self.attribution.as_deref() == Some("attributed"),
        };
        let count = u64::try_from(self.events).unwrap_or(0);
        if self.event_name == EventName::Lead.as_str() {
            tally.leads(period, &credit, count)?;
            return Ok(());
        }
        let code = self.currency.as_deref().unwrap_or_default();
        let currency = code.parse().map_err(|_| unreadable(code))?;
        let minor = UNIT * i128::from(self.high.unwrap_or(0)) + i128::from(self.low.unwrap_or(0));
        tally.sales(period, &credit, (currency, minor), count)?;
        Ok(())
    }
}
