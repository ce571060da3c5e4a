//! `GET /api/v1/attempts` (contract section 9).

use actix_web::{HttpRequest, HttpResponse, web};
use schemars::JsonSchema;
use serde::Serialize;

use super::list::{List, Pager};
use crate::domain::attempt::{AttemptOutcome, Journaled};
use crate::domain::ids::InvalidId;
use crate::domain::instant;
use crate::http::error::Problem;
use crate::http::extract::{MerchantCall, Query};
use crate::http::openapi::values;
use crate::http::state::AppState;
use crate::storage::attempts::Filter;

/// The longest reason there could be.
const REASON_CHARS_MAX: usize = 64;

/// A line of the journal as callers read it: a request, or a refused row of a bulk request.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Attempt")]
pub struct AttemptBody<'a> {
    /// The request.
    #[schemars(with = "values::AttemptId")]
    attempt_id: String,
    /// Which row of a bulk request was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    row: Option<u32>,
    /// When the request's head was there.
    #[schemars(with = "values::UtcInstant")]
    started_at: String,
    /// The endpoint's name.
    endpoint: &'a str,
    /// The client's address, as long as it is kept.
    peer: Option<&'a str>,
    /// The key that the request named.
    key_id: Option<&'a str>,
    /// The request's id, the caller's or the service's; empty where it was erased.
    request_id: &'a str,
    /// The body's SHA-256 in hex, where the body was read and not erased.
    body_sha256: Option<&'a str>,
    /// The body's size, as far as it was read.
    #[schemars(range(min = 0))]
    body_bytes: i64,
    /// How it ended, in one word.
    #[schemars(with = "values::AttemptWord")]
    outcome: &'static str,
    /// The answer's status; 0 when the caller left before it.
    status: u16,
    /// The exact reason: an error code, the reason behind a 401, or the outcome's word.
    reason: &'a str,
    /// Where the first error stands.
    error_pointer: Option<&'a str>,
    /// The order, where one could be read.
    order_id: Option<&'a str>,
    /// The event recorded, or the original.
    #[schemars(with = "Option<values::EventId>")]
    event_id: Option<String>,
    /// Microseconds from the head to the answer, or to the transaction.
    #[schemars(range(min = 0))]
    elapsed_us: i64,
    /// Whether its signature was right, whatever it was refused for afterwards. If not, anybody may have
    /// made it: key, request id and all.
    authenticated: bool,
}

/// A page of the requests that named the merchant's keys of this mode, newest first.
///
/// Those that were not authentic are among them: who signs with a wrong secret finds out here.
pub async fn list_attempts(
    request: HttpRequest,
    state: web::Data<AppState>,
    call: MerchantCall,
) -> Result<HttpResponse, Problem> {
    let (merchant, mode) = (call.merchant.id, call.verified.mode());
    let mut query = Query::parse(request.query_string());
    let filter = Filter { mode: Some(mode), ..filter(&mut query) };
    let pager = Pager::take(&mut query, &["attempts", &merchant.to_string(), &format!("{filter:?}")]);
    query.finish()?;
    let mut attempts = state.ingest.attempts(merchant, filter, pager.page()).await?;
    let next_cursor = pager.cut(&mut attempts, |attempt| attempt.place);
    let data: Vec<_> = attempts.found.iter().map(AttemptBody::of).collect();
    Ok(HttpResponse::Ok().json(List::new(data, next_cursor)))
}

fn filter(query: &mut Query) -> Filter {
    let filter = Filter {
        mode: None,
        reason: query.take("reason", reason),
        outcome: query.take("outcome", |outcome| {
            outcome.parse::<AttemptOutcome>().map_err(|InvalidId(wanted)| format!("must be {wanted}"))
        }),
        authenticated: query.take("authenticated", |text| {
            text.parse::<bool>().map_err(|_| "must be true or false".to_owned())
        }),
        order_id: query.merchants_id("order_id"),
        from: query.instant("from"),
        to: query.instant("to"),
    };
    query.check_range("to", (filter.from, filter.to));
    filter
}

fn reason(text: &str) -> Result<String, String> {
    let fits = (1..=REASON_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if fits { Ok(text.to_owned()) } else { Err("must be a reason, such as SIG_BAD_SIGNATURE".to_owned()) }
}

impl<'a> AttemptBody<'a> {
    fn of(line: &'a Journaled) -> Self {
        Self {
            attempt_id: line.place.attempt.to_string(),
            row: line.place.row,
            started_at: instant::format(line.started_at),
            endpoint: &line.endpoint,
            peer: line.peer.as_deref(),
            key_id: line.key_id.as_deref(),
            request_id: &line.request_id,
            body_sha256: line.body_sha256.as_deref(),
            body_bytes: line.body_bytes,
            outcome: line.outcome.as_str(),
            status: line.status,
            reason: &line.reason,
            error_pointer: line.error_pointer.as_deref(),
            order_id: line.order.as_deref(),
            event_id: line.event.map(|event| event.to_string()),
            elapsed_us: line.elapsed_us,
            authenticated: line.authenticated,
        }
    }
}
