//! Events made straight of columns, and as lines of a table: for exports.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{AttributionBody, EventBody, LinkBody, Summary, raw};
use crate::domain::instant;
use crate::domain::merchant::Mode;
use crate::domain::money::Money;
use crate::storage::exports::ExportedEvent;

/// The names of an event's fields in a table: those of its members, with the attribution's before it.
pub const COLUMNS: [&str; 18] = [
    "event_id",
    "event_name",
    "mode",
    "order_id",
    "received_at",
    "attribution",
    "attribution_reason",
    "click_id",
    "url_id",
    "domain_id",
    "clicked_at",
    "external_id",
    "value",
    "currency",
    "occurred_at",
    "times_received",
    "times_differed",
    "metadata",
];

/// Those that are numbers of the service's own.
pub const NUMBERS: [&str; 3] = ["value", "times_received", "times_differed"];

impl<'a> EventBody<'a> {
    /// The whole event as its columns say it; `None` if they say what no event is.
    pub fn of_columns(event: &'a ExportedEvent, mode: Mode) -> Option<Self> {
        let value = match (event.value_minor, &event.currency) {
            (Some(minor), Some(code)) => Some(Money::from_minor(minor, code.parse().ok()?).ok()?),
            _ => None,
        };
        Some(Self {
            event: Summary {
                event_id: event.event_id.as_str().into(),
                event_name: &event.event_name,
                mode: mode.as_str(),
                order_id: &event.order_id,
                received_at: instant::format(event.received_at),
                attribution: AttributionBody::of_columns(event)?,
            },
            external_id: event.external_id.as_deref(),
            value: value.map(|value| value.to_string()),
            currency: value.map(|value| value.currency().code()),
            occurred_at: instant::format(event.occurred_at),
            times_received: event.times_received,
            times_differed: event.times_differed,
            metadata: event.metadata.as_deref().and_then(raw),
        })
    }

    /// Its fields as a line of a table, in the order of [`COLUMNS`]; what is not there is empty. All are text
    /// but [`NUMBERS`].
    pub fn fields(&self) -> [Cow<'_, str>; COLUMNS.len()] {
        let optional = |text: Option<&'a str>| Cow::Borrowed(text.unwrap_or_default());
        let (status, reason, link) = match &self.event.attribution {
            AttributionBody::Attributed(link) => ("attributed", "", Some(link)),
            AttributionBody::Unattributed { reason } => ("unattributed", *reason, None),
            AttributionBody::Inherited => ("inherited", "", None),
        };
        let of_link =
            |read: for<'l> fn(&'l LinkBody<'a>) -> &'l str| Cow::Borrowed(link.map(read).unwrap_or_default());
        [
            Cow::Borrowed(&self.event.event_id),
            self.event.event_name.into(),
            self.event.mode.into(),
            self.event.order_id.into(),
            Cow::Borrowed(&self.event.received_at),
            status.into(),
            reason.into(),
            of_link(|link| &link.click_id),
            of_link(|link| &link.url_id),
            of_link(|link| &link.domain_id),
            of_link(|link| &link.clicked_at),
            optional(self.external_id),
            Cow::Borrowed(self.value.as_deref().unwrap_or_default()),
            optional(self.currency),
            Cow::Borrowed(&self.occurred_at),
            self.times_received.to_string().into(),
            self.times_differed.to_string().into(),
            optional(self.metadata.map(RawValue::get)),
        ]
    }
}

impl<'a> AttributionBody<'a> {
    fn of_columns(event: &'a ExportedEvent) -> Option<Self> {
        match event.attribution.as_str() {
            "attributed" => Some(Self::Attributed(LinkBody {
                click_id: event.click_id.as_deref()?.into(),
                url_id: event.url_id.as_deref()?.into(),
                domain_id: event.domain_id.as_deref()?.into(),
                clicked_at: instant::format(event.clicked_at?.into()),
            })),
            "unattributed" => Some(Self::Unattributed { reason: event.attribution_reason.as_deref()? }),
            "inherited" => Some(Self::Inherited),
            _ => None,
        }
    }
}
