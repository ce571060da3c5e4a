//! A story as text for people.

use super::event::{self, Line};
use super::find::SHOWN_MAX;
use super::reasons::meaning;
use super::story::{Kept, Story, Subject};
use crate::cli::attempts::time;
use crate::domain::attempt::Journaled;
use crate::storage::trail::StatusTrail;

/// The whole story.
pub fn of(story: &Story, kept: Kept) -> String {
    let mut parts = vec![heading(story)];
    if !story.attempt.is_empty() {
        parts.push(attempt(&story.attempt));
    }
    let window = story.merchant.as_ref().map(|account| account.merchant.attribution_window);
    for one in &story.events {
        let recorded = &one.trail.recorded;
        let title = format!("{}  {}", recorded.event_id, event::heading(recorded));
        parts.push(block(&title, &event::lines(one, window, kept)));
    }
    if let Some(order) = &story.order {
        if !story.statuses.is_empty() {
            parts.push(list(&format!("Statuses of order {order}"), story.statuses.iter().map(status)));
        }
        if !story.refused.is_empty() {
            let others = if story.attempt.is_empty() { "Refused attempts" } else { "Other refused attempts" };
            // The oldest first, as everything else.
            parts.push(list(
                &format!("{others} that name order {order}"),
                story.refused.iter().rev().map(refused),
            ));
        }
    }
    let most = [story.events.len(), story.statuses.len(), story.refused.len()].into_iter().max();
    if most >= Some(SHOWN_MAX.into()) {
        parts.push(format!("There may be more: {SHOWN_MAX} of each are shown."));
    }
    parts.push(list("Result", results(story).into_iter()));
    parts.join("\n\n")
}

fn heading(story: &Story) -> String {
    let subject = match &story.subject {
        Subject::Event(id) => id.to_string(),
        Subject::Attempt(id) => id.to_string(),
        Subject::Order(order) => format!("Order {order}"),
    };
    let mode = story.mode.map_or("", |mode| mode.as_str());
    match &story.merchant {
        Some(account) => format!("{subject}, {mode}, of {} ({})", account.merchant.id, account.name),
        None => format!("{subject}, of no merchant's key"),
    }
}

fn attempt(lines: &[Journaled]) -> String {
    let Some(first) = lines.first() else { return String::new() };
    let text = |value: &Option<String>, none: &str| value.clone().unwrap_or_else(|| none.to_owned());
    let mut told = vec![
        ("began", time(first.started_at)),
        ("request", format!("{}, request id {}", first.endpoint, event::request_id(first))),
        ("from", text(&first.peer, "an unknown address")),
        ("key named", text(&first.key_id, "none")),
    ];
    told.push(match &first.body_sha256 {
        Some(hash) => ("body", format!("{} bytes, SHA-256 {hash}", first.body_bytes)),
        None if first.request_id.is_empty() => ("body", format!("{} bytes, digest erased", first.body_bytes)),
        None => ("body", "not read".to_owned()),
    });
    if !first.authenticated {
        told.push(("signature", "not right: anybody may have made this request".to_owned()));
    }
    told.push(("order", text(&first.order, "none")));
    if first.place.row.is_none() {
        told.push(("answer", answer(first)));
        told.push(("took", format!("{} ms", first.elapsed_us / 1_000)));
    }
    for row in lines.iter().filter(|line| line.place.row.is_some()) {
        let number = row.place.row.unwrap_or_default();
        let order = row.order.as_deref().map(|order| format!(" (order {order})")).unwrap_or_default();
        told.push(("refused row", format!("{number}{order}: {}", answer(row))));
    }
    block("Attempt", &told)
}

/// Status and reason, with what the reason means.
fn answer(line: &Journaled) -> String {
    let status = match line.status {
        0 => "none".to_owned(),
        status => status.to_string(),
    };
    let at = line.error_pointer.as_deref().map(|pointer| format!(" at {pointer}")).unwrap_or_default();
    let meaning = meaning(&line.reason).map(|meaning| format!(": {meaning}")).unwrap_or_default();
    format!("{status} {}{at}{meaning}", line.reason)
}

fn status(status: &StatusTrail) -> String {
    let mut text = format!("{}  {}, by {}", time(status.received_at), status.status, status.attempt);
    if !status.updated_at.is_empty() {
        text.push_str(&format!(", of {}", status.updated_at));
    }
    if let Some(reason) = &status.reason {
        text.push_str(&format!(", because: {reason:?}"));
    }
    if status.times_received > 1 {
        text.push_str(&format!(", received {} times", status.times_received));
    }
    if let Some(event) = &status.event {
        text.push_str(&format!(", recorded as {event}"));
    }
    if let Some(at) = status.erased_at {
        text.push_str(&format!(", erased {}", time(at)));
    }
    text
}

fn refused(line: &Journaled) -> String {
    let row = line.place.row.map(|row| format!(" row {row}")).unwrap_or_default();
    let peer = line.peer.as_deref().unwrap_or("an unknown address");
    let whose = match (line.authenticated, line.merchant) {
        (false, _) => ", not authenticated",
        (true, None) => ", no merchant's",
        (true, Some(_)) => "",
    };
    let key = line.key_id.as_deref().unwrap_or("none");
    format!(
        "{}  {}{row}  {}  ({} from {peer}, key {key}{whose})",
        time(line.started_at),
        line.place.attempt,
        answer(line),
        line.endpoint
    )
}

/// What came of it all.
pub fn results(story: &Story) -> Vec<String> {
    let mut results: Vec<String> = match (&story.subject, story.attempt.first()) {
        (Subject::Attempt(_), Some(first)) => vec![attempt_result(first, story)],
        _ => story.events.iter().map(|one| event::result(&one.trail.recorded)).collect(),
    };
    if let (true, Some(order)) = (results.is_empty(), &story.order) {
        results.push(match (story.statuses.last(), story.refused.first()) {
            (Some(last), _) => {
                format!("Order {order} has statuses and no event; the last one is {}.", last.status)
            }
            (None, Some(last)) => {
                format!(
                    "Nothing is recorded of order {order}; the last attempt was answered {}.",
                    answer(last)
                )
            }
            (None, None) => format!("Nothing is recorded of order {order}."),
        });
    }
    results
}

fn attempt_result(first: &Journaled, story: &Story) -> String {
    let events: Vec<String> =
        story.events.iter().map(|one| one.trail.recorded.event_id.to_string()).collect();
    let rows = story.attempt.iter().filter(|line| line.place.row.is_some()).count();
    let rows = if rows == 0 { String::new() } else { format!(" Rows refused: {rows}.") };
    let about =
        if events.is_empty() { String::new() } else { format!(" It is about {}.", events.join(", ")) };
    let meaning = meaning(&first.reason).unwrap_or("for a reason without a name");
    match first.outcome.as_str() {
        "refused" => format!("Nothing was recorded: {meaning}.{about}{rows}"),
        word => format!("The request was {word}: {meaning}.{about}{rows}"),
    }
}

fn block(title: &str, lines: &[Line]) -> String {
    let told = lines.iter().map(|(label, text)| format!("  {label:12} {text}"));
    [title.to_owned()].into_iter().chain(told).collect::<Vec<_>>().join("\n")
}

fn list(title: &str, entries: impl Iterator<Item = String>) -> String {
    let entries = entries.map(|entry| format!("  {entry}"));
    [title.to_owned()].into_iter().chain(entries).collect::<Vec<_>>().join("\n")
}
