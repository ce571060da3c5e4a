//! What merchants report of their orders' states (contract section 6.3).

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use super::event::{Errors, Event, Fields, Rejection, Reversing, object};
use super::ids::{ExternalId, InvalidId};
use super::json;

/// A state that an order has come to, in the merchant's system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the contract's own")]
pub enum OrderStatus {
    Pending,
    Confirmed,
    Paid,
    Delivered,
    Cancelled,
    Returned,
    Refunded,
    CommissionApproved,
    CommissionRejected,
}

/// A report of an order's state, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReport {
    /// The order.
    pub order: ExternalId,
    /// What it has come to.
    pub status: OrderStatus,
    /// When, by the merchant.
    pub updated_at: Option<DateTime<Utc>>,
    /// Why, in the merchant's words.
    pub reason: Option<String>,
    /// The merchant's object, as sent.
    pub metadata: Option<String>,
}

/// Why a body is no report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusRejection {
    /// As for an event.
    Content(Rejection),
    /// The body's status is not the topic's, or is needed and missing.
    TopicMismatch {
        /// The topic's status.
        topic: OrderStatus,
        /// The body's.
        sent: Option<OrderStatus>,
    },
}

/// Where a report's status is to come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusSource {
    /// `POST /api/v1/order-status`: the body must tell.
    Body,
    /// A webhook's topic tells; if the body does too, it must be the same.
    Topic(OrderStatus),
    /// A webhook's topic that the signature does not bind: the body must say the same.
    UnboundTopic(OrderStatus),
}

/// The longest `reason`, in characters.
pub const REASON_CHARS_MAX: usize = 500;

impl OrderStatus {
    /// Every state, in the contract's order.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Confirmed,
        Self::Paid,
        Self::Delivered,
        Self::Cancelled,
        Self::Returned,
        Self::Refunded,
        Self::CommissionApproved,
        Self::CommissionRejected,
    ];

    /// The state's name in requests, answers and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Paid => "paid",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::Returned => "returned",
            Self::Refunded => "refunded",
            Self::CommissionApproved => "commission_approved",
            Self::CommissionRejected => "commission_rejected",
        }
    }

    /// Whether it takes money back: such a webhook's topic must be bound or said twice.
    pub const fn is_reversing(self) -> bool {
        matches!(self, Self::Cancelled | Self::Returned | Self::Refunded)
    }

    /// The event that an order's coming to this state is, if it is one.
    pub fn event(self, order: &ExternalId) -> Option<Event> {
        let reversing = || Reversing { order: order.clone(), external_id: None };
        match self {
            Self::Cancelled => Some(Event::Cancellation(reversing())),
            Self::Returned | Self::Refunded => Some(Event::StatusRefund(reversing())),
            Self::Pending
            | Self::Confirmed
            | Self::Paid
            | Self::Delivered
            | Self::CommissionApproved
            | Self::CommissionRejected => None,
        }
    }
}

impl FromStr for OrderStatus {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let is_named = |status: &Self| status.as_str().eq_ignore_ascii_case(text);
        let american = text.eq_ignore_ascii_case("canceled").then_some(Self::Cancelled);
        Self::ALL.into_iter().find(is_named).or(american).ok_or(InvalidId(
            "one of pending, confirmed, paid, delivered, cancelled, returned, refunded, commission_approved, \
             commission_rejected",
        ))
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads a report.
pub fn parse(body: &[u8], source: StatusSource, now: DateTime<Utc>) -> Result<StatusReport, StatusRejection> {
    let json =
        json::parse(body).map_err(|error| StatusRejection::Content(Rejection::MalformedJson(error)))?;
    let object = object(&json).map_err(StatusRejection::Content)?;
    let errors = Errors::default();
    let top = Fields::new(Some(object), "", &errors);
    top.required("externalOrderId", "is required");
    let order = top.id("externalOrderId");
    if source == StatusSource::Body {
        top.required("status", "is required");
    }
    let sent = top.order_status("status");
    // Of the order dialect, where the two are one field. A sale that says two things is refused there, too: whoever
    // captured it must not choose what it means by sending it elsewhere.
    let of_a_sale = top.order_status("orderStatus");
    if sent.zip(of_a_sale).is_some_and(|(sent, other)| sent != other) {
        top.error("orderStatus", "conflict", "differs from status");
    }
    let updated_at = top.event_time("statusUpdatedAt", now);
    // Stored with the body, never used.
    top.text("clickId");
    top.text("nim_ct");
    let reason = top.prose("reason", REASON_CHARS_MAX).map(str::to_owned);
    let metadata = top.metadata("metadata");
    let has_status = top.has("status");
    let errors = errors.into_inner();
    let invalid = |errors| Err(StatusRejection::Content(Rejection::Invalid(errors)));
    if !errors.is_empty() {
        return invalid(errors);
    }
    let status = match (source, sent) {
        (StatusSource::Body, Some(status)) => status,
        (StatusSource::Topic(topic), None) if !has_status => topic,
        (StatusSource::Topic(topic) | StatusSource::UnboundTopic(topic), Some(status)) if status == topic => {
            topic
        }
        (StatusSource::Topic(topic) | StatusSource::UnboundTopic(topic), sent) => {
            return Err(StatusRejection::TopicMismatch { topic, sent });
        }
        (StatusSource::Body, None) => return invalid(errors),
    };
    match order {
        Some(order) => Ok(StatusReport { order, status, updated_at, reason, metadata }),
        None => invalid(errors),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, source: StatusSource) -> Result<StatusReport, StatusRejection> {
        parse(body.as_bytes(), source, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn the_topic_gives_the_status_and_an_unbound_reversing_one_must_be_repeated() {
        use OrderStatus::{Paid, Refunded};
        let bare = r#"{"externalOrderId":"A"}"#;
        let refunded = r#"{"externalOrderId":"A","status":"refunded"}"#;
        assert_eq!(read(bare, StatusSource::Topic(Paid)).unwrap().status, Paid);
        assert_eq!(read(refunded, StatusSource::UnboundTopic(Refunded)).unwrap().status, Refunded);
        let mismatch = |topic, sent| Err(StatusRejection::TopicMismatch { topic, sent });
        assert_eq!(read(bare, StatusSource::UnboundTopic(Refunded)), mismatch(Refunded, None));
        assert_eq!(read(refunded, StatusSource::Topic(Paid)), mismatch(Paid, Some(Refunded)));
    }

    #[test]
    fn a_sale_that_says_two_things_is_no_report() {
        let refund =
            |other: &str| format!(r#"{{"externalOrderId":"A","status":"refunded","orderStatus":"{other}"}}"#);
        for source in [StatusSource::Body, StatusSource::UnboundTopic(OrderStatus::Refunded)] {
            assert!(read(&refund("Refunded"), source).is_ok());
            assert!(matches!(
                read(&refund("paid"), source),
                Err(StatusRejection::Content(Rejection::Invalid(_)))
            ));
        }
    }

    #[test]
    fn every_error_is_told_at_once() {
        let body = r#"{"status":"lost","statusUpdatedAt":5,"reason":7,"metadata":[]}"#;
        let Err(StatusRejection::Content(Rejection::Invalid(errors))) = read(body, StatusSource::Body) else {
            panic!()
        };
        let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/externalOrderId", "/status", "/statusUpdatedAt", "/reason", "/metadata"]);
        assert!(errors.iter().any(|error| error.message.contains("commission_rejected")));
    }
}
