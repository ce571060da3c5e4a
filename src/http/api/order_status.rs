//! `POST /api/v1/order-status` (contract section 6.3).

use actix_web::{HttpRequest, HttpResponse, web};

use super::respond;
use crate::domain::order_status::StatusSource;
use crate::http::error::Problem;
use crate::http::extract::MerchantCall;
use crate::http::state::AppState;

/// Records what an order has come to.
pub async fn report_order_status(
    request: HttpRequest,
    state: web::Data<AppState>,
    call: MerchantCall,
) -> Result<HttpResponse, Problem> {
    let body = call.json_body(&request)?;
    let prepared =
        call.prepare(&request, body, |call| state.ingest.prepare_status(call, StatusSource::Body))?;
    respond(&request, &state, prepared).await
}
