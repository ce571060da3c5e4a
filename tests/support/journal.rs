//! The journal, as the tests look at it: behind the service's back, everybody's lines.

use conversiond::domain::attempt::Journaled;
use conversiond::domain::ids::MerchantId;
use conversiond::storage::attempts::{self, Filter};

use super::service::Setup;
use super::{Service, eventually};

/// More lines than any test makes.
const LINES_MAX: usize = 100_000;

impl Setup {
    /// Writes so many old lines of accepted requests into a merchant's journal.
    pub fn fill_journal(&mut self, merchant: MerchantId, count: usize) {
        let sql = format!(
            "INSERT INTO attempts (merchant_id, attempt_id, bulk_row, mode, started_at, endpoint, request_id, body_bytes, \
             outcome, status, reason, order_id, elapsed_us) \
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
             SELECT '{merchant}', 'att_01k0000000' || substr(CAST(10000000000000000 + i AS TEXT), 2), -1, 'live', \
             '2026-01-01 00:00:00', 'conversions', 'r', 100, 'accepted', 202, 'accepted', 'F-' || CAST(i AS TEXT), 1000 \
             FROM n"
        );
        assert_eq!(self.execute(&sql), count);
    }

    /// Every line, the oldest first.
    pub fn journal(&mut self) -> Vec<Journaled> {
        let owners = attempts::owners(&mut self.connection).unwrap();
        let mut lines =
            attempts::newest(&mut self.connection, &owners, &Filter::default(), LINES_MAX).unwrap();
        lines.reverse();
        lines
    }
}

impl Service {
    /// Every line once there are so many requests in it: refused ones are journaled a moment later.
    pub async fn journal(&self, requests: usize) -> Vec<Journaled> {
        let mut setup = self.setup();
        let mut lines = Vec::new();
        eventually(&format!("{requests} requests are journaled"), async || {
            lines = setup.journal();
            lines.iter().filter(|line| line.place.row.is_none()).count() >= requests
        })
        .await;
        lines
    }

    /// A figure that has these words in its labels, summed up.
    pub async fn figure(&self, name: &str, words: &[&str]) -> u64 {
        let (_, metrics) = self.admin("/metrics").await;
        let lines = metrics.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        lines
            .filter(|line| words.is_empty() || words.iter().any(|word| line.contains(word)))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    }
}
