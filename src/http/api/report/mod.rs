//! `GET /api/v1/reports/attribution` (contract section 12).

mod body;
mod lines;

use std::fmt;
use std::str::FromStr;

use actix_web::http::header::{self, Accept, Header as _};
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};

pub use body::ReportBody;

use crate::domain::event::FieldError;
use crate::domain::ids::InvalidId;
use crate::domain::report::{Basis, Bound, GroupBy, ReportQuery, TooManyRows, Unanswerable, Wanted};
use crate::domain::time::cut_to_micros;
use crate::http::error::{Code, Problem};
use crate::http::extract::{MerchantCall, Query};
use crate::http::state::AppState;

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
}

/// What the merchant's events in the key's mode come to.
pub async fn report_attribution(
    request: HttpRequest,
    state: web::Data<AppState>,
    call: MerchantCall,
) -> Result<HttpResponse, Problem> {
    let (merchant, mode) = (call.merchant.id, call.verified.mode());
    let mut query = Query::parse(request.query_string());
    let format = query.take("format", format).unwrap_or_else(|| accepted(&request));
    let cells = query.cells("safe");
    let asked = asked(&mut query, cut_to_micros(state.ingest.clock.now()));
    query.finish()?;
    let asked = asked.ok_or_else(|| Problem::new(Code::InternalError, "The query cannot be read."))?;
    let (asked, report) = state.ingest.report(merchant, mode, asked).await?.map_err(too_many_rows)?;
    let body = ReportBody::of(&asked, &report, mode);
    match format {
        Format::Json => Ok(HttpResponse::Ok().json(body)),
        Format::Csv => {
            let text = body.csv(cells).map_err(|error| {
                tracing::error!(%error, "a report could not be written as CSV");
                Problem::new(Code::InternalError, "It has been logged. Send it again later.")
            })?;
            let disposition = (header::CONTENT_DISPOSITION, "attachment; filename=\"report.csv\"");
            Ok(HttpResponse::Ok()
                .content_type("text/csv; charset=utf-8")
                .insert_header(disposition)
                .body(text))
        }
    }
}

/// What is asked for; `None` = something is wrong with it, and noted.
fn asked(query: &mut Query, now: DateTime<Utc>) -> Option<ReportQuery> {
    let bound = |text: &str| text.parse::<Bound>().map_err(str::to_owned);
    let wanted = Wanted {
        group_by: query
            .take("group_by", |text| text.parse::<GroupBy>().map_err(|error| error.to_string()))
            .unwrap_or_default(),
        zone: known(query, "tz", "unknown_zone").unwrap_or_default(),
        from: query.take("from", bound),
        to: query.take("to", bound),
        basis: query
            .take("basis", |name| {
                name.parse::<Basis>().map_err(|InvalidId(wanted)| format!("must be {wanted}"))
            })
            .unwrap_or_default(),
        currency: known(query, "currency", "invalid_currency"),
    };
    if query.has_errors() {
        return None;
    }
    match wanted.at(now) {
        Ok(asked) => return Some(asked),
        Err(error @ Unanswerable::EmptyRange) if wanted.to.is_some() => {
            query.error("to", "empty_range", &error.to_string());
        }
        Err(Unanswerable::EmptyRange) => {
            query.error("from", "empty_range", "must lie before the end, which is now unless told otherwise");
        }
        Err(Unanswerable::TooManyPeriods(error)) => {
            query.error("group_by", "too_many_periods", &error.to_string());
        }
    }
    None
}

/// A parameter of which no pattern tells what it may be: its error has a code of its own.
fn known<T: FromStr>(query: &mut Query, name: &str, code: &'static str) -> Option<T>
where
    T::Err: fmt::Display,
{
    let read = query.take(name, |text| Ok(text.parse::<T>()))?;
    read.map_err(|error| query.error(name, code, &error.to_string())).ok()
}

fn format(name: &str) -> Result<Format, String> {
    match name {
        "json" => Ok(Format::Json),
        "csv" => Ok(Format::Csv),
        _ => Err("must be json or csv".to_owned()),
    }
}

/// What the caller likes best of the two; JSON if it does not say.
fn accepted(request: &HttpRequest) -> Format {
    let ranked = Accept::parse(request).map(|accept| accept.ranked()).unwrap_or_default();
    let formats = ranked.iter().filter_map(|range| match range.essence_str() {
        "application/json" | "application/*" | "*/*" => Some(Format::Json),
        "text/csv" | "text/*" => Some(Format::Csv),
        _ => None,
    });
    formats.into_iter().next().unwrap_or(Format::Json)
}

fn too_many_rows(error: TooManyRows) -> Problem {
    let message = error.to_string();
    Problem::invalid(vec![FieldError { pointer: "/group_by".to_owned(), code: "too_many_rows", message }])
}
