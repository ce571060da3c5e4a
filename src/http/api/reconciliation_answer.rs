//! Reconciliations as callers read them (contract section 12).

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::reconciliation::{Difference, Finding, Reconciliation, UnreadableRow};
use crate::http::openapi::values;
use crate::http::problem_response::FieldBody;

/// What differs between the merchant's books and what is recorded.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Reconciliation")]
pub struct ReconciliationBody<'a> {
    summary: SummaryBody,
    /// What differs, at most 100,000: orders that are recorded by when their sale happened, then those
    /// that only the books have, in the books' order.
    differences: Vec<DifferenceBody<'a>>,
    /// How many more differences there are. All of them are in the summary.
    #[schemars(range(min = 0))]
    differences_omitted: u64,
    /// The rows that could not be read, at most 1,000; the rest was compared.
    unreadable: Vec<UnreadableBody<'a>>,
}

/// Counts.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct SummaryBody {
    /// Rows that could be read.
    compared: u64,
    /// Of them, without any difference.
    matched: u64,
    /// Orders that only the books have.
    missing_here: u64,
    /// Orders that only the service has.
    missing_there: u64,
    /// Amounts that differ.
    amount_differs: u64,
    /// Currencies that differ.
    currency_differs: u64,
    /// States that differ.
    state_differs: u64,
    /// Rows that could not be read.
    unreadable: u64,
}

/// Something that differs.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct DifferenceBody<'a> {
    /// The order.
    #[schemars(with = "values::ExternalId")]
    order_id: &'a str,
    #[schemars(with = "values::DifferenceKind")]
    kind: &'static str,
    /// Which of the books' amounts differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    /// What is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    here: Option<String>,
    /// What the books say.
    #[serde(skip_serializing_if = "Option::is_none")]
    there: Option<String>,
    /// Why the order is missing here, where it is known: the newest attempt that was refused, say.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// A row that could not be read.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct UnreadableBody<'a> {
    /// The line in NDJSON and CSV; in JSON the row, from 1.
    #[schemars(range(min = 1))]
    line: u64,
    /// Everything that is wrong with it.
    errors: Vec<FieldBody<'a>>,
}

impl<'a> ReconciliationBody<'a> {
    /// The whole of it.
    pub fn of(found: &'a Reconciliation) -> Self {
        let summary = found.summary;
        Self {
            summary: SummaryBody {
                compared: summary.compared,
                matched: summary.matched,
                missing_here: summary.missing_here,
                missing_there: summary.missing_there,
                amount_differs: summary.amount_differs,
                currency_differs: summary.currency_differs,
                state_differs: summary.state_differs,
                unreadable: summary.unreadable,
            },
            differences: found.differences.iter().map(DifferenceBody::of).collect(),
            differences_omitted: found.omitted,
            unreadable: found.unreadable.iter().map(UnreadableBody::of).collect(),
        }
    }
}

impl<'a> DifferenceBody<'a> {
    fn of(difference: &'a Difference) -> Self {
        let finding = &difference.finding;
        let mut body = Self {
            order_id: difference.order.as_str(),
            kind: finding.kind(),
            field: None,
            here: None,
            there: None,
            reason: None,
        };
        let (here, there) = match finding {
            Finding::MissingThere => return body,
            Finding::MissingHere { reason } => {
                body.reason = reason.as_deref();
                return body;
            }
            Finding::Amount { field, here, there } => {
                body.field = Some(field);
                (here.to_string(), there.text())
            }
            Finding::Currency { here, there } => (here.code().to_owned(), there.code().to_owned()),
            Finding::State { here, there } => (here.as_str().to_owned(), there.as_str().to_owned()),
        };
        (body.here, body.there) = (Some(here), Some(there));
        body
    }
}

impl<'a> UnreadableBody<'a> {
    fn of(row: &'a UnreadableRow) -> Self {
        Self { line: row.line, errors: row.errors.iter().map(FieldBody::of).collect() }
    }
}
