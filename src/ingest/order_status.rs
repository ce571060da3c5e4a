//! An order's status (contract 6.3), told by the merchant's backend or its webhooks.

use super::entry::{EntryMaker, text_of};
use super::{Call, Ingest, IngestError, JSON, Prepared};
use crate::domain::fingerprint::Fingerprint;
use crate::domain::order_status::{self, StatusSource};
use crate::domain::submission::Content;

impl Ingest {
    /// A report of one order's status.
    pub fn prepare_status(&self, call: Call<'_>, source: StatusSource) -> Result<Prepared, IngestError> {
        let maker = EntryMaker::new(self, &call)?;
        let report = order_status::parse(call.body, source, maker.now)?;
        let entry = maker.status(report, &text_of(call.body));
        let (body, id) = (call.body, call.external_event_id);
        let endpoint = call.delivery.map_or("order-status", |(_, topic)| topic);
        Ok(call.submit(Content::One(entry), || Fingerprint::of_request(endpoint, JSON, id, body)))
    }
}
