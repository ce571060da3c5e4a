//! `GET /api/v1/conversions/{event_id}` (contract section 9).

use actix_web::{HttpResponse, web};

use super::answer::EventBody;
use crate::http::error::{Code, Problem};
use crate::http::extract::MerchantCall;
use crate::http::state::AppState;

/// One of the merchant's events in the key's mode; anybody else's is not found.
pub async fn get_conversion(
    state: web::Data<AppState>,
    call: MerchantCall,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let not_found = || Problem::new(Code::NotFound, "There is no such event.");
    let id = path.parse().map_err(|_| not_found())?;
    let event = state.ingest.event(call.merchant.id, call.verified.mode(), id).await?;
    let event = event.ok_or_else(not_found)?;
    Ok(HttpResponse::Ok().json(EventBody::of(&event)))
}
