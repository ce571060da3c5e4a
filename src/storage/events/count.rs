//! Counting further deliveries of events, for those that the insert alone did not count.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Text};

use crate::domain::merchant::Mode;
use crate::storage::schema::events;
use crate::storage::{AnyConnection, StoreError};

/// What is to be added to an event's counters. Its row is locked by the insert.
pub struct Count {
    /// Whose event.
    pub merchant_id: String,
    /// Real or test.
    pub mode: Mode,
    /// Which.
    pub event_id: String,
    /// To `times_received`.
    pub received: i64,
    /// To `times_differed`.
    pub differed: i64,
}

/// Adds them up, however many there are in one statement on PostgreSQL.
pub fn count(connection: &mut AnyConnection, counts: &[Count]) -> Result<(), StoreError> {
    const POSTGRES: &str = "UPDATE events AS e SET times_received = e.times_received + v.received, \
        times_differed = e.times_differed + v.differed \
        FROM unnest($1, $2, $3, $4, $5) AS v (merchant_id, mode, event_id, received, differed) \
        WHERE e.merchant_id = v.merchant_id AND e.mode = v.mode AND e.event_id = v.event_id";
    if counts.is_empty() {
        return Ok(());
    }
    match connection {
        AnyConnection::Postgres(c) => {
            let column = |read: fn(&Count) -> &str| counts.iter().map(read).collect::<Vec<_>>();
            let number = |read: fn(&Count) -> i64| counts.iter().map(read).collect::<Vec<_>>();
            sql_query(POSTGRES)
                .bind::<Array<Text>, _>(column(|one| &one.merchant_id))
                .bind::<Array<Text>, _>(column(|one| one.mode.as_str()))
                .bind::<Array<Text>, _>(column(|one| &one.event_id))
                .bind::<Array<BigInt>, _>(number(|one| one.received))
                .bind::<Array<BigInt>, _>(number(|one| one.differed))
                .execute(c)?;
        }
        AnyConnection::Sqlite(c) => {
            for one in counts {
                let id = (one.merchant_id.as_str(), one.mode.as_str(), one.event_id.as_str());
                diesel::update(events::table.find(id))
                    .set((
                        events::times_received.eq(events::times_received + one.received),
                        events::times_differed.eq(events::times_differed + one.differed),
                    ))
                    .execute(c)?;
            }
        }
    }
    Ok(())
}
