//! `POST /api/v1/conversions` (contract section 4).

use actix_web::{HttpRequest, HttpResponse, web};

use super::respond;
use crate::http::error::Problem;
use crate::http::extract::MerchantCall;
use crate::http::state::AppState;

/// Records one event. A 202 is sent only when it is on disk.
pub async fn create_conversion(
    request: HttpRequest,
    state: web::Data<AppState>,
    call: MerchantCall,
) -> Result<HttpResponse, Problem> {
    let body = call.json_body(&request)?;
    let prepared = call.prepare(&request, body, |call| state.ingest.prepare_event(call))?;
    respond(&request, &state, prepared).await
}
