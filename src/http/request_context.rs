//! What is known of a request on its way, for its log line and its figures.

use actix_web::HttpMessage as _;
use actix_web::http::header::HeaderMap;

use super::quota::Quota;
use crate::domain::ids::uuid_v7;
use crate::domain::time::{Clock, Entropy};

/// The request's id: the caller's, or a fresh one.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// What handlers find out about a request. The middleware logs and counts it.
#[derive(Debug, Clone, Default)]
pub struct CallNotes {
    /// The endpoint's name.
    pub endpoint: Option<&'static str>,
    /// The key that signed.
    pub key_id: Option<String>,
    /// Its merchant.
    pub merchant_id: Option<String>,
    /// The outcome of a success: `accepted`, `duplicate`; else `ok`.
    pub outcome: Option<&'static str>,
    /// The event it is about.
    pub event_id: Option<String>,
    /// What the answer tells of the merchant's rate limit, if it has one.
    pub quota: Option<Quota>,
}

/// The longest id of a caller's that is taken over.
const REQUEST_ID_CHARS_MAX: usize = 128;

impl RequestId {
    /// Takes the caller's id if it is one line of visible ASCII, else makes one.
    pub fn of(headers: &HeaderMap, clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
        let given = headers.get("x-request-id").and_then(|value| value.to_str().ok()).filter(|text| {
            (1..=REQUEST_ID_CHARS_MAX).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        });
        match given {
            Some(id) => Self(id.to_owned()),
            None => Self(uuid_v7(clock.now(), entropy).simple().to_string()),
        }
    }
}

/// Adds to a request's notes.
pub fn note(request: &actix_web::HttpRequest, add: impl FnOnce(&mut CallNotes)) {
    let mut extensions = request.extensions_mut();
    if extensions.get::<CallNotes>().is_none() {
        extensions.insert(CallNotes::default());
    }
    if let Some(notes) = extensions.get_mut::<CallNotes>() {
        add(notes);
    }
}
