//! Reading back: events, orders, and the journal.

use super::Ingest;
use crate::domain::attempt::{Journaled, LinePlace};
use crate::domain::event::Recorded;
use crate::domain::ids::{EventId, ExternalId, MerchantId};
use crate::domain::merchant::Mode;
use crate::domain::order::Order;
use crate::storage::events::{self, Filter};
use crate::storage::orders::{self, Listed};
use crate::storage::{Page, Scan, StoreError, attempts};

impl Ingest {
    /// One of a merchant's events.
    pub async fn event(
        &self,
        merchant: MerchantId,
        mode: Mode,
        event: EventId,
    ) -> Result<Option<Recorded>, StoreError> {
        self.reader.run_for(merchant, move |c| events::find(c, merchant, mode, event)).await
    }

    /// A page of a merchant's events, newest first.
    pub async fn events(
        &self,
        merchant: MerchantId,
        mode: Mode,
        filter: Filter,
        page: Page<EventId>,
    ) -> Result<Scan<Recorded, EventId>, StoreError> {
        self.reader.run_for(merchant, move |c| events::list(c, merchant, mode, &filter, page)).await
    }

    /// One of a merchant's orders.
    pub async fn order(
        &self,
        merchant: MerchantId,
        mode: Mode,
        order: ExternalId,
    ) -> Result<Option<Order>, StoreError> {
        self.reader.run_for(merchant, move |c| orders::find(c, merchant, mode, order.as_str())).await
    }

    /// A page of a merchant's orders, newest first.
    pub async fn orders(
        &self,
        merchant: MerchantId,
        mode: Mode,
        filter: orders::Filter,
        page: Page<EventId>,
    ) -> Result<Scan<Listed, EventId>, StoreError> {
        self.reader.run_for(merchant, move |c| orders::list(c, merchant, mode, filter, page)).await
    }

    /// A page of a merchant's attempts, newest first. The filter holds the mode.
    pub async fn attempts(
        &self,
        merchant: MerchantId,
        filter: attempts::Filter,
        page: Page<LinePlace>,
    ) -> Result<Scan<Journaled, LinePlace>, StoreError> {
        self.reader.run_for(merchant, move |c| attempts::list(c, Some(merchant), &filter, page)).await
    }
}
