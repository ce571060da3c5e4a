//! Why an order that the merchant has is missing here.

use std::collections::HashMap;

use super::Period;
use crate::domain::attempt::{AttemptOutcome, Journaled};
use crate::domain::ids::MerchantId;
use crate::domain::instant;
use crate::domain::merchant::Mode;
use crate::domain::reconciliation::Row;
use crate::storage::attempts::{self, Filter};
use crate::storage::orders::{SaleRow, ledgers, sales_of};
use crate::storage::{AnyConnection, Page, StoreError};

/// For how many orders the journal is asked: each is a query of its own.
const JOURNAL_ORDERS_MAX: usize = 1_000;

/// A reason for each row, as far as one is known.
pub fn of_missing(
    connection: &mut AnyConnection,
    merchant: MerchantId,
    mode: Mode,
    period: Period,
    missing: &[&Row],
) -> Result<Vec<Option<String>>, StoreError> {
    let orders: Vec<&str> = missing.iter().map(|row| row.order.as_str()).collect();
    let mut sales: HashMap<String, SaleRow> = HashMap::new();
    for sale in sales_of(connection, merchant, &orders)? {
        // The mode's own sale tells more than the other mode's.
        if sale.mode == mode.as_str() || !sales.contains_key(&sale.order_id) {
            sales.insert(sale.order_id.clone(), sale);
        }
    }
    let ledgers = ledgers(connection, merchant, mode, &orders)?;
    let mut asked = 0;
    let mut reasons = Vec::with_capacity(orders.len());
    for order in orders {
        let sale = sales.get(order);
        let outside = sale.filter(|sale| sale.mode == mode.as_str()).map(|sale| outside(sale, period));
        let refused = match outside {
            None if asked < JOURNAL_ORDERS_MAX => {
                asked += 1;
                refused(connection, merchant, mode, order)?
            }
            _ => None,
        };
        let reversed = || {
            let is_order = ledgers.get(order).is_some_and(|ledger| ledger.is_order());
            is_order.then(|| "what takes its sale back is recorded, the sale is not".to_owned())
        };
        let elsewhere =
            || sale.map(|sale| format!("its sale is recorded in {} mode as {}", sale.mode, sale.event_id));
        reasons.push(outside.or(refused).or_else(elsewhere).or_else(reversed));
    }
    Ok(reasons)
}

fn outside(sale: &SaleRow, (from, to): Period) -> String {
    format!(
        "its sale {} happened at {}, outside {} to {}",
        sale.event_id,
        instant::format(sale.occurred_at.and_utc()),
        instant::format(from),
        instant::format(to)
    )
}

/// The newest attempt of the merchant's that names the order and was refused. What somebody else made up is
/// no reason.
fn refused(
    connection: &mut AnyConnection,
    merchant: MerchantId,
    mode: Mode,
    order: &str,
) -> Result<Option<String>, StoreError> {
    let filter = Filter {
        mode: Some(mode),
        outcome: Some(AttemptOutcome::Refused),
        authenticated: Some(true),
        order_id: Some(order.to_owned()),
        ..Filter::default()
    };
    let newest = Page { before: None, limit: 1 };
    let found = attempts::list(connection, Some(merchant), &filter, newest)?;
    Ok(found.found.first().map(sentence))
}

fn sentence(line: &Journaled) -> String {
    let row = line.place.row.map(|row| format!(" row {row}")).unwrap_or_default();
    let pointer = line.error_pointer.as_deref().map(|pointer| format!(" {pointer}")).unwrap_or_default();
    format!(
        "attempt {}{row} was refused {} {}{pointer} at {}",
        line.place.attempt,
        line.status,
        line.reason,
        instant::format(line.started_at)
    )
}
