//! What one merchant's bulk requests may take of the service at one moment: bytes of bodies, and rows that
//! are read and written. Whoever is within its share waits for its turn; beyond it there is a 503.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{Code, Problem};
use crate::config::Config;
use crate::domain::ids::MerchantId;
use crate::domain::share::Room;

/// How many of the longest bulk requests of one merchant are read and written at one moment: one is
/// written while the next is read.
const LONGEST_AT_ONCE: usize = 2;

/// Shared by all workers. The lock is held for a look-up.
#[derive(Clone)]
pub struct BulkShares {
    table: Arc<Mutex<Table>>,
    bytes_max: usize,
    /// Rows of one merchant that are read and written at one moment.
    rows_max: usize,
    wait: Duration,
}

#[derive(Default)]
struct Table {
    members: HashMap<MerchantId, Member>,
    bytes: usize,
}

/// A merchant that has bulk requests here.
struct Member {
    requests: usize,
    bytes: usize,
    turns: Arc<Semaphore>,
}

/// A bulk request's part of its merchant's share, until it is answered.
pub struct BulkShare {
    shares: BulkShares,
    merchant: MerchantId,
    bytes: usize,
    turns: Arc<Semaphore>,
}

/// A bulk request's turn, until it is answered.
pub struct Turn {
    _rows: OwnedSemaphorePermit,
}

impl BulkShares {
    /// The shares of a configuration.
    pub fn new(config: &Config) -> Self {
        Self {
            table: Arc::default(),
            bytes_max: config.server.bodies_in_flight_bytes_max / 2,
            rows_max: LONGEST_AT_ONCE * config.ingest.bulk_rows_max,
            // No caller waits longer for its turn than for its commit.
            wait: Duration::from_millis(config.ingest.bulk_wait_ms)
                .min(Duration::from_secs(config.ingest.answer_timeout_s)),
        }
    }

    /// Takes a body into its merchant's share.
    pub fn take(&self, merchant: MerchantId, bytes: usize) -> Result<BulkShare, Problem> {
        let mut table = self.lock();
        let own = table.members.get(&merchant).map_or(0, |member| member.bytes);
        if Room::of(own, table.bytes, bytes, self.bytes_max) != Room::Enough {
            let detail = "More bulk requests of this merchant are on their way than its share is.";
            return Err(Problem {
                reason: Some("MERCHANT_BODIES"),
                ..Problem::new(Code::Overloaded, detail)
            });
        }
        table.bytes += bytes;
        let rows_max = self.rows_max;
        let new = || Member { requests: 0, bytes: 0, turns: Arc::new(Semaphore::new(rows_max)) };
        let member = table.members.entry(merchant).or_insert_with(new);
        member.requests += 1;
        member.bytes += bytes;
        let turns = member.turns.clone();
        Ok(BulkShare { shares: self.clone(), merchant, bytes, turns })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BulkShare {
    /// Waits until the merchant's earlier bulk requests leave room for as many rows.
    pub async fn turn(&self, rows: usize) -> Result<Turn, Problem> {
        let rows = u32::try_from(rows.clamp(1, self.shares.rows_max)).unwrap_or(1);
        let waiting = tokio::time::timeout(self.shares.wait, self.turns.clone().acquire_many_owned(rows));
        match waiting.await {
            Ok(Ok(rows)) => Ok(Turn { _rows: rows }),
            Ok(Err(_)) | Err(_) => {
                let detail = "This merchant's earlier bulk requests are not written yet.";
                Err(Problem { reason: Some("MERCHANT_WAIT"), ..Problem::new(Code::Overloaded, detail) })
            }
        }
    }
}

impl Drop for BulkShare {
    fn drop(&mut self) {
        let mut table = self.shares.lock();
        table.bytes -= self.bytes;
        if let Some(member) = table.members.get_mut(&self.merchant) {
            member.bytes -= self.bytes;
            member.requests -= 1;
            if member.requests == 0 {
                table.members.remove(&self.merchant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn shares() -> BulkShares {
        BulkShares { table: Arc::default(), bytes_max: 1_000, rows_max: 20, wait: Duration::from_secs(5) }
    }

    fn merchant(number: u128) -> MerchantId {
        MerchantId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn a_merchant_holds_as_many_bytes_as_it_leaves_free_and_gives_them_back() {
        let shares = shares();
        let held: Vec<BulkShare> = (0..5).map(|_| shares.take(merchant(1), 100).unwrap()).collect();
        let refused = shares.take(merchant(1), 100).err().unwrap();
        assert_eq!((refused.code, refused.retry_after_s()), (Code::Overloaded, Some(1)));
        let other = shares.take(merchant(2), 500).unwrap();
        drop((held, other));
        assert!(shares.lock().members.is_empty());
        assert_eq!(shares.lock().bytes, 0);
    }

    #[tokio::test]
    async fn requests_of_one_merchant_take_turns_and_nobody_elses_wait_for_them() {
        let shares = shares();
        let impatient = BulkShares { wait: Duration::ZERO, ..shares.clone() };
        let [first, third] = [1, 1].map(|number| shares.take(merchant(number), 10).unwrap());
        let second = impatient.take(merchant(1), 10).unwrap();
        let turn = first.turn(1_000).await.unwrap();
        assert!(second.turn(1).await.is_err());
        let other = shares.take(merchant(2), 10).unwrap();
        other.turn(20).await.unwrap();
        let (waiting, ()) = tokio::join!(third.turn(5), async { drop(turn) });
        let turn = waiting.unwrap();
        // It lives on with the merchant's other requests.
        drop((first, third));
        assert!(second.turn(16).await.is_err());
        drop(turn);
        second.turn(16).await.unwrap();
    }
}
