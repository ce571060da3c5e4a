//! An event's story in words.

use chrono::TimeDelta;

use super::story::{EventStory, Kept};
use crate::cli::attempts::time;
use crate::domain::attempt::Journaled;
use crate::domain::attribution::{Attribution, Unattributed};
use crate::domain::event::{EventName, Recorded};
use crate::domain::merchant::AttributionWindow;

/// A line of the story: what it is about, and what there is to say.
pub type Line = (&'static str, String);

/// What the event is, in one line.
pub fn heading(event: &Recorded) -> String {
    let money = event.value.map(|value| format!("{value} {}", value.currency().code()));
    let worth = money.map(|money| format!(", {money}")).unwrap_or_default();
    let order = event.order_id.as_str();
    match event.name {
        EventName::Lead => format!("a lead {order}{worth}"),
        EventName::Sale => format!("a sale, order {order}{worth}"),
        EventName::Refund if event.value.is_none() => format!("a refund of all of order {order}"),
        EventName::Refund => format!("a refund of order {order}{worth}"),
        EventName::Cancellation => format!("the cancellation of order {order}"),
        EventName::Reversal => format!("the reversal of order {order}"),
        EventName::StatusRefund => format!("the refund that the status of order {order} tells"),
    }
}

/// How it came about and what became of it.
pub fn lines(story: &EventStory, window: Option<AttributionWindow>, kept: Kept) -> Vec<Line> {
    let (trail, event) = (&story.trail, &story.trail.recorded);
    let happened = if event.occurred_given {
        format!("{}, as the merchant says", time(event.occurred_at))
    } else {
        format!("{}: the merchant did not say when, so it is the receipt", time(event.occurred_at))
    };
    let mut lines = vec![
        ("happened", happened),
        ("recorded", time(event.received_at)),
        ("brought by", brought_by(story, kept)),
        ("signed by", format!("key {}; {} fitted", trail.key_id, form(&trail.signature_form))),
        ("idempotency", idempotency(story, kept)),
        ("identity", identity(story)),
        ("received", received(event)),
    ];
    lines.extend(attribution(story, window));
    if let Some(at) = event.erased_at {
        lines.push(("erased", format!("{}: what was sent and its metadata are gone", time(at))));
    }
    lines
}

/// What came of it, in a sentence.
pub fn result(event: &Recorded) -> String {
    let what = match event.name {
        EventName::Lead => "The lead",
        EventName::Sale => "The sale",
        EventName::Refund | EventName::StatusRefund => "The refund",
        EventName::Cancellation => "The cancellation",
        EventName::Reversal => "The reversal",
    };
    match &event.attribution {
        Attribution::Attributed(link) => {
            format!("{what} is recorded once and credited to link {}.", link.url_id)
        }
        Attribution::Unattributed(reason) => {
            format!("{what} is recorded once and credited to no link ({}).", reason.as_str())
        }
        Attribution::Inherited => {
            format!(
                "{what} is recorded once and counts where the sale of order {} does.",
                event.order_id.as_str()
            )
        }
    }
}

fn brought_by(story: &EventStory, kept: Kept) -> String {
    match (&story.brought_by, story.trail.attempt) {
        (Some(line), _) => format!(
            "{}: {} at {} from {}, request {}",
            line.place.attempt,
            line.endpoint,
            time(line.started_at),
            line.peer.as_deref().unwrap_or("an unknown address"),
            request_id(line),
        ),
        (None, Some(attempt)) => {
            format!("{attempt}, which is not in the journal any more (kept {} days)", kept.attempt_days)
        }
        (None, None) => "not known: it was recorded before there was a journal".to_owned(),
    }
}

/// A request's id, which an erasure takes away.
pub fn request_id(line: &Journaled) -> &str {
    Some(line.request_id.as_str()).filter(|id| !id.is_empty()).unwrap_or("(erased)")
}

fn form(name: &str) -> String {
    let binds = match name {
        "v1" => "timestamp and body",
        "v2" => "the whole request",
        "standard-webhooks" => "id, timestamp and body",
        _ => "unknown",
    };
    format!("a signature of form {name} ({binds})")
}

fn idempotency(story: &EventStory, kept: Kept) -> String {
    let Some(name) = &story.trail.recorded.idempotency_key else {
        return "it came under no key".to_owned();
    };
    let Some(key) = &story.key else {
        return format!("key {name}, which is forgotten by now (kept {} hours)", kept.key_hours);
    };
    let brought = story.trail.attempt.map(|attempt| attempt.to_string()).unwrap_or_default();
    let claimed_by = key.claimed_by.split('/').next().unwrap_or_default();
    if claimed_by != brought {
        return format!("key {name}, which {claimed_by} has used again since");
    }
    let until = time(key.expires_at);
    match key.times_seen - 1 {
        ..=0 => {
            format!("key {name}, not seen again; until {until} the same is answered by the stored answer")
        }
        repeats => format!(
            "key {name}, seen {} more; what was the same was answered by the stored answer, as it is until {until}",
            times(repeats)
        ),
    }
}

fn identity(story: &EventStory) -> String {
    let (event, own_id) = (&story.trail.recorded, &story.trail.own_id);
    let (name, order) = (event.name.as_str(), event.order_id.as_str());
    match (event.name, own_id.as_str()) {
        (EventName::Refund, "") => format!("the refund of order {order} without external_id: there is one"),
        (EventName::Refund, id) => format!("refund {id} of order {order}: the same id again is a repeat"),
        (EventName::Lead, _) => format!("lead {order}: the same id again is a repeat"),
        _ => format!("the {name} of order {order}: an order has one, another is a repeat"),
    }
}

fn received(event: &Recorded) -> String {
    let repeats = event.times_received - 1;
    if repeats <= 0 {
        return "once".to_owned();
    }
    let differed = match event.times_differed {
        ..=0 => String::new(),
        differed => format!(", {} with other content (the first one stands)", times(differed)),
    };
    format!("{}: {repeats} of them DUPLICATE{differed}", times(event.times_received))
}

fn attribution(story: &EventStory, window: Option<AttributionWindow>) -> Vec<Line> {
    let event = &story.trail.recorded;
    let mut lines = vec![("token", verdict(story)), ("credited to", credit(&event.attribution))];
    let clicked_at = match &event.attribution {
        Attribution::Attributed(link) => Some(link.clicked_at),
        Attribution::Unattributed(_) => story.token.map(|token| token.clicked_at),
        Attribution::Inherited => return lines,
    };
    if let Some(clicked_at) = clicked_at {
        let age = event.occurred_at - clicked_at;
        let side = if age < TimeDelta::zero() { "after" } else { "before" };
        lines.push(("click", format!("{}, {} {side} the event", time(clicked_at), span(age))));
        let now = window.map_or("not known".to_owned(), |window| format!("{} days", window.days()));
        lines.push(("window", format!("{now} at present; the one at the receipt is not recorded")));
    }
    if let Some(late) = story.trail.late_attribution_at {
        lines.push(("late", format!("a repeat at {} brought the token that decided", time(late))));
    }
    lines
}

fn verdict(story: &EventStory) -> String {
    let verdict = match &story.trail.recorded.attribution {
        Attribution::Attributed(_) if story.trail.late_attribution_at.is_some() => "genuine, with a repeat",
        Attribution::Attributed(_) => "genuine",
        Attribution::Inherited if story.token.is_some() => "genuine, kept and not used",
        Attribution::Inherited => "none that would be used",
        Attribution::Unattributed(reason) => match reason {
            Unattributed::NoToken => "none came with it",
            Unattributed::InvalidToken => "not one of ours, or changed on its way",
            Unattributed::WrongMerchant => "genuine, of another merchant's link",
            Unattributed::OutsideWindow => "genuine, of a click longer ago than the merchant's window",
            Unattributed::ClickAfterEvent => "genuine, of a click after the event",
        },
    };
    verdict.to_owned()
}

fn credit(attribution: &Attribution) -> String {
    match attribution {
        Attribution::Attributed(link) => {
            format!("click {}, link {}, domain {}", link.click_id, link.url_id, link.domain_id)
        }
        Attribution::Unattributed(reason) => format!("no link: {}", reason.as_str()),
        Attribution::Inherited => "what its order's sale is credited to".to_owned(),
    }
}

fn times(count: i64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// A length of time: of days with hours, of hours with minutes and seconds.
fn span(length: TimeDelta) -> String {
    let seconds = length.num_seconds().unsigned_abs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    if days > 0 {
        return format!("{days} days {} h", rest / 3_600);
    }
    humantime::format_duration(std::time::Duration::from_secs(rest)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_times_are_told_in_days_as_windows_are() {
        for (seconds, text) in [
            (0, "0s"),
            (-61, "1m 1s"),
            (86_399, "23h 59m 59s"),
            (86_400, "1 days 0 h"),
            (400 * 86_400 + 7_200, "400 days 2 h"),
        ] {
            assert_eq!(span(TimeDelta::seconds(seconds)), text);
        }
    }
}
