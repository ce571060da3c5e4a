//! Bulk requests (contract 6.2).

use serde_json::{Value, json};

use super::{about, component, object};
use crate::http::openapi::values::{ExternalId, IdempotencyKey, nullable};
use crate::http::state::HttpLimits;

/// The whole request, and one of its rows.
pub fn schemas(limits: &HttpLimits) -> Vec<(&'static str, Value)> {
    let rows = json!({
        "type": "array", "minItems": 1, "maxItems": limits.bulk_rows_max, "items": component("BulkRow"),
        "description": "A row that is not of this form is `REJECTED` by itself; the others go on.",
    });
    let own = object(
        "What a row has besides its event.",
        &[],
        [
            ("client_row_id", about(nullable::<ExternalId>(), "Comes back in the row's result.")),
            (
                "idempotency_key",
                about(
                    nullable::<IdempotencyKey>(),
                    "The row's own key, as the header `Idempotency-Key` is a request's.",
                ),
            ),
        ],
    );
    vec![
        ("BulkRequest", object("Many events, written in one transaction.", &["rows"], [("rows", rows)])),
        (
            "BulkRow",
            json!({
                "description": "An event of either dialect, and two members of the row's own.",
                "allOf": [component("Event"), own],
            }),
        ),
    ]
}
