//! The topics.

use crate::domain::order_status::{OrderStatus, StatusSource};
use crate::domain::signature::Form;

/// What a webhook is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic {
    /// As in the path.
    pub name: &'static str,
    /// What its body is.
    pub kind: Kind,
}

/// What a topic's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A sale in the order dialect.
    Created,
    /// An order's status.
    Status(OrderStatus),
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 6] = [
        Self { name: "order-created", kind: Kind::Created },
        Self { name: "order-paid", kind: Kind::Status(OrderStatus::Paid) },
        Self { name: "order-delivered", kind: Kind::Status(OrderStatus::Delivered) },
        Self { name: "order-cancelled", kind: Kind::Status(OrderStatus::Cancelled) },
        Self { name: "order-returned", kind: Kind::Status(OrderStatus::Returned) },
        Self { name: "order-refunded", kind: Kind::Status(OrderStatus::Refunded) },
    ];

    /// The topic of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name == name)
    }
}

/// Where a delivery's status is to come from: a captured request must not become a refund by being
/// sent to another path.
pub fn source(status: OrderStatus, form: Form) -> StatusSource {
    match form {
        Form::Plain | Form::StandardWebhooks if status.is_reversing() => StatusSource::UnboundTopic(status),
        Form::Plain | Form::StandardWebhooks | Form::Bound => StatusSource::Topic(status),
    }
}
