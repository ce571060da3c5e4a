//! `GET /api/v1/conversions` (contract section 9).

use actix_web::{HttpRequest, HttpResponse, web};
use uuid::Uuid;

use super::answer::EventBody;
use super::list::{List, Pager};
use crate::domain::attribution::Attribution;
use crate::domain::event::EventName;
use crate::domain::ids::InvalidId;
use crate::http::error::Problem;
use crate::http::extract::{MerchantCall, Query};
use crate::http::state::AppState;
use crate::storage::events::Filter;

/// A page of the merchant's events in the key's mode, newest first.
pub async fn list_conversions(
    request: HttpRequest,
    state: web::Data<AppState>,
    call: MerchantCall,
) -> Result<HttpResponse, Problem> {
    let (merchant, mode) = (call.merchant.id, call.verified.mode());
    let mut query = Query::parse(request.query_string());
    let filter = filter(&mut query);
    let pager = Pager::take(&mut query, &[&merchant.to_string(), mode.as_str(), &format!("{filter:?}")]);
    query.finish()?;
    let mut events = state.ingest.events(merchant, mode, filter, pager.page()).await?;
    let next_cursor = pager.cut(&mut events, |event| event.event_id);
    let data: Vec<_> = events.found.iter().map(EventBody::of).collect();
    Ok(HttpResponse::Ok().json(List::new(data, next_cursor)))
}

fn filter(query: &mut Query) -> Filter {
    let filter = Filter {
        event_name: query.take("event_name", |name| {
            name.parse::<EventName>().map_err(|InvalidId(wanted)| format!("must be {wanted}"))
        }),
        order_id: query.merchants_id("order_id"),
        external_id: query.merchants_id("external_id"),
        url_id: query.take("url_id", |id| Uuid::try_parse(id).map_err(|_| "must be a UUID".to_owned())),
        attribution: query.take("attribution", |status| {
            Attribution::STATUSES
                .into_iter()
                .find(|known| *known == status)
                .ok_or_else(|| format!("must be one of {}", Attribution::STATUSES.join(", ")))
        }),
        occurred_from: query.instant("occurred_from"),
        occurred_to: query.instant("occurred_to"),
        received_from: query.instant("received_from"),
        received_to: query.instant("received_to"),
    };
    query.check_range("occurred_to", (filter.occurred_from, filter.occurred_to));
    query.check_range("received_to", (filter.received_from, filter.received_to));
    filter
}
