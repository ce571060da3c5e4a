//! `POST /api/v1/clicks` (contract section 5).

use actix_web::{HttpRequest, HttpResponse, web};

use super::respond;
use crate::http::error::Problem;
use crate::http::extract::OperatorCall;
use crate::http::state::AppState;

/// Mints a click's token and records the click. The 201 is sent only when it is on disk.
pub async fn create_click(
    request: HttpRequest,
    state: web::Data<AppState>,
    call: OperatorCall,
) -> Result<HttpResponse, Problem> {
    let prepared = call.prepare(&request, |call| state.ingest.prepare_click(call))?;
    respond(&request, &state, prepared).await
}
