//! `conversiond reconcile`: a merchant's books, held against what is recorded.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};

use super::output::table;
use super::token::instant_argument;
use super::{Context, Failure, input};
use crate::domain::event::Rejection;
use crate::domain::ids::MerchantId;
use crate::domain::merchant::Mode;
use crate::domain::reconciliation::{Finding, Reconciliation, Summary};
use crate::http::ReconciliationBody;
use crate::ingest::reconciliation::{self, BooksFormat};
use crate::storage::merchants;

/// Exits with 1 where anything differs. The period is on when a sale happened, and half-open.
#[derive(Debug, Args)]
pub struct Reconcile {
    /// The books, `-` = standard input: CSV whose first line names the columns (`order_id`, `value`,
    /// `net`, `currency`, `state`), NDJSON, or JSON as for the API.
    file: PathBuf,
    /// The merchant whose books they are.
    #[arg(long)]
    merchant: MerchantId,
    /// Real orders, or test ones.
    #[arg(long, value_name = "live|test", default_value = "live")]
    mode: Mode,
    /// Where the period begins; not with JSON, which tells it.
    #[arg(long, value_name = "RFC3339", value_parser = instant_argument, requires = "to")]
    from: Option<DateTime<Utc>>,
    /// Where it ends.
    #[arg(long, value_name = "RFC3339", value_parser = instant_argument, requires = "from")]
    to: Option<DateTime<Utc>>,
    /// How the books are written; by the file's name unless given.
    #[arg(long)]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Csv,
    Ndjson,
    Json,
}

impl From<Format> for BooksFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Csv => Self::Csv,
            Format::Ndjson => Self::Ndjson,
            Format::Json => Self::Json,
        }
    }
}

/// The books differ: told by the exit code, after everything was printed.
#[derive(Debug, thiserror::Error)]
#[error("the books differ")]
struct Differs;

impl Reconcile {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let format = self.format.map_or_else(|| format_of(&self.file), BooksFormat::from);
        let period = match (format, self.from.zip(self.to)) {
            (BooksFormat::Json, Some(_)) => {
                return Err(super::Usage("JSON books tell their period: leave --from and --to out").into());
            }
            (BooksFormat::Csv | BooksFormat::Ndjson, None) => {
                return Err(super::Usage("--from and --to are required: the period of these books").into());
            }
            (_, Some((from, to))) if from >= to => {
                return Err(super::Usage("--to must lie after --from").into());
            }
            (_, period) => period,
        };
        let bytes = input::read(&self.file)?;
        let books = reconciliation::read(&bytes, format, period).map_err(|rejection| words(&rejection))?;
        let mut connection = context.database()?;
        if merchants::find(&mut connection, self.merchant)?.is_none() {
            return Err(format!("there is no merchant {}", self.merchant).into());
        }
        let found = connection.read(|c| reconciliation::reconcile(c, self.merchant, self.mode, books))?;
        context.output.show(&ReconciliationBody::of(&found), || text(&found))?;
        if found.summary.agrees() { Ok(()) } else { Err(Differs.into()) }
    }
}

fn format_of(file: &Path) -> BooksFormat {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("json") => BooksFormat::Json,
        Some("ndjson" | "jsonl") => BooksFormat::Ndjson,
        _ => BooksFormat::Csv,
    }
}

fn words(rejection: &Rejection) -> String {
    match rejection {
        Rejection::MalformedJson(error) => error.to_string(),
        Rejection::Invalid(errors) => {
            let lines = errors.iter().map(|error| format!("{} {}", error.pointer, error.message));
            lines.collect::<Vec<_>>().join("; ")
        }
    }
}

fn text(found: &Reconciliation) -> String {
    let mut rows = vec![["order", "what", "recorded", "books"].map(str::to_owned).to_vec()];
    for difference in &found.differences {
        let finding = &difference.finding;
        let (here, there) = match finding {
            Finding::MissingHere { reason } => (String::new(), reason.clone().unwrap_or_default()),
            Finding::MissingThere => Default::default(),
            Finding::Amount { field, here, there } => (format!("{field} {here}"), there.text()),
            Finding::Currency { here, there } => (here.code().to_owned(), there.code().to_owned()),
            Finding::State { here, there } => (here.as_str().to_owned(), there.as_str().to_owned()),
        };
        rows.push(vec![difference.order.as_str().to_owned(), finding.kind().to_owned(), here, there]);
    }
    let unreadable = found.unreadable.iter().map(|row| {
        let errors = row.errors.iter().map(|error| format!("{} {}", error.pointer, error.message));
        format!("line {} cannot be read: {}", row.line, errors.collect::<Vec<_>>().join("; "))
    });
    let omitted = (found.omitted > 0).then(|| format!("… and {} differences more", found.omitted));
    let differences = (!found.differences.is_empty()).then(|| table(&rows));
    let parts = differences.into_iter().chain(omitted).chain(unreadable).chain([summary(&found.summary)]);
    parts.collect::<Vec<_>>().join("\n")
}

fn summary(summary: &Summary) -> String {
    format!(
        "{} compared: {} matched, {} missing here, {} missing there, {} amounts, {} currencies and {} states differ, \
         {} rows unreadable",
        summary.compared,
        summary.matched,
        summary.missing_here,
        summary.missing_there,
        summary.amount_differs,
        summary.currency_differs,
        summary.state_differs,
        summary.unreadable
    )
}
