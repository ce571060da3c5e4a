//! Clicks, counted period by period. Live ones alone are recorded.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamp};

use super::{Scope, Stop, link};
use crate::domain::ids::ClickId;
use crate::domain::report::{Credit, Dimension, GroupBy, Report, ReportQuery, Tally, TooManyRows};
use crate::storage::time_limit::{self, IN_TIME};
use crate::storage::{AnyConnection, StoreError};

/// How many lines of a period are read: one more than there may be rows.
const LINES_MAX: usize = Report::ROWS_MAX + 1;

/// The clicks of one row.
#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Nullable<Text>)]
    url_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    domain_id: Option<String>,
    #[diesel(sql_type = BigInt)]
    clicks: i64,
}

/// Adds them.
pub fn add(
    connection: &mut AnyConnection,
    scope: Scope,
    tally: &mut Tally<'_>,
    query: &ReportQuery,
) -> Result<(), Stop> {
    for (period, time) in query.periods.iter().enumerate() {
        time_limit::check()?;
        let lines = load(connection, scope, query.group_by, time)?;
        if lines.len() >= LINES_MAX {
            return Err(TooManyRows.into());
        }
        for line in lines {
            let credit = Credit {
                url_id: link(line.url_id.as_deref())?,
                domain_id: link(line.domain_id.as_deref())?,
                attributed: true,
            };
            tally.clicks(period, &credit, u64::try_from(line.clicks).unwrap_or(0))?;
        }
    }
    Ok(())
}

/// A period is a range of the primary key: a click's id holds the millisecond of the click.
fn load(
    connection: &mut AnyConnection,
    scope: Scope,
    group_by: GroupBy,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Vec<Line>, StoreError> {
    let column = |dimension, name| if group_by.has(dimension) { name } else { "CAST(NULL AS TEXT)" };
    let text = |condition: &str| {
        format!(
            "SELECT {url_id} AS url_id, {domain_id} AS domain_id, count(*) AS clicks FROM clicks \
         WHERE merchant_id = $1 AND click_id >= $2 AND click_id < $3 AND clicked_at >= $4 AND clicked_at < $5 \
         AND {condition} GROUP BY 1, 2 LIMIT {LINES_MAX}",
            url_id = column(Dimension::UrlId, "url_id"),
            domain_id = column(Dimension::DomainId, "domain_id"),
        )
    };
    macro_rules! lines {
        ($connection:expr, $condition:expr) => {
            sql_query(text($condition))
                .bind::<Text, _>(scope.merchant.to_string())
                .bind::<Text, _>(ClickId::first_at(from).to_string())
                .bind::<Text, _>(ClickId::first_at(to + TimeDelta::milliseconds(1)).to_string())
                .bind::<Timestamp, _>(from.naive_utc())
                .bind::<Timestamp, _>(to.naive_utc())
                .load($connection)?
        };
    }
    Ok(match connection {
        AnyConnection::Postgres(c) => lines!(c, "TRUE"),
        AnyConnection::Sqlite(c) => lines!(c, IN_TIME),
    })
}
