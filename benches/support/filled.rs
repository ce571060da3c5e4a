//! A store with a history: a year of events over all merchants, one of whom has half of them.

use chrono::{DateTime, TimeDelta, Utc};
use conversiond::domain::ids::{ClickId, EventId, MerchantId};
use conversiond::domain::time::Clock as _;
use conversiond::storage::AnyConnection;
use conversiond::system::{SystemClock, SystemEntropy};
use diesel::connection::SimpleConnection as _;
use uuid::Uuid;

use super::cast::Cast;
use super::databases::Database;
use super::requests::order_id;

/// How many links sales are credited to.
const LINKS: usize = 500;

/// How many events one statement inserts.
const CHUNK: usize = 500;

/// How many statements are one transaction.
const TRANSACTION: usize = 200;

/// How old a raw body becomes.
const RETENTION: TimeDelta = TimeDelta::days(89);

/// What was filled in.
pub struct History {
    /// How many events.
    pub events: usize,
    /// The end of the year.
    pub until: DateTime<Utc>,
}

/// Fills an empty store: every second event is the first merchant's, the others take turns.
pub fn fill(database: &Database, cast: &Cast, events: usize) -> History {
    let until = SystemClock.now() - TimeDelta::minutes(5);
    let step = TimeDelta::days(365) / i32::try_from(events).expect("not so many");
    let mut connection = database.connect();
    let mut rows = Vec::with_capacity(CHUNK);
    let mut statements = 0;
    connection.batch_execute("BEGIN").expect("begun");
    for number in 0..events {
        let at = until - step * i32::try_from(events - number).expect("not so many");
        rows.push(row(owner(cast, number), number, at, until));
        if rows.len() >= CHUNK {
            insert(&mut connection, &mut rows);
            statements += 1;
            if statements % TRANSACTION == 0 {
                connection.batch_execute("COMMIT; BEGIN").expect("committed");
            }
        }
    }
    insert(&mut connection, &mut rows);
    for member in &cast.members {
        let forgotten = EventId::first_at(until - RETENTION);
        let sql = format!(
            "INSERT INTO retention_progress (merchant_id, mode, subject, place, begun_at) \
             VALUES ('{}', 'live', 'events', '{forgotten}', '2026-01-01 00:00:00')",
            member.id
        );
        connection.batch_execute(&sql).expect("remembered");
    }
    connection.batch_execute("COMMIT").expect("committed");
    match &mut connection {
        AnyConnection::Postgres(c) => {
            // What autovacuum and the next checkpoint would do while something else is measured.
            c.batch_execute("VACUUM ANALYZE").expect("analysed");
            c.batch_execute("CHECKPOINT").expect("on disk");
        }
        AnyConnection::Sqlite(c) => c.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)").expect("written back"),
    }
    History { events, until }
}

fn owner(cast: &Cast, number: usize) -> MerchantId {
    let others = (cast.members.len() - 1).max(1);
    let place = if number.is_multiple_of(2) { 0 } else { 1 + number / 2 % others };
    cast.members[place % cast.members.len()].id
}

impl History {
    /// An order of the first merchant with a refund.
    pub fn refunded_order(&self) -> String {
        order_id(self.events / 2 / 100 * 100)
    }
}

/// Of each hundred events, eight refund one of the sales before them. What is older than
/// `retention.raw_body_days` has been forgotten, or the service would be busy with that.
fn row(merchant: MerchantId, number: usize, at: DateTime<Utc>, until: DateTime<Utc>) -> String {
    let id = EventId::generate(at, &SystemEntropy);
    let when = at.format("%Y-%m-%d %H:%M:%S%.6f");
    let link = Uuid::from_u128(0x1000 + (number * 7919 % LINKS) as u128);
    let click = ClickId::generate(at - TimeDelta::hours(1), &SystemEntropy);
    let clicked = (at - TimeDelta::hours(1)).format("%Y-%m-%d %H:%M:%S%.6f");
    let place = number % 100;
    let (name, order, own, credit) = if place >= 92 {
        // By an even number: the first merchant's refunds meet its own sales.
        let order = number - place + (place - 92) * 10;
        ("refund", order, format!("R-{number}"), "'inherited', NULL, NULL, NULL, NULL, NULL".to_owned())
    } else {
        let link = format!("'attributed', NULL, '{click}', '{link}', '{link}', '{clicked}'");
        ("sale", number, String::new(), link)
    };
    let external = if own.is_empty() { "NULL".to_owned() } else { format!("'{own}'") };
    let order = order_id(order);
    let text = "{\"event_name\":\"sale\",\"nim_ct\":\"AQEBmqgAjntyDL1j8-uc25IQAQEBmqgAjntyDL1j8-uc25IQAQEBmqgAjntyDL1j8\",\
                \"custom_data\":{\"order_id\":\"ORD-000000000000\",\"value\":\"129.90\",\"currency\":\"USD\"}}";
    let body = if until - at < RETENTION { format!("'{text}'") } else { "NULL".to_owned() };
    format!(
        "('{merchant}', 'live', '{id}', '{name}', '{order}', '{own}', {external}, '{when}', TRUE, '{when}', \
         {}, 'USD', {credit}, {body}, 'ak_live_0123456789abcdefghijklmn', 'v1', 1, 0, NULL)",
        if name == "sale" { 12_990 } else { 990 }
    )
}

fn insert(connection: &mut AnyConnection, rows: &mut Vec<String>) {
    if rows.is_empty() {
        return;
    }
    let sql = format!(
        "INSERT INTO events (merchant_id, mode, event_id, event_name, order_id, own_id, external_id, occurred_at, \
         occurred_given, received_at, value_minor, currency, attribution, attribution_reason, click_id, url_id, \
         domain_id, clicked_at, body, key_id, signature_form, times_received, times_differed, attempt_id) VALUES {}",
        rows.join(", ")
    );
    connection.batch_execute(&sql).expect("inserted");
    rows.clear();
}
