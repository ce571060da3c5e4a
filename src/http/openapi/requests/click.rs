//! Clicks (contract section 5).

use serde_json::{Value, json};

use super::{about, object};
use crate::domain::click::DESTINATION_CHARS_MAX;
use crate::http::openapi::values::{Instant, LinkId, MerchantId, nullable, reference};

/// The body that the link shortener sends.
pub fn schemas() -> Vec<(&'static str, Value)> {
    let click = object(
        "A click on a short link. Unknown members are ignored; `null` counts as absent.",
        &["merchant_id", "domain_id", "url_id"],
        [
            (
                "merchant_id",
                about(
                    reference::<MerchantId>(),
                    "Whose link was clicked. A new merchant is known within 5 seconds; a suspended one's clicks are recorded, too.",
                ),
            ),
            ("domain_id", about(reference::<LinkId>(), "The short link's domain. Kept in lower case.")),
            ("url_id", about(reference::<LinkId>(), "The short link. Kept in lower case.")),
            (
                "destination",
                json!({
                    "type": ["string", "null"], "maxLength": DESTINATION_CHARS_MAX,
                    "description": "The landing URL to append the token to, where that is safe. It is not stored but in the \
                        answer that an idempotency key keeps.",
                }),
            ),
            (
                "clicked_at",
                about(
                    nullable::<Instant>(),
                    "When it was clicked: from 1970 to at most 5 minutes in the future; unless given, now. The click keeps \
                     it to the millisecond.",
                ),
            ),
        ],
    );
    vec![("Click", click)]
}
