//! The journal, as the tests look at it: behind the service's back, everybody's lines.

use conversiond::domain::attempt::Journaled;
use conversiond::storage::attempts::{self, Filter};

use super::service::Setup;
use super::{Service, eventually};

/// More lines than any test makes.
const LINES_MAX: usize = 100_000;

impl Setup {
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
