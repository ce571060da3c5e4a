//! Each merchant's share of the connections for reading, so that nobody takes the last one from others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::StoreError;
use crate::domain::ids::MerchantId;

/// How many reads of one merchant may wait for its own earlier ones. Each holds a connection of its
/// caller's and its request; waiting longer than `database.pool_wait_ms` is refused anyway.
const WAITING_MAX: usize = 64;

/// The merchants that read at this moment. There is an entry for as long as a read of the merchant runs or
/// waits, so there are no more than open connections.
#[derive(Clone)]
pub struct Shares {
    /// How many reads of a merchant run at a time.
    each: usize,
    merchants: Arc<Mutex<HashMap<MerchantId, Share>>>,
}

/// What one merchant may take.
#[derive(Clone)]
struct Share {
    /// Of connections.
    connections: Arc<Semaphore>,
    /// Of what takes long: one at a time.
    long: Arc<Semaphore>,
    /// How many reads run or wait.
    reads: usize,
}

/// A read of a merchant's that runs or waits. It goes on until it is dropped.
pub struct Read {
    merchant: MerchantId,
    shares: Shares,
    share: Share,
    held: Vec<OwnedSemaphorePermit>,
}

impl Shares {
    /// Shares of so many connections: a half of them, rounded up, and never the last of several.
    pub fn of(connections: usize) -> Self {
        let each = connections.div_ceil(2).min(connections.saturating_sub(1)).max(1);
        Self { each, merchants: Arc::default() }
    }

    /// Begins a read of this merchant's, which has taken nothing yet.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when too many of its reads wait already.
    pub fn begin(&self, merchant: MerchantId) -> Result<Read, StoreError> {
        let mut merchants = self.merchants.lock().unwrap_or_else(PoisonError::into_inner);
        let share = merchants.entry(merchant).or_insert_with(|| Share {
            connections: Arc::new(Semaphore::new(self.each)),
            long: Arc::new(Semaphore::new(1)),
            reads: 0,
        });
        if share.reads >= self.each + WAITING_MAX {
            return Err(StoreError::Overloaded("as many reads of this merchant wait as may"));
        }
        share.reads += 1;
        Ok(Read { merchant, shares: self.clone(), share: share.clone(), held: Vec::with_capacity(2) })
    }
}

impl Read {
    /// Waits until the merchant has a connection left of its share.
    ///
    /// # Errors
    /// [`StoreError::ShuttingDown`].
    pub async fn take_connection(&mut self) -> Result<(), StoreError> {
        self.take(self.share.connections.clone()).await
    }

    /// Waits until nothing else of the merchant's that takes long runs.
    ///
    /// # Errors
    /// [`StoreError::ShuttingDown`].
    pub async fn take_long(&mut self) -> Result<(), StoreError> {
        self.take(self.share.long.clone()).await
    }

    async fn take(&mut self, of: Arc<Semaphore>) -> Result<(), StoreError> {
        self.held.push(of.acquire_owned().await.map_err(|_| StoreError::ShuttingDown)?);
        Ok(())
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        self.held.clear();
        let mut merchants = self.shares.merchants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = merchants.entry(self.merchant) {
            entry.get_mut().reads = entry.get().reads.saturating_sub(1);
            if entry.get().reads == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use uuid::Uuid;

    use super::*;

    fn merchant(number: u128) -> MerchantId {
        MerchantId::from_uuid(Uuid::from_u128(number))
    }

    /// As many reads of this merchant's as take a connection at once.
    fn running(shares: &Shares, number: u128) -> Vec<Read> {
        std::iter::from_fn(|| {
            let mut read = shares.begin(merchant(number)).ok()?;
            read.take_connection().now_or_never()?.ok()?;
            Some(read)
        })
        .collect()
    }

    #[test]
    fn a_merchant_has_a_half_of_the_connections_and_never_the_last_of_several() {
        for (connections, share) in [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (8, 4)] {
            let shares = Shares::of(connections);
            let (one, other) = (running(&shares, 1), running(&shares, 2));
            assert_eq!((one.len(), other.len()), (share, share), "of {connections}");
            drop((one, other));
            assert!(shares.merchants.lock().unwrap().is_empty());
        }
    }

    #[test]
    fn what_takes_long_runs_once_for_a_merchant() {
        let shares = Shares::of(4);
        let [mut one, mut two] = [1, 1].map(|n| shares.begin(merchant(n)).unwrap());
        let mut other = shares.begin(merchant(2)).unwrap();
        assert!(one.take_long().now_or_never().unwrap().is_ok());
        assert!(other.take_long().now_or_never().unwrap().is_ok());
        assert!(two.take_long().now_or_never().is_none());
        drop(one);
        assert!(two.take_long().now_or_never().unwrap().is_ok());
    }

    #[test]
    fn so_many_reads_of_a_merchant_wait_and_no_more() {
        let shares = Shares::of(4);
        let reads: Vec<Read> = (0..2 + WAITING_MAX).map(|_| shares.begin(merchant(1)).unwrap()).collect();
        assert!(matches!(shares.begin(merchant(1)), Err(StoreError::Overloaded(_))));
        assert!(shares.begin(merchant(2)).is_ok());
        drop(reads);
        assert!(shares.begin(merchant(1)).is_ok());
        assert!(shares.merchants.lock().unwrap().is_empty());
    }
}
