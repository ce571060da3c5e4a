//! Many events in one request (contract 6.2): each row has a fate of its own, all are one transaction.

mod read;

use super::entry::EntryMaker;
use super::{Call, Ingest, IngestError, Prepared};
use crate::domain::event::ParseContext;
use crate::domain::fingerprint::Fingerprint;
use crate::domain::submission::{Claim, Content, Row, RowContent};
use read::{ReadRow, read_row};

pub use read::{BulkFormat, rows_at_most, rows_of};

impl Ingest {
    /// A bulk request of these rows, as [`rows_of`] finds them in its body.
    pub fn prepare_bulk(
        &self,
        call: Call<'_>,
        format: BulkFormat,
        texts: Vec<&[u8]>,
    ) -> Result<Prepared, IngestError> {
        let maker = EntryMaker::new(self, &call)?;
        let context = ParseContext { now: maker.now, default_currency: call.merchant.currency };
        let rows = texts.into_iter().enumerate().map(|(index, text)| {
            let ReadRow { client_row_id, key, callback, order } = read_row(text, &context);
            let content = match callback {
                Err(rejection) => RowContent::Rejected { rejection, order },
                Ok(callback) => {
                    let claim = key.clone().map(|key| Claim {
                        key,
                        fingerprint: Fingerprint::of_event(&callback),
                        id: format!("{}/{index}", call.attempt.id),
                        // It stands in the body, which every form binds.
                        bound: true,
                    });
                    let body = String::from_utf8_lossy(text);
                    // A refund without an id of its own is told from others by the operation that brings
                    // it: the row's, else the whole request's.
                    let key = key.or_else(|| call.idempotency_key.clone());
                    RowContent::Entry { claim, entry: maker.event(callback, &body, key) }
                }
            };
            Row { client_row_id, content }
        });
        let rows = rows.collect();
        let (body, id) = (call.body, call.external_event_id);
        Ok(call.submit(Content::Bulk(rows), || {
            Fingerprint::of_request("conversions/bulk", format.media_type(), id, body)
        }))
    }
}
