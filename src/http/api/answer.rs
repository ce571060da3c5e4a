//! Events as callers read them (contract sections 4.4 and 9).

use serde::Serialize;
use serde_json::value::RawValue;

use super::words::Told;
use crate::domain::attribution::Attribution;
use crate::domain::event::Recorded;
use crate::domain::ids::ExternalId;
use crate::domain::instant;
use crate::domain::submission::StatusOutcome;
use crate::http::problem_response::ProblemBody;

/// The answer to a callback that is recorded.
#[derive(Serialize)]
pub struct Receipt<'a> {
    status: &'static str,
    #[serde(flatten)]
    event: Summary<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    differs: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_status: Option<StatusWord>,
}

/// What became of a status that an event told.
#[derive(Serialize)]
struct StatusWord {
    status: &'static str,
}

/// The answer to a status.
#[derive(Serialize)]
pub struct StatusReceipt<'a> {
    status: &'static str,
    order_id: &'a str,
    order_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
}

/// One row's part of the answer to a bulk request.
#[derive(Serialize)]
#[serde(untagged)]
pub enum RowResult<'a> {
    /// It was run.
    Done {
        /// Which.
        #[serde(flatten)]
        name: RowName<'a>,
        /// Its answer.
        #[serde(flatten)]
        told: Option<Told<'a>>,
    },
    /// Its key had an answer, which is spliced in as it is stored.
    Replayed(Box<RawValue>),
    /// It was refused.
    Rejected {
        /// Which.
        #[serde(flatten)]
        name: RowName<'a>,
        /// `REJECTED`
        status: &'static str,
        /// Why.
        problem: ProblemBody<'a>,
    },
}

/// Which row a result is about.
#[derive(Serialize)]
pub struct RowName<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_row_id: Option<&'a str>,
    idempotent: bool,
}

/// What receipts and events have in common.
#[derive(Serialize)]
pub struct Summary<'a> {
    event_id: String,
    event_name: &'static str,
    mode: &'static str,
    order_id: &'a str,
    received_at: String,
    attribution: AttributionBody,
}

/// An event as it is read back.
#[derive(Serialize)]
pub struct EventBody<'a> {
    #[serde(flatten)]
    event: Summary<'a>,
    external_id: Option<&'a str>,
    value: Option<String>,
    currency: Option<&'static str>,
    occurred_at: String,
    times_received: i64,
    times_differed: i64,
    metadata: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct AttributionBody {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    link: Option<LinkBody>,
}

#[derive(Serialize)]
struct LinkBody {
    click_id: String,
    url_id: String,
    domain_id: String,
    clicked_at: String,
}

impl<'a> Receipt<'a> {
    /// The answer to the first delivery.
    pub fn accepted(event: &'a Recorded, status: Option<&StatusOutcome>) -> Self {
        let order_status = status.map(StatusWord::of);
        Self { status: ACCEPTED, event: Summary::of(event), differs: None, order_status }
    }

    /// The answer to a repeat: the original's, and in what this one differs from it.
    pub fn duplicate(
        original: &'a Recorded,
        differs: Vec<&'static str>,
        status: Option<&StatusOutcome>,
    ) -> Self {
        let differs = (!differs.is_empty()).then_some(differs);
        let order_status = status.map(StatusWord::of);
        Self { status: DUPLICATE, event: Summary::of(original), differs, order_status }
    }
}

const ACCEPTED: &str = "ACCEPTED";
const DUPLICATE: &str = "DUPLICATE";

impl StatusWord {
    const fn of(outcome: &StatusOutcome) -> Self {
        Self { status: if outcome.accepted { ACCEPTED } else { DUPLICATE } }
    }
}

impl<'a> StatusReceipt<'a> {
    /// The answer to a status, new or known.
    pub fn of(outcome: &'a StatusOutcome) -> Self {
        Self {
            status: StatusWord::of(outcome).status,
            order_id: outcome.order.as_str(),
            order_status: outcome.status.as_str(),
            event_id: outcome.event.map(|event| event.to_string()),
        }
    }
}

impl<'a> RowResult<'a> {
    /// A row that was run.
    pub const fn done(index: usize, client_row_id: Option<&'a str>, told: Option<Told<'a>>) -> Self {
        Self::Done { name: RowName { index, client_row_id, idempotent: false }, told }
    }

    /// A row that was refused.
    pub const fn rejected(index: usize, client_row_id: Option<&'a str>, problem: ProblemBody<'a>) -> Self {
        let name = RowName { index, client_row_id, idempotent: false };
        Self::Rejected { name, status: "REJECTED", problem }
    }

    /// A row whose stored answer, an object, stands for it.
    pub fn replayed(index: usize, client_row_id: Option<&'a str>, stored: &str) -> Self {
        let name = RowName { index, client_row_id, idempotent: true };
        let spliced = serde_json::to_string(&name).ok().and_then(|name| {
            let members = stored.trim_start().strip_prefix('{')?;
            RawValue::from_string(format!("{},{members}", name.strip_suffix('}')?)).ok()
        });
        match spliced {
            Some(spliced) => Self::Replayed(spliced),
            None => Self::Done { name, told: None },
        }
    }
}

impl<'a> Summary<'a> {
    fn of(event: &'a Recorded) -> Self {
        Self {
            event_id: event.event_id.to_string(),
            event_name: event.name.as_str(),
            mode: event.mode.as_str(),
            order_id: event.order_id.as_str(),
            received_at: instant::format(event.received_at),
            attribution: AttributionBody::of(&event.attribution),
        }
    }
}

impl<'a> EventBody<'a> {
    /// The whole event.
    pub fn of(event: &'a Recorded) -> Self {
        Self {
            event: Summary::of(event),
            external_id: event.external_id.as_ref().map(ExternalId::as_str),
            value: event.value.map(|value| value.to_string()),
            currency: event.value.map(|value| value.currency().code()),
            occurred_at: instant::format(event.occurred_at),
            times_received: event.times_received,
            times_differed: event.times_differed,
            metadata: event.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        }
    }
}

impl AttributionBody {
    fn of(attribution: &Attribution) -> Self {
        let (reason, link) = match attribution {
            Attribution::Attributed(link) => (None, Some(link)),
            Attribution::Unattributed(reason) => (Some(reason.as_str()), None),
            Attribution::Inherited => (None, None),
        };
        let link = link.map(|link| LinkBody {
            click_id: link.click_id.to_string(),
            url_id: link.url_id.to_string(),
            domain_id: link.domain_id.to_string(),
            clicked_at: instant::format(link.clicked_at),
        });
        Self { status: attribution.status(), reason, link }
    }
}
