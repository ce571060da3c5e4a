//! Headers of requests and of answers.

use serde_json::{Value, json};

use super::values::{IdempotencyKey, reference};

/// Headers of answers, by their names among the components.
pub fn of_answers() -> Vec<(&'static str, Value)> {
    let number = |description: &str, minimum: u8| json!({ "description": description, "schema": { "type": "integer", "minimum": minimum } });
    let text = |description: &str, pattern: &str, example: &str| {
        json!({
            "description": description,
            "schema": { "type": "string", "pattern": pattern, "examples": [example] },
        })
    };
    let always = |mut header: Value| {
        if let Some(header) = header.as_object_mut() {
            header.insert("required".to_owned(), true.into());
        }
        header
    };
    vec![
        (
            "X-Request-ID",
            always(text(
                "The request's id: the caller's, or a fresh one. It stands in the service's log.",
                "^[!-~]{1,128}$",
                "019a65f1c2a37b3e9d6a4f0e8c7b5a21",
            )),
        ),
        (
            "Idempotent-Replayed",
            json!({
                "description": "`true`: this is the stored answer of an earlier request with the same idempotency key.",
                "schema": { "type": "string", "const": "true" },
            }),
        ),
        ("Retry-After", always(number("The seconds after which to send the request again, signed anew.", 1))),
        (
            "X-RateLimit-Limit",
            number(
                "The merchant's requests per second. This and the four below are absent where it has no limit.",
                1,
            ),
        ),
        ("X-RateLimit-Remaining", number("How many requests it may make at once now.", 0)),
        ("X-RateLimit-Reset", number("When it may make all of its burst again, in Unix seconds.", 0)),
        (
            "RateLimit-Policy",
            text(
                "The limit after draft-ietf-httpapi-ratelimit-headers: `q` requests in `w` seconds.",
                "^\"merchant\";q=[0-9]+;w=[0-9]+$",
                "\"merchant\";q=200;w=2",
            ),
        ),
        (
            "RateLimit",
            text(
                "What is left of it: `r` requests; with none left, more in `t` seconds.",
                "^\"merchant\";r=[0-9]+;t=[0-9]+$",
                "\"merchant\";r=199;t=0",
            ),
        ),
        (
            "WWW-Authenticate",
            always(text(
                "What a request must be signed with.",
                "^HMAC-SHA256 ",
                "HMAC-SHA256 realm=\"conversiond\"",
            )),
        ),
        ("Allow", always(text("The methods there are.", "^[A-Z]+(, [A-Z]+)*$", "GET, POST"))),
        ("ETag", always(text("Names this version of the document.", "^\"[0-9a-f]+\"$", "\"3f2a9c0d\""))),
        (
            "Cache-Control",
            always(text("The answer is its caller's alone: nobody keeps it.", "^no-store$", "no-store")),
        ),
        (
            DOCUMENT_CACHE_CONTROL,
            always(text(
                "How long the document may be kept.",
                "^public, max-age=[0-9]+$",
                "public, max-age=300",
            )),
        ),
        (
            "X-Content-Type-Options",
            always(text("The body is what its media type says, and nothing else.", "^nosniff$", "nosniff")),
        ),
        (
            "Content-Disposition",
            text(
                "Of a file, not of JSON: it is to be kept, not shown.",
                "^attachment; filename=\"[a-z.]+\"$",
                "attachment; filename=\"events.csv\"",
            ),
        ),
    ]
}

/// The headers that answers to limited merchants' authentic requests carry.
pub const RATE_LIMIT: [&str; 5] =
    ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Policy", "RateLimit"];

/// The headers that every answer carries.
pub const ALWAYS: [&str; 3] = ["X-Request-ID", "Cache-Control", "X-Content-Type-Options"];

/// `Cache-Control` of the document, in the place of other answers'.
pub const DOCUMENT_CACHE_CONTROL: &str = "Document-Cache-Control";

/// References to headers of answers, for one of them. Of two for one header the last one stands.
pub fn references<'a>(names: impl IntoIterator<Item = &'a str>) -> Value {
    let header = |name| if name == DOCUMENT_CACHE_CONTROL { "Cache-Control" } else { name };
    names
        .into_iter()
        .map(|name| (header(name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") })))
        .collect()
}

/// Headers of requests that several endpoints take, by their names among the components.
pub fn of_requests() -> Vec<(&'static str, Value)> {
    let header = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "header", "description": description, "schema": schema });
    let required = |mut header: Value| {
        if let Some(header) = header.as_object_mut() {
            header.insert("required".to_owned(), true.into());
        }
        header
    };
    let delivery = |required: bool, description: &str| {
        let schema = json!({ "type": "string", "pattern": "^[!-~]{1,255}$" });
        let mut header = header("X-External-Event-Id", description, schema);
        if let (Some(header), true) = (header.as_object_mut(), required) {
            header.insert("required".to_owned(), true.into());
            header.insert("example".to_owned(), "whd-2026-01-15-0001".into());
        }
        header
    };
    vec![
        (
            REQUEST_ID,
            header(
                "X-Request-ID",
                "An id for tracing: at most 128 visible ASCII characters. It is echoed; an unusable one is replaced.",
                json!({ "type": "string" }),
            ),
        ),
        (
            IDEMPOTENCY_KEY,
            header(
                "Idempotency-Key",
                "Names the logical operation. The same key with the same content within 24 hours is answered by the \
                 stored answer, byte for byte; with other content it is `idempotency_key_mismatch`. Only a 2xx is \
                 stored: after a refusal the mended request may come under the same key. With Standard Webhooks headers, \
                 `webhook-id` serves as the key unless one is given. It is part of what v2 signs.",
                reference::<IdempotencyKey>(),
            ),
        ),
        (
            CLICK_KEY,
            required(header(
                "Idempotency-Key",
                "Names the click: a repeat with the same key and content is the same click and gets the same token, byte \
                 for byte, within 24 hours. It is part of what v2 signs. `X-Idempotency-Key` is another name for it.",
                reference::<IdempotencyKey>(),
            )),
        ),
        (
            IDEMPOTENCY_KEY_ALIAS,
            header(
                "X-Idempotency-Key",
                "Another name for `Idempotency-Key`, for clients that know it. Both, differing, is \
                 `idempotency_key_malformed`.",
                reference::<IdempotencyKey>(),
            ),
        ),
        (
            EXTERNAL_EVENT_ID,
            delivery(
                false,
                "The delivery's id in the merchant's system. Part of what v2 signs; without meaning here.",
            ),
        ),
        (
            DELIVERY_ID,
            delivery(
                true,
                "The delivery's id in the merchant's system, unique for ever. The same id with the same topic and body is \
                 a `DUPLICATE`; with another topic or body it is `external_event_id_reused`. Part of what v2 signs.",
            ),
        ),
    ]
}

/// `X-Request-ID`
pub const REQUEST_ID: &str = "RequestId";
/// `Idempotency-Key`
pub const IDEMPOTENCY_KEY: &str = "IdempotencyKey";
/// `Idempotency-Key` of a click.
pub const CLICK_KEY: &str = "ClickKey";
/// `X-Idempotency-Key`
pub const IDEMPOTENCY_KEY_ALIAS: &str = "IdempotencyKeyAlias";
/// `X-External-Event-Id` where it has no meaning of its own.
pub const EXTERNAL_EVENT_ID: &str = "ExternalEventId";
/// `X-External-Event-Id` of a webhook.
pub const DELIVERY_ID: &str = "DeliveryId";

/// A reference to a header of requests.
pub fn parameter(name: &str) -> Value {
    json!({ "$ref": format!("#/components/parameters/{name}") })
}
