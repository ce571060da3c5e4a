//! One event: parse, check the token, make it ready for the writer.

use super::entry::{EntryMaker, text_of};
use super::{Call, Ingest, IngestError, JSON, Prepared};
use crate::domain::event::{self, Dialect, FieldError, ParseContext, Rejection};
use crate::domain::fingerprint::Fingerprint;
use crate::domain::submission::Content;

impl Ingest {
    /// A callback that reports one event.
    pub fn prepare_event(&self, call: Call<'_>) -> Result<Prepared, IngestError> {
        let maker = EntryMaker::new(self, &call)?;
        let context = ParseContext { now: maker.now, default_currency: call.merchant.currency };
        let callback = event::parse(call.body, &context)?;
        if call.delivery.is_some() && callback.dialect != Dialect::Order {
            let message = "is required: this webhook's body is in the order dialect".to_owned();
            let pointer = "/externalOrderId".to_owned();
            return Err(Rejection::Invalid(vec![FieldError { pointer, code: "required", message }]).into());
        }
        // A webhook's topic and delivery id belong to what its key stands for; an event stands alone.
        let fingerprint = match call.delivery {
            Some((id, topic)) => Fingerprint::of_request(topic, JSON, Some(id), call.body),
            None => Fingerprint::of_event(&callback),
        };
        let entry = maker.event(callback, &text_of(call.body), call.idempotency_key.clone());
        Ok(call.submit(Content::One(entry), || fingerprint))
    }
}
