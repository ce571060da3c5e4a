//! The answer to a bulk request (contract section 6.2). Its schema is derived from these structs, too.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::answer::Receipt;
use super::words::Told;
use crate::http::openapi::values;
use crate::http::problem_response::ProblemBody;

/// A row was refused.
pub const REJECTED: &str = "REJECTED";

/// Each row's result, in the order of the rows. All `ACCEPTED` and `DUPLICATE` rows were committed in
/// one transaction before this answer was sent.
#[derive(Serialize, JsonSchema)]
pub struct BulkAnswer<'a> {
    /// How many rows ended how.
    pub summary: BulkSummary,
    /// One result a row.
    pub results: Vec<RowResult<'a>>,
}

/// How many rows ended how; together all of them.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub struct BulkSummary {
    /// Recorded now.
    pub accepted: usize,
    /// Recorded before.
    pub duplicate: usize,
    /// Answered from what their idempotency key had stored.
    pub replayed: usize,
    /// Refused: nothing was recorded of them.
    pub rejected: usize,
}

/// What became of one row.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RowResult<'a> {
    /// The row's event is recorded.
    Done {
        /// Which.
        #[serde(flatten)]
        name: RowName<'a>,
        /// Its answer.
        #[serde(flatten)]
        #[schemars(with = "Receipt<'a>")]
        told: Option<Told<'a>>,
    },
    /// Its key had an answer, which is spliced in as it is stored: in form it is the one above.
    #[schemars(skip)]
    Replayed(Box<RawValue>),
    /// The row was refused. The others went on.
    Rejected {
        /// Which.
        #[serde(flatten)]
        name: RowName<'a>,
        /// `REJECTED`
        #[schemars(with = "values::RejectedWord")]
        status: &'static str,
        /// Why. It is never one that the same row would pass later.
        #[schemars(with = "values::RowProblem")]
        problem: ProblemBody<'a>,
    },
}

/// Which row a result is about.
#[derive(Serialize, JsonSchema)]
pub struct RowName<'a> {
    /// The row's place in the request, from 0.
    index: usize,
    /// The row's `client_row_id`, where it has one that can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::ExternalId")]
    client_row_id: Option<&'a str>,
    /// Whether this result was stored under the row's idempotency key by an earlier request.
    idempotent: bool,
}

impl<'a> RowResult<'a> {
    /// A row that was run.
    pub const fn done(index: usize, client_row_id: Option<&'a str>, told: Option<Told<'a>>) -> Self {
        Self::Done { name: RowName { index, client_row_id, idempotent: false }, told }
    }

    /// A row that was refused.
    pub const fn rejected(index: usize, client_row_id: Option<&'a str>, problem: ProblemBody<'a>) -> Self {
        let name = RowName { index, client_row_id, idempotent: false };
        Self::Rejected { name, status: REJECTED, problem }
    }

    /// A row whose stored answer, an object, stands for it.
    pub fn replayed(index: usize, client_row_id: Option<&'a str>, stored: &str) -> Self {
        let name = RowName { index, client_row_id, idempotent: true };
        let spliced = serde_json::to_string(&name).ok().and_then(|name| {
            let members = stored.trim_start().strip_prefix('{')?;
            RawValue::from_string(format!("{},{members}", name.strip_suffix('}')?)).ok()
        });
        match spliced {
            Some(spliced) => Self::Replayed(spliced),
            None => Self::Done { name, told: None },
        }
    }
}
