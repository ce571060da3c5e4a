//! What a second delivery of an event means (contract section 4.3).

use super::attribution::{Attribution, TokenVerdict, decide_late};
use super::event::{EventName, Part, Recorded, Recording};
use super::json;

/// The judgement over a repeat.
#[derive(Debug, Clone, PartialEq)]
pub enum Repeat {
    /// The same event once more.
    Duplicate {
        /// The parts in which it differs from what is recorded, which stands.
        differs: Vec<Part>,
        /// An attribution that this repeat adds.
        late_attribution: Option<Attribution>,
    },
    /// A refund without an id of its own that may be another refund: it must not vanish.
    RefundIdRequired,
}

/// Compares a repeat with the event recorded.
pub fn judge(recorded: &Recorded, repeat: &Recording) -> Repeat {
    let differs = differences(recorded, repeat);
    if may_be_another_refund(recorded, repeat, &differs) {
        return Repeat::RefundIdRequired;
    }
    let merchant = &repeat.merchant;
    let late_attribution = decide_late(
        &recorded.attribution,
        &repeat.token,
        merchant.id,
        merchant.attribution_window,
        recorded.occurred_at,
    );
    Repeat::Duplicate { differs, late_attribution }
}

fn may_be_another_refund(recorded: &Recorded, repeat: &Recording, differs: &[Part]) -> bool {
    if recorded.name != EventName::Refund || repeat.callback.event.external_id().is_some() {
        return false;
    }
    let other_time = repeat.callback.event_time.is_some_and(|at| at != recorded.occurred_at);
    let other_key = repeat
        .idempotency_key
        .as_ref()
        .is_some_and(|key| recorded.idempotency_key.as_deref() != Some(key.as_str()));
    other_time || other_key || differs.contains(&Part::Value) || differs.contains(&Part::Currency)
}

/// The parts in which the two differ. It is the same list, whichever of the two came first.
///
/// An order that is returned and later refunded tells its one status refund twice, at two times: the
/// timeline has both, and they do not contradict each other.
fn differences(recorded: &Recorded, repeat: &Recording) -> Vec<Part> {
    let callback = &repeat.callback;
    let event = &callback.event;
    let amount = (recorded.value.map(|v| v.minor()), event.value().map(|v| v.minor()));
    let currency = (recorded.value.map(|v| v.currency()), event.value().map(|v| v.currency()));
    let given = recorded.occurred_given.then_some(recorded.occurred_at);
    let parts = [
        (Part::Value, amount.0 != amount.1),
        (Part::Currency, currency.0 != currency.1),
        (Part::EventTime, given != callback.event_time && recorded.name != EventName::StatusRefund),
        (Part::ExternalId, recorded.external_id.as_ref() != event.external_id()),
        (Part::Token, other_click(&recorded.attribution, &repeat.token)),
        (Part::ProductId, recorded.product_id.as_ref() != event.product_id()),
        (Part::CouponCode, recorded.coupon_code.as_ref() != event.coupon_code()),
        (Part::Metadata, other_metadata(recorded, callback.metadata.as_deref())),
    ];
    parts.into_iter().filter(|(_, differs)| *differs).map(|(part, _)| part).collect()
}

/// Only two different clicks differ: a relay that knows no token does not contradict one.
fn other_click(recorded: &Attribution, repeat: &TokenVerdict) -> bool {
    match (recorded, repeat) {
        (Attribution::Attributed(link), TokenVerdict::Genuine(token)) => link.click_id != token.click_id,
        _ => false,
    }
}

/// What was erased contradicts nothing.
fn other_metadata(recorded: &Recorded, repeat: Option<&str>) -> bool {
    match (recorded.metadata.as_deref(), repeat) {
        _ if recorded.erased_at.is_some() => false,
        (None, None) => false,
        (Some(left), Some(right)) => !json::same_value(left, right),
        _ => true,
    }
}
