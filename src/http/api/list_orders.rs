//! `GET /api/v1/orders` (contract sections 9 and 10).

use actix_web::{HttpRequest, HttpResponse, web};
use uuid::Uuid;

use super::list::{List, Pager};
use super::order_answer::OrderBody;
use crate::domain::order::{Flag, State};
use crate::http::error::Problem;
use crate::http::extract::{MerchantCall, Query};
use crate::http::state::AppState;
use crate::storage::orders::Filter;

/// A page of the merchant's orders in the key's mode, newest first.
pub async fn list_orders(
    request: HttpRequest,
    state: web::Data<AppState>,
    call: MerchantCall,
) -> Result<HttpResponse, Problem> {
    let (merchant, mode) = (call.merchant.id, call.verified.mode());
    let mut query = Query::parse(request.query_string());
    let filter = filter(&mut query);
    let parts = ["orders", &merchant.to_string(), mode.as_str(), &format!("{filter:?}")];
    let pager = Pager::take(&mut query, &parts);
    query.finish()?;
    let mut found = state.ingest.orders(merchant, mode, filter, pager.page()).await?;
    let next_cursor = pager.cut(&mut found, |listed| listed.place);
    let data: Vec<_> = found.found.iter().map(|listed| OrderBody::of(&listed.order)).collect();
    Ok(HttpResponse::Ok().json(List::new(data, next_cursor)))
}

fn filter(query: &mut Query) -> Filter {
    let one_of = |names: &[&str]| format!("must be one of {}", names.join(", "));
    Filter {
        state: query.take("state", |name| {
            State::from_name(name).ok_or_else(|| one_of(&State::ALL.map(State::as_str)))
        }),
        flag: query
            .take("flag", |name| Flag::from_name(name).ok_or_else(|| one_of(&Flag::ALL.map(Flag::as_str)))),
        url_id: query.take("url_id", |id| Uuid::try_parse(id).map_err(|_| "must be a UUID".to_owned())),
    }
}
