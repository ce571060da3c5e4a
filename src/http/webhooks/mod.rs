//! Merchant webhooks (contract section 6.4).

mod topic;

use actix_web::dev::Payload;
use actix_web::{FromRequest as _, HttpRequest, HttpResponse, web};

use super::api::respond;
use super::error::{Code, Problem};
use super::extract::{MerchantCall, drain};
use super::state::AppState;
pub use topic::{Kind, Topic};

/// Whether there is a topic of this name.
pub fn is_topic(name: &str) -> bool {
    Topic::of(name).is_some()
}

/// Receives one delivery. The same delivery again is a duplicate, whatever it is about.
pub async fn receive(
    request: HttpRequest,
    state: web::Data<AppState>,
    name: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let mut payload = payload.into_inner();
    // An unknown path is told before anything else is looked at (contract section 3).
    let Some(topic) = Topic::of(&name) else {
        drain(&mut payload).await;
        return Err(Problem::new(Code::NotFound, "There is no such topic."));
    };
    deliver(&request, &state, topic, &mut payload).await
}

async fn deliver(
    request: &HttpRequest,
    state: &AppState,
    topic: Topic,
    payload: &mut Payload,
) -> Result<HttpResponse, Problem> {
    let call = MerchantCall::from_request(request, payload).await?;
    let body = call.json_body(request)?;
    let Some(id) = call.external_event_id.as_deref() else {
        let detail = "A webhook needs the header X-External-Event-Id: the delivery's id in your system.";
        return Err(Problem::new(Code::ExternalEventIdMissing, detail));
    };
    let prepared = call.prepare(request, body, |mut call| {
        call.delivery = Some((id, topic.name));
        match topic.kind {
            Kind::Created => state.ingest.prepare_event(call),
            Kind::Status(status) => {
                let source = topic::source(status, call.verified.form());
                state.ingest.prepare_status(call, source)
            }
        }
    })?;
    respond(request, state, prepared).await
}
