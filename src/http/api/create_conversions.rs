//! `POST /api/v1/conversions/bulk` (contract section 6.2).

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};

use super::respond;
use crate::domain::attempt::Attempt;
use crate::http::error::{Code, Problem};
use crate::http::extract::{BulkCall, MerchantCall, attempt_of};
use crate::http::request_context::note;
use crate::http::state::AppState;
use crate::ingest::{BulkFormat, IngestError, Prepared, rows_at_most, rows_of};
use crate::telemetry::RefusedLabels;

/// A body of more bytes takes longer to read than others may wait for this worker: some 50 µs.
const SHORT: usize = 2_048;

/// How long whoever sends more than its share waits for its refusal. Else a caller that repeats at once
/// would cost more than one that waits.
const REFUSED_AFTER: Duration = Duration::from_secs(1);

/// Records many events in one transaction; each row has an answer of its own.
///
/// One merchant's requests wait for each other here, first come first served, and are read where they
/// keep no worker from its other callers.
pub async fn create_conversions(
    request: HttpRequest,
    state: web::Data<AppState>,
    BulkCall(call): BulkCall,
) -> Result<HttpResponse, Problem> {
    if let Err(problem) = state.rate_limits.admit_rows(&call.merchant, state.ingest.clock.as_ref()) {
        return Err(refuse(&request, &state, call, problem).await);
    }
    let (_, format) = call.rows_body(&request)?;
    let share = match state.bulk_shares.take(call.merchant.id, call.body.len()) {
        Ok(share) => share,
        Err(problem) => return Err(refuse(&request, &state, call, problem).await),
    };
    let _turn = match share.turn(rows_at_most(&call.body)).await {
        Ok(turn) => turn,
        Err(problem) => return Err(refuse(&request, &state, call, problem).await),
    };
    let attempt = attempt_of(&request)?;
    let (_call, prepared) = match call.body.len() <= SHORT {
        true => read(call, attempt, format, &state),
        false => {
            let reader = state.clone();
            state.workbench.run(move || read(call, attempt, format, &reader)).await?
        }
    };
    respond(&request, &state, prepared?).await
}

/// Reads the rows, if the merchant may send so many. The call holds the body's memory.
fn read(
    call: MerchantCall,
    attempt: Attempt,
    format: BulkFormat,
    state: &AppState,
) -> (MerchantCall, Result<Prepared, Problem>) {
    let prepare = || {
        let texts = rows_of(&call.body, format, state.limits.bulk_rows_max).map_err(IngestError::from)?;
        state.rate_limits.spend_rows(&call.merchant, texts.len(), state.ingest.clock.as_ref())?;
        state.daily_quotas.add_rows(&call.merchant, texts.len().saturating_sub(1), state.ingest.clock.now());
        call.prepare_attempt(attempt, &call.body, |call| state.ingest.prepare_bulk(call, format, texts))
    };
    let prepared = prepare();
    (call, prepared)
}

/// Lets go of the body and waits, so that a caller that sends too much is not asked for more at once.
async fn refuse(request: &HttpRequest, state: &AppState, call: MerchantCall, problem: Problem) -> Problem {
    drop(call);
    note(request, |notes| notes.body = None);
    if problem.code == Code::Overloaded {
        let reason =
            if problem.reason == Some("MERCHANT_WAIT") { "merchant_wait" } else { "merchant_bodies" };
        state.metrics.writer.refused.get_or_create(&RefusedLabels { reason }).inc();
    }
    tokio::time::sleep(REFUSED_AFTER).await;
    problem
}
