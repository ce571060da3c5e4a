//! Orders, which are no table: each is read off its events (contract section 10).

mod candidates;
mod ledgers;
mod list;
mod load;
mod row;

pub use ledgers::{SaleRow, ledgers, sales_between, sales_of};
pub use list::{Filter, Listed, Scan, list};
pub use load::load;

use std::collections::HashMap;

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
    let mut found: HashMap<String, Order> =
        load(connection, merchant, mode, &[order], Timeline::MOMENTS_MAX)?;
    Ok(found.remove(order))
}
