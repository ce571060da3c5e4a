//! `GET /api/v1/orders/{order_id}` (contract sections 9 and 10).

use actix_web::{HttpResponse, web};

use super::order_answer::OrderBody;
use crate::domain::ids::ExternalId;
use crate::http::error::{Code, Problem};
use crate::http::extract::MerchantCall;
use crate::http::state::AppState;

/// One of the merchant's orders in the key's mode, as its events make it. Leads alone make none.
pub async fn get_order(
    state: web::Data<AppState>,
    call: MerchantCall,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let not_found = || Problem::new(Code::NotFound, "There is no such order.");
    let id = ExternalId::parse(&path).map_err(|_| not_found())?;
    let order = state.ingest.order(call.merchant.id, call.verified.mode(), id).await?;
    let order = order.ok_or_else(not_found)?;
    Ok(HttpResponse::Ok().json(OrderBody::of(&order)))
}
