//! `conversiond export`: what `GET /api/v1/exports/events` gives, as a file.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use serde_json::json;

use super::files::Unfinished;
use super::output::cells;
use super::{Context, Failure, Usage, input};
use crate::domain::ids::MerchantId;
use crate::domain::instant;
use crate::domain::merchant::Mode;
use crate::http::exports::{self, Format, Reading};
use crate::storage::exports::{Scope, horizon};
use crate::storage::{AnyConnection, merchants};
use crate::system::SystemClock;

/// Its last line has the cursor at which the next export goes on, and says whether it is complete: whether
/// nothing received before --to can come any more. The newest minutes are left out
/// (`export.behind_s`): no event is ever missed.
#[derive(Debug, Args)]
pub struct Export {
    /// Whose events.
    #[arg(long)]
    merchant: MerchantId,
    /// Real events, or those of test keys.
    #[arg(long, value_name = "live|test", default_value = "live")]
    mode: Mode,
    /// How they are written.
    #[arg(long, value_name = "ndjson|csv", default_value = "ndjson")]
    format: Format,
    /// CSV for programs: without the apostrophe before text that a spreadsheet would take for a formula.
    #[arg(long)]
    exact: bool,
    /// Received at this instant or after it.
    #[arg(long, value_name = "RFC3339", value_parser = instant_argument)]
    from: Option<DateTime<Utc>>,
    /// Received before this instant.
    #[arg(long, value_name = "RFC3339", value_parser = instant_argument)]
    to: Option<DateTime<Utc>>,
    /// The cursor of the export before, all else as it was but the format.
    #[arg(long, allow_hyphen_values = true)]
    cursor: Option<String>,
    /// Where to; `-` is standard output. A file appears when it is complete, for its owner alone.
    #[arg(long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

impl Export {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        if self.from.zip(self.to).is_some_and(|(from, to)| from >= to) {
            return Err(Usage("--to must lie after --from").into());
        }
        let scope = Scope { merchant: self.merchant, mode: self.mode, from: self.from, to: self.to };
        let mut export = exports::Export::new(scope, self.format).with_cells(cells(self.exact));
        if let Some(cursor) = &self.cursor {
            export = export.after(cursor).map_err(|_| Usage(FOREIGN_CURSOR))?;
        }
        let mut connection = context.database()?;
        if merchants::find(&mut connection, self.merchant)?.is_none() {
            return Err(format!("there is no merchant {}", self.merchant).into());
        }
        let behind = TimeDelta::seconds(context.config.export.behind_s.into());
        let wait = Duration::from_millis(context.config.database.pool_wait_ms);
        let mut reading = export.begin(horizon(&mut connection, behind, wait, &SystemClock)?);
        if input::is_stdin(&self.output) {
            return write(&mut connection, &mut reading, &mut std::io::stdout().lock());
        }
        let mut file = Unfinished::create(&self.output)?;
        write(&mut connection, &mut reading, &mut file.writer)?;
        file.finish()?;
        let cursor = reading.next_cursor();
        let result = json!({
            "file": self.output,
            "events": reading.events(),
            "next_cursor": cursor,
            "complete": reading.is_complete(),
        });
        context.output.show(&result, || {
            let cursor = cursor.unwrap_or_default();
            let events = format!("{} events in {}", reading.events(), self.output.display());
            let left = match (self.to, reading.is_complete()) {
                (Some(_), true) => ", complete".to_owned(),
                (Some(_), false) => ", incomplete: more may come before --to".to_owned(),
                (None, _) => {
                    format!(", the last {} s are left for the next run", context.config.export.behind_s)
                }
            };
            format!("{events}{left}, next cursor {cursor}")
        })
    }
}

const FOREIGN_CURSOR: &str =
    "--cursor is not of such an export: give --merchant, --mode, --from and --to as they were";

fn write(connection: &mut AnyConnection, reading: &mut Reading, out: &mut impl Write) -> Result<(), Failure> {
    while let Some(page) = connection.read(|c| reading.next(c))? {
        out.write_all(&page)
            .and_then(|()| out.flush())
            .map_err(|error| format!("cannot write the events: {error}"))?;
    }
    Ok(())
}

fn instant_argument(text: &str) -> Result<DateTime<Utc>, String> {
    instant::parse(text).map_err(|error| error.to_string())
}
