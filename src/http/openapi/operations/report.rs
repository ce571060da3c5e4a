//! `/api/v1/reports/attribution`

use serde_json::{Value, json};

use crate::domain::report::{Dimension, GroupBy, Periods, Report};
use crate::http::api::report::ReportBody;
use crate::http::openapi::examples::reports;
use crate::http::openapi::headers::{REQUEST_ID, parameter};
use crate::http::openapi::operation::{Answer, Content, Operation, Tag};
use crate::http::openapi::problems::Cause;
use crate::http::openapi::values::{Currency, Date, Instant, ReportBasis, reference};
use crate::http::routes;

const ANSWER: &str = "The report.";

/// `GET`
pub fn attribution() -> Operation {
    let content = |media_type, schema, examples| Answer {
        status: 200,
        description: ANSWER,
        headers: &["Content-Disposition"],
        content: Some(Content { media_type, schema, examples }),
    };
    Operation {
        path: routes::REPORT,
        method: "get",
        id: "reportAttribution",
        tag: Tag::Reading,
        summary: "Report what events come to",
        description: format!(
            "Sales and what is taken back of them, leads and clicks, by time and by link, as of one moment. Leads count \
             when they happen and clicks when they are clicked, each by its own link; everything that happens to an \
             order counts for its sale's link, and only where there is a sale. Sums are exact. A report may have {} \
             periods and {} rows.",
            Periods::MAX,
            Report::ROWS_MAX
        ),
        causes: &[Cause::Request, Cause::Signed, Cause::Query],
        parameters: parameters(),
        bodies: Vec::new(),
        answers: vec![
            content("application/json", reference::<ReportBody>(), reports::bodies()),
            content(
                "text/csv",
                json!({
                    "type": "string",
                    "description": "A header, and a line for each row and currency. What is counted stands in the first of \
                                    a row's lines alone, so that every column can be added up.",
                }),
                reports::texts(),
            ),
        ],
    }
}

/// What there is to group by.
fn groupings() -> Vec<String> {
    let names = Dimension::ALL.map(Dimension::as_str);
    let pairs = names.iter().flat_map(|first| names.map(|second| format!("{first},{second}")));
    let all = names.iter().map(|name| (*name).to_owned()).chain(pairs);
    all.filter(|text| text.parse::<GroupBy>().is_ok()).collect()
}

fn parameters() -> Vec<Value> {
    let query = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "query", "description": description, "schema": schema });
    let bound = || json!({ "anyOf": [reference::<Date>(), reference::<Instant>()] });
    vec![
        query(
            "group_by",
            "What rows are told apart by: one or two different ones of `day`, `week`, `month`, `url_id`, \
             `domain_id`, `attribution`, separated by a comma, with one of the three times at most. Rows are sorted \
             in this order.",
            json!({ "type": "string", "enum": groupings(), "default": "day" }),
        ),
        query(
            "from",
            "The beginning: an instant, or a date in `tz`. Without it, such that the report has thirty days, the last \
             one that in which its end lies.",
            bound(),
        ),
        query(
            "to",
            "The end, which is not in the report: an instant, or a date in `tz`. Without it, now.",
            bound(),
        ),
        query(
            "tz",
            "The zone whose days, weeks and months they are: a name of the IANA database.",
            json!({ "type": "string", "default": "UTC", "examples": ["Europe/Paris"] }),
        ),
        query(
            "basis",
            "When what happens to an order counts: with its `sale` (default), or at its own time (`event`).",
            reference::<ReportBasis>(),
        ),
        query(
            "currency",
            "Sales of this currency alone, and what happens to them. Leads and clicks have none: they count all the same, and \
             there is no `conversion_rate`.",
            reference::<Currency>(),
        ),
        query(
            "format",
            "How it is written. Without it `Accept` decides.",
            json!({ "type": "string", "enum": ["json", "csv"], "default": "json" }),
        ),
        query(
            "safe",
            "Of CSV: whether text that a spreadsheet would take for a formula has an apostrophe before it. Without it the \
             text is exact.",
            json!({ "type": "boolean", "default": false }),
        ),
        parameter(REQUEST_ID),
    ]
}
