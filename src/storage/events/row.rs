//! An event as columns, there and back.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;

use crate::domain::attribution::{Attribution, Link, Unattributed};
use crate::domain::event::{Recorded, Recording};
use crate::domain::ids::ExternalId;
use crate::domain::money::Money;
use crate::storage::StoreError;
use crate::storage::schema::events;
use crate::storage::time_column::TimeColumn;

/// A new event. The texts are owned where ids are made into text here, once.
pub struct NewRow<'a> {
    pub merchant_id: String,
    pub mode: &'static str,
    pub event_id: String,
    pub event_name: &'static str,
    pub order_id: &'a str,
    pub own_id: &'a str,
    pub external_id: Option<&'a str>,
    pub occurred_at: TimeColumn,
    pub occurred_given: bool,
    pub received_at: TimeColumn,
    pub value_minor: Option<i64>,
    pub currency: Option<&'static str>,
    pub attribution: &'static str,
    pub attribution_reason: Option<&'static str>,
    pub click_id: Option<String>,
    pub url_id: Option<String>,
    pub domain_id: Option<String>,
    pub clicked_at: Option<TimeColumn>,
    pub product_id: Option<&'a str>,
    pub coupon_code: Option<&'a str>,
    pub metadata: Option<&'a str>,
    pub body: Option<&'a str>,
    pub key_id: &'a str,
    pub signature_form: &'static str,
    pub idempotency_key: Option<&'a str>,
    pub times_received: i64,
    pub times_differed: i64,
    pub attempt_id: String,
}

/// The columns of an attribution.
#[derive(AsChangeset)]
#[diesel(table_name = events, treat_none_as_null = true)]
pub struct AttributionColumns {
    pub attribution: &'static str,
    pub attribution_reason: Option<&'static str>,
    pub click_id: Option<String>,
    pub url_id: Option<String>,
    pub domain_id: Option<String>,
    pub clicked_at: Option<NaiveDateTime>,
}

impl AttributionColumns {
    /// The columns that say this.
    pub fn of(attribution: &Attribution) -> Self {
        let (reason, link) = match attribution {
            Attribution::Attributed(link) => (None, Some(link)),
            Attribution::Unattributed(reason) => (Some(reason.as_str()), None),
            Attribution::Inherited => (None, None),
        };
        Self {
            attribution: attribution.status(),
            attribution_reason: reason,
            click_id: link.map(|l| l.click_id.to_string()),
            url_id: link.map(|l| l.url_id.to_string()),
            domain_id: link.map(|l| l.domain_id.to_string()),
            clicked_at: link.map(|l| l.clicked_at.naive_utc()),
        }
    }
}

impl<'a> NewRow<'a> {
    /// The columns of an event that is recorded now.
    pub fn new(recording: &'a Recording, recorded: &'a Recorded) -> Self {
        let text = |id: &'a Option<ExternalId>| id.as_ref().map(ExternalId::as_str);
        let columns = AttributionColumns::of(&recorded.attribution);
        Self {
            merchant_id: recording.merchant.id.to_string(),
            mode: recorded.mode.as_str(),
            event_id: recorded.event_id.to_string(),
            event_name: recorded.name.as_str(),
            order_id: recorded.order_id.as_str(),
            own_id: recording.callback.event.own_id(),
            external_id: text(&recorded.external_id),
            occurred_at: TimeColumn::of(recorded.occurred_at),
            occurred_given: recorded.occurred_given,
            received_at: TimeColumn::of(recorded.received_at),
            value_minor: recorded.value.map(Money::minor),
            currency: recorded.value.map(|value| value.currency().code()),
            attribution: columns.attribution,
            attribution_reason: columns.attribution_reason,
            click_id: columns.click_id,
            url_id: columns.url_id,
            domain_id: columns.domain_id,
            clicked_at: columns.clicked_at.map(TimeColumn::from),
            product_id: text(&recorded.product_id),
            coupon_code: text(&recorded.coupon_code),
            metadata: recorded.metadata.as_deref(),
            body: Some(&recording.body),
            key_id: recording.key_id.as_str(),
            signature_form: recording.form.as_str(),
            idempotency_key: recorded.idempotency_key.as_deref(),
            times_received: 1,
            times_differed: 0,
            attempt_id: recording.attempt_id.to_string(),
        }
    }
}

/// An event as read. Its columns in this order are what every query of events selects.
#[derive(Queryable, Selectable)]
#[diesel(table_name = events)]
pub struct Row {
    pub event_id: String,
    pub mode: String,
    pub event_name: String,
    pub order_id: String,
    pub external_id: Option<String>,
    pub occurred_at: NaiveDateTime,
    pub occurred_given: bool,
    pub received_at: NaiveDateTime,
    pub value_minor: Option<i64>,
    pub currency: Option<String>,
    pub attribution: String,
    pub attribution_reason: Option<String>,
    pub click_id: Option<String>,
    pub url_id: Option<String>,
    pub domain_id: Option<String>,
    pub clicked_at: Option<NaiveDateTime>,
    pub product_id: Option<String>,
    pub coupon_code: Option<String>,
    pub metadata: Option<String>,
    pub idempotency_key: Option<String>,
    pub times_received: i64,
    pub times_differed: i64,
    pub erased_at: Option<NaiveDateTime>,
}

impl Row {
    /// The event that the columns tell of.
    ///
    /// # Errors
    /// When somebody changed the row by hand into what no event is.
    pub fn into_recorded(self) -> Result<Recorded, StoreError> {
        let id = self.event_id.clone();
        self.read().ok_or_else(|| StoreError::Unusable(format!("event {id} in the database is not readable")))
    }

    fn read(self) -> Option<Recorded> {
        let value = match (self.value_minor, &self.currency) {
            (Some(minor), Some(code)) => Some(Money::from_minor(minor, code.parse().ok()?).ok()?),
            _ => None,
        };
        let id = |text: Option<String>| text.map(|text| ExternalId::parse(&text).ok());
        Some(Recorded {
            event_id: self.event_id.parse().ok()?,
            name: self.event_name.parse().ok()?,
            mode: self.mode.parse().ok()?,
            order_id: ExternalId::parse(&self.order_id).ok()?,
            external_id: id(self.external_id.clone()).flatten(),
            value,
            occurred_at: self.occurred_at.and_utc(),
            occurred_given: self.occurred_given,
            received_at: self.received_at.and_utc(),
            attribution: self.attribution()?,
            metadata: self.metadata,
            product_id: id(self.product_id).flatten(),
            coupon_code: id(self.coupon_code).flatten(),
            idempotency_key: self.idempotency_key,
            times_received: self.times_received,
            times_differed: self.times_differed,
            erased_at: self.erased_at.map(|at| at.and_utc()),
        })
    }

    fn attribution(&self) -> Option<Attribution> {
        attribution_of(
            &self.attribution,
            self.attribution_reason.as_deref(),
            (self.click_id.as_deref(), self.url_id.as_deref(), self.domain_id.as_deref(), self.clicked_at),
        )
    }
}

/// The columns of a link: click, short link, domain, instant.
pub type LinkColumns<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<NaiveDateTime>);

/// The attribution that its columns say; `None` = nobody wrote that.
pub fn attribution_of(
    status: &str,
    reason: Option<&str>,
    (click_id, url_id, domain_id, clicked_at): LinkColumns<'_>,
) -> Option<Attribution> {
    match status {
        "inherited" => Some(Attribution::Inherited),
        "unattributed" => Unattributed::from_name(reason?).map(Attribution::Unattributed),
        "attributed" => Some(Attribution::Attributed(Link {
            click_id: click_id?.parse().ok()?,
            url_id: url_id?.parse().ok()?,
            domain_id: domain_id?.parse().ok()?,
            clicked_at: clicked_at?.and_utc(),
        })),
        _ => None,
    }
}

/// An instant as both databases keep it.
pub fn column(at: DateTime<Utc>) -> NaiveDateTime {
    at.naive_utc()
}
