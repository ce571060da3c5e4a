//! From what a callback says to what is written.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Call, Ingest};
use crate::domain::attribution::TokenVerdict;
use crate::domain::click_token::TokenRing;
use crate::domain::event::{Callback, Dialect, Recording};
use crate::domain::ids::EventId;
use crate::domain::order_status::StatusReport;
use crate::domain::signature::IdempotencyKey;
use crate::domain::submission::{Entry, StatusRecording};
use crate::storage::StoreError;

/// Makes entries of one request, all at one moment.
pub struct EntryMaker<'a> {
    ingest: &'a Ingest,
    call: &'a Call<'a>,
    ring: TokenRing,
    /// The moment.
    pub now: DateTime<Utc>,
}

impl<'a> EntryMaker<'a> {
    /// For this request.
    pub fn new(ingest: &'a Ingest, call: &'a Call<'a>) -> Result<Self, StoreError> {
        let ring = ingest.keyring.current()?.token_ring.clone();
        Ok(Self { ingest, call, ring, now: call.verified.at() })
    }

    /// The entry of an event, which may tell its order's status too.
    pub fn event(&self, callback: Callback, body: &str, key: Option<IdempotencyKey>) -> Entry {
        let status = callback.order_status.map(|status| StatusReport {
            order: callback.event.order().clone(),
            status,
            updated_at: None,
            reason: None,
            metadata: None,
        });
        let status = status.map(|report| Box::new(self.status_recording(report, body)));
        Entry { event: Some(self.recording(callback, body, key)), status }
    }

    /// The entry of a status.
    pub fn status(&self, report: StatusReport, body: &str) -> Entry {
        Entry { event: None, status: Some(Box::new(self.status_recording(report, body))) }
    }

    fn status_recording(&self, report: StatusReport, body: &str) -> StatusRecording {
        let event = report.status.event(&report.order).map(|event| Callback {
            event,
            dialect: Dialect::Order,
            token: None,
            event_time: report.updated_at,
            metadata: None,
            order_status: None,
        });
        StatusRecording {
            event: event.map(|callback| self.recording(callback, body, None)),
            key_id: self.call.verified.key_id().clone(),
            form: self.call.verified.form(),
            body: body.to_owned(),
            report,
        }
    }

    fn recording(&self, callback: Callback, body: &str, key: Option<IdempotencyKey>) -> Recording {
        let Call { verified, merchant, attempt, .. } = self.call;
        Recording {
            event_id: EventId::generate(self.now, self.ingest.entropy.as_ref()),
            attempt_id: attempt.id,
            merchant: Arc::clone(merchant),
            mode: verified.mode(),
            key_id: verified.key_id().clone(),
            form: verified.form(),
            idempotency_key: key,
            token: TokenVerdict::of(callback.token.as_deref(), &self.ring),
            // From here on the verdict stands for the token.
            callback: Callback { token: None, ..callback },
            body: body.to_owned(),
        }
    }
}

/// A body that was read as JSON: it is UTF-8, and nothing is replaced.
pub fn text_of(body: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(body)
}
