//! A line of the journal, as text and as JSON.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::cli::output::visible;
use crate::domain::attempt::Journaled;
use crate::domain::instant;

/// The columns and their widths, which hold for lines to come, too. The last one has none.
const COLUMNS: [(&str, usize); 8] = [
    ("TIME", 24),
    ("ATTEMPT", 30),
    ("MERCHANT", 30),
    ("MODE", 4),
    ("ENDPOINT", 20),
    ("ST.", 3),
    ("REASON", 31),
    ("PEER", 15),
];

/// The table's head.
pub fn header() -> String {
    join(&COLUMNS.map(|(name, _)| name.to_owned()), "ORDER")
}

/// The table's row. An outcome that is no refusal stands as its reason; a refused row of a bulk request
/// has its index behind the endpoint.
pub fn row(line: &Journaled) -> String {
    let none = || "-".to_owned();
    let endpoint = match line.place.row {
        Some(row) => format!("{}#{row}", line.endpoint),
        None => line.endpoint.clone(),
    };
    let cells = [
        time(line.started_at),
        line.place.attempt.to_string(),
        line.merchant.map_or_else(none, |merchant| merchant.to_string()),
        line.mode.map_or_else(none, |mode| mode.as_str().to_owned()),
        endpoint,
        line.status.to_string(),
        line.reason.clone(),
        line.peer.clone().unwrap_or_else(none),
    ];
    let order = line.order.as_deref().unwrap_or("-");
    let pointer = line.error_pointer.as_deref().map(|pointer| format!("  {pointer}")).unwrap_or_default();
    // Of a line without this mark the merchant made every word.
    let mark = if line.authenticated { "" } else { "  not authenticated" };
    join(&cells, &format!("{order}{pointer}{mark}"))
}

fn join(cells: &[String], last: &str) -> String {
    let padded = cells.iter().zip(COLUMNS).map(|(cell, (_, width))| format!("{:width$}  ", visible(cell)));
    padded.chain([visible(last).into_owned()]).collect()
}

/// An instant to the millisecond, always of one width.
pub fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The whole line.
pub fn describe(line: &Journaled) -> Value {
    let mut json = json!({
        "attempt_id": line.place.attempt.to_string(),
        "merchant_id": line.merchant.map(|merchant| merchant.to_string()),
        "mode": line.mode.map(|mode| mode.as_str()),
        "started_at": instant::format(line.started_at),
        "endpoint": line.endpoint,
        "peer": line.peer,
        "key_id": line.key_id,
        "request_id": line.request_id,
        "body_sha256": line.body_sha256,
        "body_bytes": line.body_bytes,
        "outcome": line.outcome.as_str(),
        "status": line.status,
        "reason": line.reason,
        "error_pointer": line.error_pointer,
        "order_id": line.order,
        "event_id": line.event.map(|event| event.to_string()),
        "elapsed_us": line.elapsed_us,
        "authenticated": line.authenticated,
    });
    if let (Some(row), Some(object)) = (line.place.row, json.as_object_mut()) {
        object.insert("row".to_owned(), row.into());
    }
    json
}
