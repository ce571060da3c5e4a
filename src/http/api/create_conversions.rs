//! `POST /api/v1/conversions/bulk` (contract section 6.2).

use actix_web::{HttpRequest, HttpResponse, web};

use super::respond;
use crate::http::error::Problem;
use crate::http::extract::BulkCall;
use crate::http::state::AppState;

/// Records many events in one transaction; each row has an answer of its own.
pub async fn create_conversions(
    request: HttpRequest,
    state: web::Data<AppState>,
    BulkCall(call): BulkCall,
) -> Result<HttpResponse, Problem> {
    let (body, format) = call.rows_body(&request)?;
    let rows_max = state.limits.bulk_rows_max;
    let prepared = call.prepare(&request, body, |call| state.ingest.prepare_bulk(call, format, rows_max))?;
    respond(&request, &state, prepared).await
}
