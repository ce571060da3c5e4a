//! What a merchant may write per day (UTC), and what it has written.

use std::num::NonZeroU64;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

/// From this part of a quota on, the operator is told.
const NEARLY_PERCENT: u128 = 80;

/// A merchant's quota per day; `None` = any number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Events, statuses and repeats of them: the rows of bulk requests, and single callbacks.
    pub rows: Option<NonZeroU64>,
    /// Bytes of the bodies that told them.
    pub bytes: Option<NonZeroU64>,
}

/// What was written on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The day.
    pub day: NaiveDate,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// How far a quota is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Not nearly used up.
    Below,
    /// At least 80 %.
    Nearly,
    /// Used up.
    Over,
}

impl Quota {
    /// Whether anything is limited.
    pub const fn is_set(&self) -> bool {
        self.rows.is_some() || self.bytes.is_some()
    }

    /// How far it is used.
    pub fn level(&self, usage: &Usage) -> Level {
        self.percent(usage).map_or(Level::Below, |percent| match percent {
            100.. => Level::Over,
            NEARLY_PERCENT.. => Level::Nearly,
            _ => Level::Below,
        })
    }

    /// How many per cent of it are used, of rows or of bytes, whichever is more; rounded down.
    pub fn percent(&self, usage: &Usage) -> Option<u128> {
        let part = |used: u64, of: Option<NonZeroU64>| {
            of.map(|of| u128::from(used).saturating_mul(100) / u128::from(of.get()))
        };
        part(usage.rows, self.rows).max(part(usage.bytes, self.bytes))
    }
}

impl Usage {
    /// Nothing, on this day.
    pub const fn none(day: NaiveDate) -> Self {
        Self { day, rows: 0, bytes: 0 }
    }

    /// Adds what was written.
    pub const fn add(&mut self, rows: u64, bytes: u64) {
        self.rows = self.rows.saturating_add(rows);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// How long it is until the next day begins.
pub fn until_midnight(now: DateTime<Utc>) -> TimeDelta {
    let next = now.date_naive().checked_add_days(Days::new(1)).and_then(|day| day.and_hms_opt(0, 0, 0));
    next.map_or(TimeDelta::days(1), |next| next.and_utc() - now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_used_by_rows_or_bytes_whichever_is_more() {
        let day = "2026-12-01".parse().unwrap();
        let used = |rows, bytes| Usage { day, rows, bytes };
        let quota = Quota { rows: NonZeroU64::new(1_000), bytes: NonZeroU64::new(10) };
        assert_eq!(quota.percent(&used(799, 7)), Some(79));
        assert_eq!(quota.level(&used(799, 7)), Level::Below);
        assert_eq!(quota.level(&used(800, 0)), Level::Nearly);
        assert_eq!(quota.level(&used(0, 9)), Level::Nearly);
        assert_eq!(quota.level(&used(999, 9)), Level::Nearly);
        assert_eq!(quota.level(&used(1_000, 0)), Level::Over);
        assert_eq!(quota.level(&used(0, u64::MAX)), Level::Over);
        assert_eq!(Quota::default().level(&used(u64::MAX, u64::MAX)), Level::Below);
        let rows_alone = Quota { bytes: None, ..quota };
        assert_eq!(rows_alone.level(&used(0, u64::MAX)), Level::Below);
    }

    #[test]
    fn a_day_ends_at_midnight_utc() {
        let until = |now: &str| until_midnight(now.parse().unwrap()).num_milliseconds();
        assert_eq!(until("2026-12-01T00:00:00Z"), 86_400_000);
        assert_eq!(until("2026-12-01T23:59:59.5Z"), 500);
        assert_eq!(until("2026-12-01T01:00:00+02:00"), 3_600_000);
    }
}
