//! `GET /api/v1/conversions` (contract section 9).

use actix_web::{HttpRequest, HttpResponse, web};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::answer::EventBody;
use super::cursor::QueryTag;
use crate::domain::attribution::Attribution;
use crate::domain::event::EventName;
use crate::domain::ids::{ExternalId, InvalidId};
use crate::http::error::Problem;
use crate::http::extract::{MerchantCall, Query};
use crate::http::openapi::values;
use crate::http::state::AppState;
use crate::storage::events::{Filter, Page};

/// How many items a page has unless told otherwise.
pub const LIMIT_DEFAULT: i64 = 100;
/// The most that a page may have.
pub const LIMIT_MAX: i64 = 500;

/// A page, newest first.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventList")]
pub struct List<'a> {
    data: Vec<EventBody<'a>>,
    /// Give it as `cursor` for the next page, all other parameters as they were; `null` on the last.
    #[schemars(with = "Option<values::Cursor>")]
    next_cursor: Option<String>,
}

/// A page of the merchant's events in the key's mode, newest first.
pub async fn list_conversions(
    request: HttpRequest,
    state: web::Data<AppState>,
    call: MerchantCall,
) -> Result<HttpResponse, Problem> {
    let (merchant, mode) = (call.merchant.id, call.verified.mode());
    let mut query = Query::parse(request.query_string());
    let filter = filter(&mut query);
    let limit = query.take("limit", limit).unwrap_or(LIMIT_DEFAULT);
    let tag = QueryTag::of(&[&merchant.to_string(), mode.as_str(), &format!("{filter:?}")]);
    let before = query.take("cursor", |cursor| tag.read(cursor));
    query.finish()?;
    let mut events = state.ingest.events(merchant, mode, filter, Page { before, limit: limit + 1 }).await?;
    let wanted = usize::try_from(limit).unwrap_or(0);
    let more = events.len() > wanted;
    events.truncate(wanted);
    let next_cursor = events.last().filter(|_| more).map(|last| tag.cursor(last.event_id));
    Ok(HttpResponse::Ok().json(List { data: events.iter().map(EventBody::of).collect(), next_cursor }))
}

fn filter(query: &mut Query) -> Filter {
    let id = |text: &str| match ExternalId::parse(text) {
        Ok(id) => Ok(id.as_str().to_owned()),
        Err(InvalidId(wanted)) => Err(format!("must be {wanted}")),
    };
    let filter = Filter {
        event_name: query.take("event_name", |name| {
            name.parse::<EventName>().map_err(|InvalidId(wanted)| format!("must be {wanted}"))
        }),
        order_id: query.take("order_id", id),
        external_id: query.take("external_id", id),
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

fn limit(text: &str) -> Result<i64, String> {
    text.parse()
        .ok()
        .filter(|limit| (1..=LIMIT_MAX).contains(limit))
        .ok_or_else(|| format!("must be 1 to {LIMIT_MAX}"))
}
