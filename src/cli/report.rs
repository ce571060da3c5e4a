//! `conversiond report`: what a merchant's events come to.

use clap::Args;
use serde::Serialize;

use super::output::{cells, table};
use super::{Context, Failure, Usage};
use crate::domain::ids::MerchantId;
use crate::domain::merchant::Mode;
use crate::domain::money::Currency;
use crate::domain::report::{Basis, Bound, GroupBy, Unanswerable, Wanted, Zone};
use crate::http::ReportBody;
use crate::storage::merchants;
use crate::storage::reports::{self, Scope};

/// Everything that happens to an order counts for its sale's link, and only where there is a sale.
#[derive(Debug, Args)]
pub struct Report {
    /// The merchant that is reported on.
    #[arg(long)]
    merchant: MerchantId,
    /// Of live keys, or of test keys.
    #[arg(long, value_name = "live|test", default_value = "live")]
    mode: Mode,
    /// One or two of day, week, month, `url_id`, `domain_id`, attribution; one of the times at most.
    #[arg(long, value_name = "A[,B]", default_value_t = GroupBy::default())]
    group_by: GroupBy,
    /// From this date of the zone, or instant, on; without it for thirty days.
    #[arg(long, value_name = "DATE|INSTANT")]
    from: Option<Bound>,
    /// To before this date or instant; without it to now.
    #[arg(long, value_name = "DATE|INSTANT")]
    to: Option<Bound>,
    /// The zone of days, weeks and months, such as Europe/Paris.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    tz: Zone,
    /// When what happens to an order counts: with its sale, or at its own time (event).
    #[arg(long, value_name = "sale|event", default_value = "sale")]
    basis: Basis,
    /// Sales of this currency alone. Leads and clicks have none: they count all the same.
    #[arg(long)]
    currency: Option<Currency>,
    /// As CSV: a line for each row and currency.
    #[arg(long)]
    csv: bool,
    /// CSV for programs: without the apostrophe before text that a spreadsheet would take for a formula.
    #[arg(long, requires = "csv")]
    exact: bool,
}

/// The report, and whose it is.
#[derive(Serialize)]
struct Owned<'a> {
    merchant_id: String,
    mode: &'static str,
    #[serde(flatten)]
    report: &'a ReportBody,
}

impl Report {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        if self.csv && context.output.is_json() {
            return Err(Usage("--json and --csv: a report is either").into());
        }
        let query = self.wanted().at(context.now()).map_err(|error| self.refuse(error))?;
        let scope = Scope { merchant: self.merchant, mode: self.mode };
        let mut connection = context.database()?;
        if merchants::find(&mut connection, self.merchant)?.is_none() {
            return Err(format!("there is no merchant {}", self.merchant).into());
        }
        let report = connection.read(|connection| reports::report(connection, scope, &query))?;
        let report = report.map_err(|error| format!("the report {error}"))?;
        let body = ReportBody::of(&query, &report, self.mode);
        if self.csv {
            return Ok(context
                .output
                .line(body.csv(cells(self.exact)).map_err(|error| error.to_string())?.trim_end())?);
        }
        let owned = Owned { merchant_id: self.merchant.to_string(), mode: self.mode.as_str(), report: &body };
        context.output.show(&owned, || text(&owned))
    }

    const fn wanted(&self) -> Wanted {
        let Self { group_by, from, to, tz, basis, currency, .. } = self;
        Wanted { group_by: *group_by, from: *from, to: *to, zone: *tz, basis: *basis, currency: *currency }
    }

    fn refuse(&self, error: Unanswerable) -> String {
        match error {
            Unanswerable::EmptyRange if self.to.is_none() => "--from must lie before now".to_owned(),
            Unanswerable::EmptyRange => format!("--to {error}"),
            Unanswerable::TooManyPeriods(error) => format!("--group-by {} {error}", self.group_by),
        }
    }
}

/// A line that says what it is, and a table with all rows together at its end.
fn text(owned: &Owned<'_>) -> String {
    let report = owned.report;
    let Owned { merchant_id, mode, .. } = owned;
    let ReportBody { from, to, tz, basis, .. } = report;
    let head = format!("{merchant_id} {mode}  {from} to {to}  tz {tz}  basis {basis}");
    let names = report.header();
    let header = names.iter().map(|name| name.to_uppercase()).collect();
    let keys = report.group_by.len();
    let mut rows: Vec<Vec<String>> = vec![header];
    rows.extend(report.lines().map(|line| with_dashes(line, keys)));
    rows.extend(report.total_lines("TOTAL"));
    for (column, name) in names.iter().enumerate().skip(keys) {
        if *name != "currency" {
            align_right(&mut rows, column);
        }
    }
    format!("{head}\n{}", table(&rows))
}

/// What is credited to no link has a mark, too.
fn with_dashes(mut line: Vec<String>, keys: usize) -> Vec<String> {
    line.iter_mut().take(keys).filter(|cell| cell.is_empty()).for_each(|cell| cell.push('-'));
    line
}

fn align_right(rows: &mut [Vec<String>], column: usize) {
    let width = rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    for cell in rows.iter_mut().filter_map(|row| row.get_mut(column)) {
        *cell = format!("{cell:>width$}");
    }
}
