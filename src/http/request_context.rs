//! What is known of a request on its way, for its log line and its figures.

use std::cell::RefCell;
use std::rc::Rc;

use actix_web::HttpMessage as _;
use actix_web::http::header::HeaderMap;
use actix_web::web::Bytes;

use super::quota::Quota;
use crate::domain::attempt::Attempt;
use crate::domain::ids::{ExternalId, MerchantId, uuid_v7};
use crate::domain::signature::Forms;
use crate::domain::time::{Clock, Entropy};

/// The request's id: the caller's, or a fresh one.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// What handlers find out about a request. The middleware logs, counts and journals it.
#[derive(Debug, Clone, Default)]
pub struct CallNotes {
    /// The endpoint's name.
    pub endpoint: Option<&'static str>,
    /// The forms of signature that the endpoint takes.
    pub forms: Forms,
    /// The key that signed.
    pub key_id: Option<String>,
    /// Its merchant.
    pub merchant_id: Option<MerchantId>,
    /// The outcome of a success: `accepted`, `duplicate`, `replayed`; else `ok`.
    pub outcome: Option<&'static str>,
    /// The event it is about.
    pub event_id: Option<String>,
    /// What the answer tells of the merchant's rate limit, if it has one.
    pub quota: Option<Quota>,
    /// The order it is about, where one could be read.
    pub order: Option<ExternalId>,
    /// The journal's view of a request to a writing endpoint.
    pub attempt: Option<Attempt>,
    /// The body, where it was read.
    pub body: Option<Bytes>,
}

/// A request's notes, shared by its handler and the middleware around it.
#[derive(Clone, Default)]
pub struct Notes(Rc<RefCell<CallNotes>>);

impl Notes {
    /// Adds to them. Nobody keeps them borrowed, so this always can.
    pub fn add(&self, add: impl FnOnce(&mut CallNotes)) {
        if let Ok(mut notes) = self.0.try_borrow_mut() {
            add(&mut notes);
        }
    }

    /// The forms of signature that the endpoint takes.
    pub fn forms(&self) -> Forms {
        self.0.try_borrow().map(|notes| notes.forms).unwrap_or_default()
    }

    /// What they hold now.
    pub fn read(&self) -> CallNotes {
        self.0.try_borrow().map(|notes| notes.clone()).unwrap_or_default()
    }
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
    if let Some(notes) = request.extensions().get::<Notes>() {
        notes.add(add);
    }
}

/// What is noted of a request now.
pub fn noted(request: &actix_web::HttpRequest) -> CallNotes {
    request.extensions().get::<Notes>().map(Notes::read).unwrap_or_default()
}
