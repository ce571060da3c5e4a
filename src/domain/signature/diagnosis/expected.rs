//! What would have been right.

use super::search::{sent_id, sent_timestamps};
use super::{Case, timestamps};
use crate::domain::signature::{Form, message, sign};

/// A right signature on the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The form: the one that was meant, as far as it may be used.
    pub form: Form,
    /// The exact bytes to sign.
    pub string_to_sign: Vec<u8>,
    /// The headers that carry the signature.
    pub headers: Vec<(&'static str, String)>,
}

/// Signs the request rightly. `fresh` takes the present for the timestamp, else it is the one sent,
/// so that the sender's own log can be compared.
pub fn expected(case: &Case<'_>, meant: Form, fresh: bool) -> Expected {
    // Nothing but v2 is taken on a request without a body.
    let form = if case.body.is_empty() { Form::Bound } else { meant };
    let covered = case.request.covered(case.body);
    let sent = sent_timestamps(case.request, form).first().and_then(|text| timestamps::seconds_of(text));
    let seconds = sent.filter(|_| !fresh).map_or(case.now.timestamp(), |(seconds, _)| seconds);
    let usable = |id: &&str| id.len() <= 255 && id.bytes().all(|b| b.is_ascii_graphic() && b != b'.');
    let id = sent_id(case.request).filter(usable).unwrap_or("msg_1");
    let key_id = case.request.first("X-API-Key").unwrap_or("ak_live_…");
    let nim =
        !case.request.lines("X-Nim-Signature").is_empty() && case.request.lines("X-Signature").is_empty();
    let renamed = |name| match name {
        "X-Timestamp" if nim => "X-Nim-Timestamp",
        "X-Signature" if nim => "X-Nim-Signature",
        name => name,
    };
    let headers = sign(form, key_id, case.secret, seconds, id, &covered);
    Expected {
        form,
        string_to_sign: message(form, &seconds.to_string(), id, &covered),
        headers: headers.into_iter().map(|(name, value)| (renamed(name), value)).collect(),
    }
}
