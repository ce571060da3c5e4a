//! The keys in memory: one snapshot of every key, secret, merchant and token key, read again every
//! few seconds. Judging a request asks no database.

mod administration;
mod load;
mod master_key;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::domain::access::KeyDirectory;
use crate::domain::ids::MerchantId;
use crate::domain::merchant::Mode;
use crate::domain::time::Clock;
use crate::storage::StoreError;

pub use administration::{
    IssuedKey, KeyRequest, RotateError, ensure_token_key, issue_key, retire_token_key, rewrap, rotate_key,
    rotate_token_key,
};
pub use load::{Loader, Strictness};
pub use master_key::{MasterKeyError, MasterKeySource, load as load_master_key};

/// The current snapshot.
pub struct Keyring {
    directory: ArcSwap<KeyDirectory>,
    /// Milliseconds on the monotonic clock.
    loaded_at_ms: AtomicU64,
    stale_after: Duration,
    clock: Arc<dyn Clock>,
}

impl Keyring {
    /// A keyring that holds this snapshot, loaded just now.
    pub fn new(directory: KeyDirectory, stale_after: Duration, clock: Arc<dyn Clock>) -> Self {
        let keyring = Self {
            directory: ArcSwap::from_pointee(directory),
            loaded_at_ms: AtomicU64::new(0),
            stale_after,
            clock,
        };
        keyring.touch();
        keyring
    }

    /// The snapshot, unless it is too old to judge by.
    pub fn current(&self) -> Result<Arc<KeyDirectory>, StoreError> {
        if self.age() > self.stale_after {
            return Err(StoreError::Unavailable("keys could not be read for keys.stale_s".to_owned()));
        }
        Ok(self.directory.load_full())
    }

    /// Whose key this is and its mode, by the snapshot however old it is: for the journal, nothing is
    /// judged by it.
    pub fn owner_of(&self, key_id: &str) -> Option<(MerchantId, Mode)> {
        self.directory.load().owner_of(key_id)
    }

    /// Replaces the snapshot.
    pub fn replace(&self, directory: KeyDirectory) {
        self.directory.store(Arc::new(directory));
        self.touch();
    }

    /// How long ago the snapshot was read.
    pub fn age(&self) -> Duration {
        let loaded_at = Duration::from_millis(self.loaded_at_ms.load(Ordering::Relaxed));
        self.clock.monotonic().saturating_sub(loaded_at)
    }

    fn touch(&self) {
        let now = u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        self.loaded_at_ms.store(now, Ordering::Relaxed);
    }
}
