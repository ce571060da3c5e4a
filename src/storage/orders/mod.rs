//! Orders, which are no table: each is read off its events (contract section 10).

mod candidates;
mod ledgers;
mod list;
mod load;
mod row;

pub use ledgers::{SaleRow, ledgers, sales_between, sales_of};
pub use list::{Filter, Listed, list};
pub use load::load;

use crate::domain::ids::MerchantId;
use crate::domain::merchant::Mode;
use crate::domain::order::{Order, Timeline};
use crate::storage::{AnyConnection, StoreError};

/// One of a merchant's orders; `None` where leads are all that is known of it.
pub fn find(
    connection: &mut AnyConnection,
    merchant: MerchantId,
    mode: Mode,
    order: &str,
) -> Result<Option<Order>, StoreError> {
    let mut found = load(connection, merchant, mode, &[order], Timeline::MOMENTS_MAX)?;
    Ok(found.orders.remove(order))
}
