//! Places for exports: a few for all, and one for each merchant.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::ids::MerchantId;

/// How many exports may run at one moment, and whose do.
#[derive(Debug, Clone)]
pub struct Places {
    free: Arc<Semaphore>,
    taken: Arc<Mutex<HashSet<MerchantId>>>,
}

/// A merchant's place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    merchant: MerchantId,
    taken: Arc<Mutex<HashSet<MerchantId>>>,
    _permit: OwnedSemaphorePermit,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// All are taken.
    Full,
    /// The merchant has one: a slow reader must not keep out others.
    Running,
}

impl Places {
    /// So many.
    pub fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), taken: Arc::default() }
    }

    /// A place for this merchant.
    ///
    /// # Errors
    /// When it has one, or all are taken.
    pub fn take(&self, merchant: MerchantId) -> Result<Place, NoPlace> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.contains(&merchant) {
            return Err(NoPlace::Running);
        }
        let permit = self.free.clone().try_acquire_owned().map_err(|_| NoPlace::Full)?;
        taken.insert(merchant);
        Ok(Place { merchant, taken: self.taken.clone(), _permit: permit })
    }
}

impl Place {
    /// Whose it is.
    pub const fn merchant(&self) -> MerchantId {
        self.merchant
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.merchant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_merchant_has_one_place_and_all_together_as_many_as_there_are() {
        let [one, two, three] = [1, 2, 3].map(|n| MerchantId::from_uuid(Uuid::from_u128(n)));
        let places = Places::new(2);
        let first = places.take(one).unwrap();
        assert_eq!(places.take(one).unwrap_err(), NoPlace::Running);
        let second = places.take(two).unwrap();
        assert_eq!(places.take(three).unwrap_err(), NoPlace::Full);
        drop(first);
        let third = places.take(three).unwrap();
        assert_eq!(places.take(one).unwrap_err(), NoPlace::Full);
        drop((second, third));
        assert!(places.take(one).is_ok() && places.take(one).is_ok());
    }
}
