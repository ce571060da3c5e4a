//! A story as JSON.

use serde_json::{Value, json};

use super::find::SHOWN_MAX;
use super::story::{EventStory, Story, Subject};
use super::text::results;
use crate::cli::attempts::describe;
use crate::domain::attribution::Attribution;
use crate::domain::ids::ExternalId;
use crate::domain::instant;
use crate::storage::trail::{KeyTrail, StatusTrail};

/// The whole story.
pub fn of(story: &Story) -> Value {
    let (kind, id) = match &story.subject {
        Subject::Event(id) => ("event", id.to_string()),
        Subject::Attempt(id) => ("attempt", id.to_string()),
        Subject::Order(order) => ("order", order.clone()),
    };
    json!({
        "kind": kind,
        "id": id,
        "merchant_id": story.merchant.as_ref().map(|account| account.merchant.id.to_string()),
        "merchant_name": story.merchant.as_ref().map(|account| account.name.as_str()),
        "attribution_window_days": story.merchant.as_ref().map(|account| account.merchant.attribution_window.days()),
        "mode": story.mode.map(|mode| mode.as_str()),
        "order_id": story.order,
        "attempt": story.attempt.iter().map(describe).collect::<Vec<_>>(),
        "events": story.events.iter().map(event).collect::<Vec<_>>(),
        "order_statuses": story.statuses.iter().map(status).collect::<Vec<_>>(),
        "refused_attempts": story.refused.iter().map(describe).collect::<Vec<_>>(),
        "shown_max": SHOWN_MAX,
        "result": results(story),
    })
}

fn event(story: &EventStory) -> Value {
    let (trail, event) = (&story.trail, &story.trail.recorded);
    json!({
        "event_id": event.event_id.to_string(),
        "event_name": event.name.as_str(),
        "order_id": event.order_id.as_str(),
        "own_id": trail.own_id,
        "external_id": event.external_id.as_ref().map(ExternalId::as_str),
        "value": event.value.map(|value| value.to_string()),
        "currency": event.value.map(|value| value.currency().code()),
        "occurred_at": instant::format(event.occurred_at),
        "occurred_at_given": event.occurred_given,
        "received_at": instant::format(event.received_at),
        "key_id": trail.key_id,
        "signature_form": trail.signature_form,
        "attempt_id": trail.attempt.map(|attempt| attempt.to_string()),
        "attempt": story.brought_by.as_ref().map(describe),
        "idempotency_key": event.idempotency_key,
        "idempotency": story.key.as_ref().map(key),
        "times_received": event.times_received,
        "times_differed": event.times_differed,
        "token": story.token.map(|token| json!({
            "merchant_id": token.merchant_id.to_string(),
            "click_id": token.click_id.to_string(),
            "clicked_at": instant::format(token.clicked_at),
        })),
        "attribution": attribution(&event.attribution),
        "late_attribution_at": trail.late_attribution_at.map(instant::format),
        "erased_at": event.erased_at.map(instant::format),
    })
}

fn attribution(attribution: &Attribution) -> Value {
    match attribution {
        Attribution::Attributed(link) => json!({
            "status": attribution.status(),
            "click_id": link.click_id.to_string(),
            "url_id": link.url_id.to_string(),
            "domain_id": link.domain_id.to_string(),
            "clicked_at": instant::format(link.clicked_at),
        }),
        Attribution::Unattributed(reason) => {
            json!({"status": attribution.status(), "reason": reason.as_str()})
        }
        Attribution::Inherited => json!({"status": attribution.status()}),
    }
}

fn key(key: &KeyTrail) -> Value {
    json!({
        "claimed_by": key.claimed_by,
        "status": key.status,
        "created_at": instant::format(key.created_at),
        "expires_at": instant::format(key.expires_at),
        "times_seen": key.times_seen,
    })
}

fn status(status: &StatusTrail) -> Value {
    json!({
        "order_status": status.status,
        "status_updated_at": Some(&status.updated_at).filter(|text| !text.is_empty()),
        "attempt_id": status.attempt,
        "event_id": status.event,
        "received_at": instant::format(status.received_at),
        "reason": status.reason,
        "times_received": status.times_received,
        "erased_at": status.erased_at.map(instant::format),
    })
}
