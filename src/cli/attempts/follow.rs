//! `conversiond attempts --follow`: the journal as it grows.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io::ErrorKind;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Whose, describe, line};
use crate::cli::output::Output;
use crate::cli::{Failure, signals};
use crate::domain::attempt::{Journaled, LinePlace};
use crate::domain::ids::AttemptId;
use crate::domain::time::Clock as _;
use crate::storage::attempts::{self, Filter, Owner};
use crate::storage::{AnyConnection, StoreError, database_now};
use crate::system::SystemClock;

/// How often the journal is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// How long after its beginning an attempt may appear: what began later may be there before it.
const LATE_MAX: TimeDelta = TimeDelta::seconds(15);

/// The most lines read at one look, and remembered as printed. Of a faster journal the newest are shown.
const WINDOW_MAX: usize = 50_000;

/// Prints the newest lines and all that come, until a signal or nobody reads them any more.
pub fn run(
    output: Output,
    connection: AnyConnection,
    whose: Whose,
    filter: Filter,
    limit: usize,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let shutdown = signals::shutdown()?;
        let tail = Tail { output, connection, whose, filter, printed: BTreeSet::new() };
        // On a thread of its own: whoever does not read what is printed must not keep a signal waiting.
        let tailing = tokio::task::spawn_blocking(move || tail.run(limit));
        tokio::select! {
            () = shutdown => Ok(()),
            ended = tailing => ended?.map_err(Failure::from),
        }
    });
    runtime.shutdown_background();
    ended
}

struct Tail {
    output: Output,
    connection: AnyConnection,
    whose: Whose,
    filter: Filter,
    /// What was printed of the time that is looked at again.
    printed: BTreeSet<LinePlace>,
}

/// Why it ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot write to standard output: {0}")]
    Output(#[from] std::io::Error),
}

impl Tail {
    fn run(mut self, limit: usize) -> Result<(), Ended> {
        match self.print_all(limit) {
            // Who reads has seen enough.
            Err(Ended::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(error),
            Ok(never) => match never {},
        }
    }

    fn print_all(&mut self, limit: usize) -> Result<Infallible, Ended> {
        if !self.output.is_json() {
            self.output.line(&line::header())?;
        }
        let mut looked_at = self.now()?;
        self.print_newest(looked_at - LATE_MAX, limit)?;
        loop {
            std::thread::sleep(EVERY);
            let now = self.now()?;
            // The end of the time before the last look is looked at again, however long ago it was.
            let from = looked_at.min(now) - LATE_MAX;
            let lines = self.read(|c, owners, filter| since(c, owners, filter, from))?;
            self.print(&lines)?;
            self.forget_before(from);
            looked_at = now;
        }
    }

    /// What is there already and not among the newest is not shown later, either.
    fn print_newest(&mut self, from: DateTime<Utc>, limit: usize) -> Result<(), Ended> {
        let (newest, recent) = self.read(|c, owners, filter| {
            let newest = attempts::newest(c, owners, filter, limit)?;
            Ok((newest, since(c, owners, filter, from)?))
        })?;
        self.print(&newest)?;
        self.printed.extend(recent.iter().map(|line| line.place));
        Ok(())
    }

    /// The time by the clock that the services are measured by.
    fn now(&mut self) -> Result<DateTime<Utc>, StoreError> {
        Ok(database_now(&mut self.connection)?.unwrap_or_else(|| SystemClock.now()))
    }

    fn read<T>(
        &mut self,
        query: impl FnOnce(&mut AnyConnection, &[Owner], &Filter) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (whose, filter) = (self.whose, &self.filter);
        self.connection.read(|c| {
            let owners = whose.owners(c)?;
            query(c, &owners, filter)
        })
    }

    /// Prints lines that stand newest first, the oldest first.
    fn print(&mut self, lines: &[Journaled]) -> std::io::Result<()> {
        for line in lines.iter().rev() {
            if self.printed.insert(line.place) {
                let text = if self.output.is_json() { describe(line).to_string() } else { line::row(line) };
                self.output.line(&text)?;
            }
        }
        Ok(())
    }

    /// What is not looked at again need not be remembered.
    fn forget_before(&mut self, from: DateTime<Utc>) {
        let oldest = LinePlace { attempt: AttemptId::first_at(from), row: None };
        self.printed = self.printed.split_off(&oldest);
        while self.printed.len() > 2 * WINDOW_MAX {
            self.printed.pop_first();
        }
    }
}

fn since(
    connection: &mut AnyConnection,
    owners: &[Owner],
    filter: &Filter,
    from: DateTime<Utc>,
) -> Result<Vec<Journaled>, StoreError> {
    let from = filter.from.map_or(from, |since| since.max(from));
    attempts::among(connection, owners, &Filter { from: Some(from), ..filter.clone() }, WINDOW_MAX)
}
