//! What goes wrong in a run, and how often.

use std::time::Duration;

use conversiond::storage::writer::BatchFailure;
use fastrand::Rng;

/// A run's circumstances, drawn from its seed.
pub struct Weather {
    /// From then on nothing goes wrong any more.
    pub clear_from: Duration,
    /// How many of a thousand transactions fail before their COMMIT.
    before: u32,
    /// How many of a thousand COMMITs are not answered as they end.
    at_commit: u32,
    /// How many of a thousand steps are slow.
    slow: u32,
    /// How many of a thousand attempts to connect fail.
    unreachable: u32,
    /// When the database is away.
    outages: Vec<(Duration, Duration)>,
    /// When somebody else locks something, and for how long.
    pub foreign_locks: Vec<(Duration, Duration)>,
}

/// What becomes of a COMMIT.
#[derive(Debug, Clone)]
pub enum Commit {
    /// It is done and answered.
    Answered,
    /// It is not done.
    Undone(BatchFailure),
    /// It is done, and the answer is lost.
    Unseen(BatchFailure),
    /// The connection is gone; that end of it which is left decides after a while.
    Undecided(BatchFailure, Duration, bool),
}

impl Weather {
    pub fn draw(random: &mut Rng) -> Self {
        let clear_from = Duration::from_millis(random.u64(1_000..20_000));
        let rate = |random: &mut Rng| *random.choice(&[0, 0, 10, 50, 200, 500]).unwrap();
        let periods = |random: &mut Rng, longest: u64| {
            let count = random.usize(0..4);
            let mut period = || {
                let from = Duration::from_millis(random.u64(0..15_000));
                (from, from + Duration::from_millis(random.u64(1..longest)))
            };
            (0..count).map(|_| period()).collect::<Vec<_>>()
        };
        let weather = Self {
            clear_from,
            before: rate(random),
            at_commit: rate(random),
            slow: *random.choice(&[0, 5, 20, 100]).unwrap(),
            unreachable: rate(random),
            outages: match random.bool() {
                true => periods(random, 4_000),
                false => Vec::new(),
            },
            foreign_locks: match random.bool() {
                true => periods(random, 12_000),
                false => Vec::new(),
            },
        };
        match random.u8(0..8) {
            // Nothing but locks.
            0 => Self { before: 0, at_commit: 0, slow: 0, outages: Vec::new(), ..weather },
            _ => weather,
        }
    }

    /// Whether nothing goes wrong but that somebody else holds locks.
    pub fn is_calm(&self) -> bool {
        self.before == 0 && self.at_commit == 0 && self.slow == 0 && self.outages.is_empty()
    }

    fn strikes(&self, rate: u32, now: Duration, random: &mut Rng) -> bool {
        now < self.clear_from && random.u32(0..1_000) < rate
    }

    /// Whether the database is away.
    pub fn is_away(&self, now: Duration) -> bool {
        now < self.clear_from && self.outages.iter().any(|(from, to)| (*from..*to).contains(&now))
    }

    /// Whether an attempt to connect fails.
    pub fn refuses_connection(&self, now: Duration, random: &mut Rng) -> bool {
        self.is_away(now) || self.strikes(self.unreachable, now, random)
    }

    /// How long a step takes.
    pub fn duration(&self, now: Duration, random: &mut Rng) -> Duration {
        match self.strikes(self.slow, now, random) {
            true => Duration::from_millis(random.u64(100..6_000)),
            false => Duration::from_micros(random.u64(50..5_000)),
        }
    }

    /// What a transaction meets before its COMMIT.
    pub fn failure_before(&self, now: Duration, random: &mut Rng) -> Option<BatchFailure> {
        if !self.strikes(self.before, now, random) {
            return None;
        }
        let kinds: [fn(String) -> BatchFailure; 4] =
            [BatchFailure::Lost, BatchFailure::Contended, BatchFailure::Unknown, BatchFailure::Exhausted];
        Some(random.choice(kinds).unwrap()("before COMMIT".to_owned()))
    }

    /// What becomes of a COMMIT that is sent now.
    pub fn commit(&self, now: Duration, random: &mut Rng) -> Commit {
        if !self.is_away(now) && !self.strikes(self.at_commit, now, random) {
            return Commit::Answered;
        }
        let lost = || BatchFailure::Lost("at COMMIT".to_owned());
        let unknown = || BatchFailure::Unknown("at COMMIT".to_owned());
        let exhausted = || BatchFailure::Exhausted("at COMMIT".to_owned());
        match random.u32(0..9) {
            0 => Commit::Undone(lost()),
            1 => Commit::Undone(unknown()),
            2 => Commit::Undone(exhausted()),
            3 => Commit::Undone(BatchFailure::Contended("at COMMIT".to_owned())),
            4 => Commit::Unseen(lost()),
            5 => Commit::Unseen(unknown()),
            6 => Commit::Unseen(exhausted()),
            _ => Commit::Undecided(lost(), Duration::from_millis(random.u64(1..3_000)), random.bool()),
        }
    }
}
