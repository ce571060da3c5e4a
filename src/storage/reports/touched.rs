//! The orders that something happened to, read whole and one after the other.

use chrono::{DateTime, Datelike as _, Duration, NaiveDateTime, Utc};
use diesel::connection::DefaultLoadingMode;
use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamp};

use super::{Scope, Stop, link, unreadable};
use crate::domain::event::EventName;
use crate::domain::instant;
use crate::domain::money::{Currency, Money};
use crate::domain::order::Fact;
use crate::domain::report::{
    Basis, Credit, Dimension, GroupBy, History, ReportQuery, Sale, Tally, status_refund_at,
};
use crate::storage::time_limit::{self, IN_TIME};
use crate::storage::{AnyConnection, StoreError};

/// Something that happened to an order, beside its sale.
#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    order_id: String,
    #[diesel(sql_type = Timestamp)]
    sold_at: NaiveDateTime,
    #[diesel(sql_type = BigInt)]
    sold_minor: i64,
    #[diesel(sql_type = Text)]
    sold_currency: String,
    #[diesel(sql_type = Nullable<Text>)]
    url_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    domain_id: Option<String>,
    #[diesel(sql_type = Text)]
    event_name: String,
    #[diesel(sql_type = Timestamp)]
    occurred_at: NaiveDateTime,
    #[diesel(sql_type = Nullable<BigInt>)]
    value_minor: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    currency: Option<String>,
    /// The earliest time that a status told of a status refund, without its Z.
    #[diesel(sql_type = Nullable<Text>)]
    told: Option<String>,
}

/// The condition of the partial indexes on what takes sales back: spelled out, or they do not serve.
macro_rules! reversing {
    () => {
        "event_name NOT IN ('sale', 'lead')"
    };
}

/// Of the texts, `20:00:00` stands before `20:00:00.5` only without their Z.
const TOLD: &str = "CASE WHEN r.event_name = 'status_refund' THEN (\
     SELECT min(replace(o.status_updated_at, 'Z', '')) FROM order_statuses o \
     WHERE o.merchant_id = r.merchant_id AND o.mode = r.mode AND o.order_id = r.order_id \
     AND o.status IN ('returned', 'refunded') AND o.status_updated_at <> '') END";

/// Which indexes SQLite takes: without statistics it takes longer ones. In the order of the one by time
/// little is sorted.
struct Hints {
    sold: &'static str,
    reversals: &'static str,
    reversing_by_time: &'static str,
    /// Ends the query when nobody waits for it any more; PostgreSQL does that by itself.
    in_time: &'static str,
}

const SQLITE: Hints = Hints {
    sold: "INDEXED BY events_sold_by_time",
    reversals: "INDEXED BY events_reversals",
    reversing_by_time: "INDEXED BY events_reversing_by_time",
    in_time: IN_TIME,
};

const POSTGRES: Hints = Hints { sold: "", reversals: "", reversing_by_time: "", in_time: "TRUE" };

/// Corrects the sales that were added: those in the report's time.
pub fn correct_sold(
    connection: &mut AnyConnection,
    scope: Scope,
    tally: &mut Tally<'_>,
    query: &ReportQuery,
) -> Result<(), Stop> {
    let mut orders = Orders::new(query, tally);
    macro_rules! lines {
        ($hints:expr) => {
            sql_query(sold_text(&$hints, query))
                .bind::<Text, _>(scope.merchant.to_string())
                .bind::<Text, _>(scope.mode.as_str())
                .bind::<Timestamp, _>(query.periods.from().naive_utc())
                .bind::<Timestamp, _>(query.periods.to().naive_utc())
                .bind::<Nullable<Text>, _>(query.currency.map(Currency::code))
        };
    }
    match connection {
        AnyConnection::Postgres(c) => orders.add(lines!(POSTGRES).load_iter::<_, PgRowByRowLoadingMode>(c)?),
        AnyConnection::Sqlite(c) => orders.add(lines!(SQLITE).load_iter::<_, DefaultLoadingMode>(c)?),
    }?;
    orders.finish()
}

/// Corrects earlier sales by what happened to them in the report's time.
pub fn correct_earlier(
    connection: &mut AnyConnection,
    scope: Scope,
    tally: &mut Tally<'_>,
    query: &ReportQuery,
) -> Result<(), Stop> {
    let (from, to) = (query.periods.from(), query.periods.to());
    let mut orders = Orders::new(query, tally);
    macro_rules! lines {
        ($hints:expr) => {
            sql_query(earlier_text(&$hints, query.group_by))
                .bind::<Text, _>(scope.merchant.to_string())
                .bind::<Text, _>(scope.mode.as_str())
                .bind::<Timestamp, _>(from.naive_utc())
                .bind::<Timestamp, _>(to.naive_utc())
                .bind::<Text, _>(second(from))
                .bind::<Text, _>(second(to + Duration::seconds(1)))
                .bind::<Nullable<Text>, _>(query.currency.map(Currency::code))
        };
    }
    match connection {
        AnyConnection::Postgres(c) => orders.add(lines!(POSTGRES).load_iter::<_, PgRowByRowLoadingMode>(c)?),
        AnyConnection::Sqlite(c) => orders.add(lines!(SQLITE).load_iter::<_, DefaultLoadingMode>(c)?),
    }?;
    orders.finish()
}

/// An instant's second as statuses' times begin with it: what is read by it is a little more.
fn second(at: DateTime<Utc>) -> String {
    match at.year() {
        // Years of more digits have a sign, which stands before every digit: this stands behind every time.
        10_000.. => "9999-12-31T24".to_owned(),
        _ => at.format("%Y-%m-%dT%H:%M:%S").to_string(),
    }
}

/// What is read of a sale. Its link only if somebody asks for it: the rest is in the index by time.
fn sale_columns(group_by: GroupBy) -> String {
    let column = |wanted, name| if wanted { name } else { "CAST(NULL AS TEXT)" };
    format!(
        "s.order_id, s.occurred_at AS sold_at, s.value_minor AS sold_minor, s.currency AS sold_currency, \
         {url_id} AS url_id, {domain_id} AS domain_id",
        url_id = column(group_by.has(Dimension::UrlId) || group_by.has(Dimension::Attribution), "s.url_id"),
        domain_id = column(group_by.has(Dimension::DomainId), "s.domain_id"),
    )
}

/// What is read of what happened to it.
fn reversing_columns(told: &str) -> String {
    format!("r.event_name, r.occurred_at, r.value_minor, r.currency, {told} AS told")
}

/// The sales of a time that something happened to, with what happened: a join of two indexes that hold
/// all of it. `CROSS JOIN`: SQLite reads the tables in this order, a look-up for each sale; for PostgreSQL
/// it is a join like others, by hash where that is cheaper.
fn sold_text(hints: &Hints, query: &ReportQuery) -> String {
    let told = if query.basis == Basis::Event { TOLD } else { "CAST(NULL AS TEXT)" };
    // An order has one sale: its lines stand together.
    format!(
        "SELECT {sale}, {happened} FROM events s {sold} CROSS JOIN events r {reversals} \
         WHERE s.merchant_id = $1 AND s.mode = $2 AND s.event_name IN ('sale', 'lead') \
         AND s.event_name = 'sale' AND s.occurred_at >= $3 AND s.occurred_at < $4 \
         AND ($5 IS NULL OR s.currency = $5) \
         AND r.merchant_id = s.merchant_id AND r.mode = s.mode AND r.order_id = s.order_id AND r.{reversing} \
         AND {in_time} ORDER BY sold_at, sold_currency, sold_minor, s.order_id",
        sale = sale_columns(query.group_by),
        happened = reversing_columns(told),
        sold = hints.sold,
        reversals = hints.reversals,
        reversing = reversing!(),
        in_time = hints.in_time,
    )
}

/// The same for earlier sales to which something happened in the time, or which a status tells of then.
fn earlier_text(hints: &Hints, group_by: GroupBy) -> String {
    let Hints { reversals, reversing_by_time, in_time, .. } = hints;
    format!(
        "SELECT {sale}, {happened} FROM (\
         SELECT order_id FROM events {reversing_by_time} WHERE merchant_id = $1 AND mode = $2 AND {reversing} \
         AND occurred_at >= $3 AND occurred_at < $4 \
         UNION SELECT order_id FROM order_statuses WHERE merchant_id = $1 AND mode = $2 \
         AND status IN ('returned', 'refunded') AND status_updated_at >= $5 AND status_updated_at < $6) t \
         CROSS JOIN events s CROSS JOIN events r {reversals} \
         WHERE s.merchant_id = $1 AND s.mode = $2 AND s.order_id = t.order_id AND s.event_name = 'sale' \
         AND s.own_id = '' AND s.occurred_at < $3 AND ($7 IS NULL OR s.currency = $7) \
         AND r.merchant_id = $1 AND r.mode = $2 AND r.order_id = t.order_id AND r.{reversing} \
         AND {in_time} ORDER BY t.order_id",
        sale = sale_columns(group_by),
        happened = reversing_columns(TOLD),
        reversing = reversing!(),
    )
}

/// Puts lines together to orders: an order's stand one after the other.
struct Orders<'q, 't, 'a> {
    query: &'q ReportQuery,
    tally: &'t mut Tally<'a>,
    open: Option<(String, History<'q>)>,
}

impl<'q, 't, 'a> Orders<'q, 't, 'a> {
    const fn new(query: &'q ReportQuery, tally: &'t mut Tally<'a>) -> Self {
        Self { query, tally, open: None }
    }

    fn add(&mut self, lines: impl Iterator<Item = QueryResult<Line>>) -> Result<(), Stop> {
        for line in lines {
            time_limit::check()?;
            let line = line?;
            let (fact, at) = line.fact()?;
            match &mut self.open {
                Some((order, history)) if *order == line.order_id => history.add(fact, at),
                _ => {
                    let mut history = History::new(self.query, line.sale()?);
                    history.add(fact, at);
                    if let Some((_, done)) = self.open.replace((line.order_id, history)) {
                        self.tally.correct(done)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Stop> {
        if let Some((_, done)) = self.open {
            self.tally.correct(done)?;
        }
        Ok(())
    }
}

impl Line {
    fn sale(&self) -> Result<Sale, StoreError> {
        let url_id = link(self.url_id.as_deref())?;
        let credit =
            Credit { url_id, domain_id: link(self.domain_id.as_deref())?, attributed: url_id.is_some() };
        Ok(Sale { at: self.sold_at.and_utc(), value: money(self.sold_minor, &self.sold_currency)?, credit })
    }

    fn fact(&self) -> Result<(Fact, DateTime<Utc>), StoreError> {
        let name: EventName = self.event_name.parse().map_err(|_| unreadable(&self.event_name))?;
        let value = match (self.value_minor, &self.currency) {
            (Some(minor), Some(currency)) => Some(money(minor, currency)?),
            _ => None,
        };
        let told = |text: &String| instant::parse(&format!("{text}Z")).map_err(|_| unreadable(text));
        let at = match name {
            EventName::StatusRefund => {
                status_refund_at(self.occurred_at.and_utc(), self.told.as_ref().map(told).transpose()?)
            }
            _ => self.occurred_at.and_utc(),
        };
        Ok((Fact { name, value, differed: false }, at))
    }
}

fn money(minor: i64, currency: &str) -> Result<Money, StoreError> {
    let currency = currency.parse().map_err(|_| unreadable(currency))?;
    Money::from_minor(minor, currency).map_err(|_| unreadable(&minor.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_after_any_time_stands_behind_it_as_a_text_too() {
        for last in ["2026-11-21T20:00:00Z", "9999-12-31T23:59:58.5Z", "9999-12-31T23:59:59.999999Z"] {
            let at = instant::parse(last).unwrap();
            let (begin, end) = (second(at), second(at + Duration::seconds(1)));
            assert!(begin.as_str() <= last && last < end.as_str(), "{begin} {last} {end}");
        }
    }
}
