//! Reading events back.

use super::Ingest;
use crate::domain::event::Recorded;
use crate::domain::ids::{EventId, MerchantId};
use crate::domain::merchant::Mode;
use crate::storage::StoreError;
use crate::storage::events::{self, Filter, Page};

impl Ingest {
    /// One of a merchant's events.
    pub async fn event(
        &self,
        merchant: MerchantId,
        mode: Mode,
        event: EventId,
    ) -> Result<Option<Recorded>, StoreError> {
        self.reader.run(move |c| events::find(c, merchant, mode, event)).await
    }

    /// A page of a merchant's events, newest first.
    pub async fn events(
        &self,
        merchant: MerchantId,
        mode: Mode,
        filter: Filter,
        page: Page,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.reader.run(move |c| events::list(c, merchant, mode, &filter, page)).await
    }
}
