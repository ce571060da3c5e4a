//! `GET /api/v1/attempts` (contract section 9).

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::list::{List, Pager};
use crate::domain::attempt::{AttemptOutcome, Journaled};
use crate::domain::ids::InvalidId;
use crate::domain::instant;
use crate::http::error::Problem;
use crate::http::extract::{MerchantCall, Query};
use crate::http::state::AppState;
use crate::storage::attempts::Filter;

/// The longest reason there could be.
const REASON_CHARS_MAX: usize = 64;

/// A line of the journal as callers read it.
#[derive(Serialize)]
struct AttemptBody<'a> {
    attempt_id: String,
    /// Which row of a bulk request was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<u32>,
    started_at: String,
    endpoint: &'a str,
    peer: Option<&'a str>,
    key_id: Option<&'a str>,
    request_id: &'a str,
    body_sha256: Option<&'a str>,
    body_bytes: i64,
    outcome: &'static str,
    status: u16,
    reason: &'a str,
    error_pointer: Option<&'a str>,
    order_id: Option<&'a str>,
    event_id: Option<String>,
    elapsed_us: i64,
}

/// A page of the requests that named the merchant's keys of this mode, newest first.
///
/// Those that were not authentic are among them: who signs with a wrong secret finds out here. A list
/// of one order's attempts goes through the whole time asked for, unless it asks for refused ones.
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
    let data: Vec<_> = attempts.iter().map(AttemptBody::of).collect();
    Ok(HttpResponse::Ok().json(List::new(data, next_cursor)))
}

fn filter(query: &mut Query) -> Filter {
    let filter = Filter {
        mode: None,
        reason: query.take("reason", reason),
        outcome: query.take("outcome", |outcome| {
            outcome.parse::<AttemptOutcome>().map_err(|InvalidId(wanted)| format!("must be {wanted}"))
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
        }
    }
}
