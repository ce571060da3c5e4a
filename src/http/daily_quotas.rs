//! Quotas per day (contract section 7): what the database knew when the keys were last read, and what this
//! instance has admitted since. So several instances count one quota, a few seconds late.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, NaiveDate, Utc};

use super::error::{Code, Problem};
use crate::domain::ids::MerchantId;
use crate::domain::merchant::Merchant;
use crate::domain::quota::{Level, Usage, until_midnight};

/// What merchants with a quota were admitted. The lock is held for a look-up.
#[derive(Default)]
pub struct DailyQuotas {
    table: Mutex<HashMap<MerchantId, Admitted>>,
}

struct Admitted {
    /// The merchant as it was last read: a new reading knows what was admitted before.
    read: Arc<Merchant>,
    since: Usage,
    /// What the operator was told of this day.
    told: Level,
}

impl DailyQuotas {
    /// Admits a request of so many bytes that writes at least one row, unless the merchant's quota is used up.
    pub fn admit(&self, merchant: &Arc<Merchant>, bytes: usize, now: DateTime<Utc>) -> Result<(), Problem> {
        if !merchant.quota.is_set() {
            return Ok(());
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let level = self.with(merchant, now.date_naive(), |admitted, used| {
            let level = merchant.quota.level(used);
            if level < Level::Over {
                admitted.since.add(1, bytes);
            }
            admitted.tell(merchant, level, used);
            level
        });
        if level < Level::Over {
            return Ok(());
        }
        let detail =
            "The merchant has written as much today as its quota allows; the day ends at midnight UTC.";
        let seconds = u64::try_from(until_midnight(now).num_seconds()).unwrap_or(0).saturating_add(1);
        Err(Problem { quota_after_s: Some(seconds), ..Problem::new(Code::QuotaExceeded, detail) })
    }

    /// Counts the further rows of an admitted request.
    pub fn add_rows(&self, merchant: &Arc<Merchant>, rows: usize, now: DateTime<Utc>) {
        if merchant.quota.is_set() {
            let rows = u64::try_from(rows).unwrap_or(u64::MAX);
            self.with(merchant, now.date_naive(), |admitted, _| admitted.since.add(rows, 0));
        }
    }

    fn with<T>(
        &self,
        merchant: &Arc<Merchant>,
        day: NaiveDate,
        act: impl FnOnce(&mut Admitted, &Usage) -> T,
    ) -> T {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Admitted { read: merchant.clone(), since: Usage::none(day), told: Level::Below };
        let admitted = table.entry(merchant.id).or_insert_with(new);
        if admitted.since.day != day {
            *admitted = new();
        }
        if !Arc::ptr_eq(&admitted.read, merchant) {
            (admitted.read, admitted.since) = (merchant.clone(), Usage::none(day));
        }
        let mut used = merchant.usage.filter(|usage| usage.day == day).unwrap_or(Usage::none(day));
        used.add(admitted.since.rows, admitted.since.bytes);
        act(admitted, &used)
    }
}

impl Admitted {
    /// Tells the operator, once for each level and day.
    fn tell(&mut self, merchant: &Merchant, level: Level, used: &Usage) {
        if level > self.told {
            self.told = level;
            tracing::warn!(
                merchant_id = %merchant.id,
                day = %used.day,
                rows = used.rows,
                bytes = used.bytes,
                used_up = level == Level::Over,
                "a merchant's quota of the day is used up, or nearly"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use uuid::Uuid;

    use super::*;
    use crate::domain::quota::Quota;

    fn merchant(rows: u64, bytes: u64, usage: Option<Usage>) -> Arc<Merchant> {
        let id = MerchantId::from_uuid(Uuid::from_u128(1));
        let quota = Quota { rows: NonZeroU64::new(rows), bytes: NonZeroU64::new(bytes) };
        Arc::new(Merchant { quota, usage, ..Merchant::new(id) })
    }

    #[test]
    fn what_was_read_and_what_was_admitted_since_count_together() {
        let quotas = DailyQuotas::default();
        let now: DateTime<Utc> = "2026-12-01T23:59:50.5Z".parse().unwrap();
        let used = |rows| Some(Usage { day: now.date_naive(), rows, bytes: 0 });
        let read = merchant(10, 0, used(4));
        let admitted = (0..20).filter(|_| quotas.admit(&read, 100, now).is_ok()).count();
        assert_eq!(admitted, 6);
        let refused = quotas.admit(&read, 100, now).unwrap_err();
        assert_eq!((refused.code, refused.retry_after_s()), (Code::QuotaExceeded, Some(10)));
        // The next reading knows of them; another instance's are among them.
        let read = merchant(10, 0, used(7));
        quotas.admit(&read, 100, now).unwrap();
        quotas.add_rows(&read, 2, now);
        assert!(quotas.admit(&read, 100, now).is_err());
        // A new day, of which nothing was read yet.
        let tomorrow = now + chrono::TimeDelta::seconds(10);
        assert!(quotas.admit(&read, 100, tomorrow).is_ok());
    }

    #[test]
    fn bytes_count_as_well_and_without_a_quota_nothing_does() {
        let (quotas, now) = (DailyQuotas::default(), DateTime::UNIX_EPOCH);
        let read = merchant(0, 250, None);
        assert_eq!((0..20).filter(|_| quotas.admit(&read, 100, now).is_ok()).count(), 3);
        let free = merchant(0, 0, None);
        assert!((0..20).all(|_| quotas.admit(&free, usize::MAX, now).is_ok()));
        assert_eq!(quotas.table.lock().unwrap().len(), 1);
    }
}
