//! The limits of settings.

use super::{Config, Export, FormName, Plans};
use crate::domain::rate_limit::RateLimit;
use crate::domain::vault::MasterKeyRing;

impl Config {
    /// Checks what no single key can say.
    pub(super) fn validate(&self) -> Result<(), String> {
        let within = |name: &str, value: i128, low: i128, high: i128| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(format!("{name} = {value} must lie between {low} and {high}"))
            }
        };
        let number = |value: usize| i128::try_from(value).unwrap_or(i128::MAX);
        within("signature.tolerance_s", self.signature.tolerance_s.into(), 30, 900)?;
        if !self.signature.forms.contains(&FormName::V2) {
            return Err("signature.forms must name v2: reading needs it".to_owned());
        }
        within("keys.refresh_s", self.keys.refresh_s.into(), 1, 4)?;
        within("keys.stale_s", self.keys.stale_s.into(), 5, 3_600)?;
        within("server.keep_alive_s", self.server.keep_alive_s.into(), 1, 300)?;
        within("server.head_timeout_s", self.server.head_timeout_s.into(), 1, 60)?;
        within("server.body_timeout_s", self.server.body_timeout_s.into(), 1, 60)?;
        within("server.shutdown_s", self.server.shutdown_s.into(), 1, 300)?;
        within("server.max_connections", number(self.server.max_connections), 8, 1_000_000)?;
        within("server.connections_per_address", number(self.server.connections_per_address), 1, 1_000_000)?;
        within("server.body_bytes_in_3s_min", number(self.server.body_bytes_in_3s_min), 0, 65_536)?;
        within("server.headers_bytes_max", number(self.server.headers_bytes_max), 1_024, 65_536)?;
        within("server.body_bytes_max", number(self.server.body_bytes_max), 1_024, 1 << 20)?;
        // A half is for bulk requests: the largest of either kind must fit into its half.
        let body_max = number(self.server.body_bytes_max.max(self.server.bulk_body_bytes_max));
        within(
            "server.bodies_in_flight_bytes_max",
            number(self.server.bodies_in_flight_bytes_max),
            2 * body_max,
            1 << 31,
        )?;
        within("database.pool_size", self.database.pool_size.into(), 1, 1_000)?;
        within("database.read_timeout_s", self.database.read_timeout_s.into(), 1, 600)?;
        within("database.writers", number(self.database.writers), 1, 64)?;
        within("database.checkpoint_pages", self.database.checkpoint_pages.into(), 100, 100_000)?;
        let pages = (self.database.checkpoint_pages, self.database.log_pages_max);
        within("database.log_pages_max", pages.1.into(), pages.0.into(), 10_000_000)?;
        within("database.disk_free_min_bytes", self.database.disk_free_min_bytes.into(), 0, 1 << 50)?;
        within("database.connect_timeout_s", self.database.connect_timeout_s.into(), 1, 60)?;
        within("ingest.queue_events", number(self.ingest.queue_events), 1, 1 << 20)?;
        within("ingest.queue_bytes", number(self.ingest.queue_bytes), 1 << 20, 1 << 31)?;
        within("ingest.batch_events", number(self.ingest.batch_events), 1, 10_000)?;
        within("ingest.batch_bytes", number(self.ingest.batch_bytes), 1 << 16, 1 << 28)?;
        within("ingest.answer_timeout_s", self.ingest.answer_timeout_s.into(), 1, 60)?;
        within("ingest.bulk_rows_max", number(self.ingest.bulk_rows_max), 1, 1_000)?;
        within("ingest.bulk_wait_ms", self.ingest.bulk_wait_ms.into(), 0, 60_000)?;
        within("server.bulk_body_bytes_max", number(self.server.bulk_body_bytes_max), 1_024, 1 << 24)?;
        let books_max = number(self.server.reconciliation_body_bytes_max);
        within("server.reconciliation_body_bytes_max", books_max, 1_024, 1 << 28)?;
        within("idempotency.ttl_hours", self.idempotency.ttl_hours.into(), 1, 720)?;
        // Else who waits is told 503 before it could be told 409.
        let wait_max = i128::from(self.ingest.answer_timeout_s) * 1_000 - 100;
        within("idempotency.wait_ms", self.idempotency.wait_ms.into(), 100, wait_max)?;
        within("idempotency.sweep_s", self.idempotency.sweep_s.into(), 1, 3_600)?;
        let Plans { free, pro, business, enterprise } = &self.plans;
        let plans = [("free", free), ("pro", pro), ("business", business), ("enterprise", enterprise)];
        for (name, plan) in plans {
            within(&format!("plans.{name}.rate_per_s"), plan.rate_per_s.into(), 0, RateLimit::MAX.into())?;
            within(&format!("plans.{name}.rows_per_s"), plan.rows_per_s.into(), 0, RateLimit::MAX.into())?;
            within(&format!("plans.{name}.burst"), plan.burst.into(), 0, RateLimit::MAX.into())?;
        }
        within("peer.failures_per_s", self.peer.failures_per_s.into(), 0, RateLimit::MAX.into())?;
        within("peer.burst", self.peer.burst.into(), 0, RateLimit::MAX.into())?;
        within("peer.tries_per_s", self.peer.tries_per_s.into(), 0, RateLimit::MAX.into())?;
        within("peer.table_entries", number(self.peer.table_entries), 16, 1 << 20)?;
        within("export.concurrent", self.export.concurrent.into(), 1, 1_000)?;
        within("export.stall_s", self.export.stall_s.into(), 1, 3_600)?;
        within("export.behind_s", self.export.behind_s.into(), Export::BEHIND_S_MIN, 86_400)?;
        // Mistaken for it, the key itself would be repeated as the name of a file that is not there.
        if self.security.master_key_file.to_string_lossy().parse::<MasterKeyRing>().is_ok() {
            return Err("security.master_key_file takes a file's name, not the key".to_owned());
        }
        within("journal.queue_attempts", number(self.journal.queue_attempts), 1, 1 << 20)?;
        within("retention.raw_body_days", self.retention.raw_body_days.into(), 0, 36_500)?;
        within("journal.retention_days", self.journal.retention_days.into(), 1, 3_650)?;
        let attempts_max = i128::from(RateLimit::MAX);
        within(
            "journal.unproven_attempts_per_s",
            self.journal.unproven_attempts_per_s.into(),
            0,
            attempts_max,
        )?;
        let of_merchant = self.journal.merchant_refused_rows_max;
        within("journal.merchant_refused_rows_max", of_merchant.into(), 100, 1 << 40)?;
        within("journal.refused_rows_max", self.journal.refused_rows_max.into(), 1_000, 1 << 40)
    }
}
