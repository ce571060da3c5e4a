//! `conversiond erase`: an order's personal data (contract section 12).

use clap::Args;
use serde_json::{Value, json};

use super::output::table;
use super::{Context, Failure};
use crate::domain::ids::{ExternalId, InvalidId, MerchantId};
use crate::domain::merchant::Mode;
use crate::storage::erasure::{self, Order, Receipt};
use crate::storage::{Connector, merchants};
use crate::telemetry;

#[derive(Debug, Args)]
pub struct Erase {
    /// Whose order it is.
    #[arg(long)]
    merchant: MerchantId,
    /// The order, by the merchant's id; of a lead its `external_id`, else its `order_id`.
    #[arg(long, value_name = "ID", value_parser = order_id)]
    order: ExternalId,
    /// Only of live keys or only of test keys; both, where it is not given.
    #[arg(long, value_name = "live|test")]
    mode: Option<Mode>,
}

impl Erase {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let merchant = self.merchant;
        let mut connection = context.database()?;
        if merchants::find(&mut connection, merchant)?.is_none() {
            return Err(format!("there is no merchant {merchant}").into());
        }
        telemetry::init_logging(&context.config.telemetry)?;
        let modes = self.mode.map_or_else(|| vec![Mode::Live, Mode::Test], |mode| vec![mode]);
        let order = Order { merchant, modes: &modes, order: self.order.as_str() };
        let connector = Connector::new(context.config.database.clone());
        let log = connector.checkpoints();
        let erased = erasure::erase(&mut connection, log, &order, context.now())
            .map_err(|error| format!("{error}; what is done stays done: run it again"))?;
        let receipt = erased.ok_or_else(|| {
            format!(
                "merchant {merchant} has no order {} ({}): nothing was erased",
                order.order,
                named(&modes)
            )
        })?;
        // Without the order's id: whatever the merchant put into it does not belong into a log.
        tracing::info!(
            merchant_id = %merchant,
            events = receipt.events,
            order_statuses = receipt.statuses,
            attempts = receipt.attempts,
            idempotency_keys = receipt.keys,
            "an order's personal data is erased"
        );
        context.output.show(&as_json(&order, &receipt), || as_text(&order, &receipt, connector.is_shared()))
    }
}

fn order_id(text: &str) -> Result<ExternalId, String> {
    ExternalId::parse(text).map_err(|InvalidId(wanted)| format!("must be {wanted}"))
}

fn named(modes: &[Mode]) -> String {
    modes.iter().map(|mode| mode.as_str()).collect::<Vec<_>>().join(" and ")
}

fn as_json(order: &Order<'_>, receipt: &Receipt) -> Value {
    json!({
        "merchant_id": order.merchant.to_string(),
        "order_id": order.order,
        "modes": order.modes.iter().map(|mode| mode.as_str()).collect::<Vec<_>>(),
        "known": { "events": receipt.events_known, "order_statuses": receipt.statuses_known },
        "erased": {
            "events": receipt.events,
            "order_statuses": receipt.statuses,
            "attempts": receipt.attempts,
            "idempotency_keys": receipt.keys,
        },
        "log_left": receipt.log_left,
    })
}

/// Beside a busy service no moment may be found.
const LOG_LEFT: &str = " SQLite's write-ahead log was in use and still has it, until it is written over: erase again \
     to empty it.";

/// PostgreSQL writes a changed row anew. The place of what was there is given to other rows by VACUUM, and
/// to the system by VACUUM FULL alone.
const OLD_ROWS: &str = " PostgreSQL's files and its WAL still have it, after a plain VACUUM as well: VACUUM FULL or pg_repack \
     on events, order_statuses, attempts and idempotency_keys takes it from the files.";

fn as_text(order: &Order<'_>, receipt: &Receipt, is_postgres: bool) -> String {
    let (events, statuses) = (receipt.events_known, receipt.statuses_known);
    let whose = format!("order {} of {}, {}", order.order, order.merchant, named(order.modes));
    let log = match (receipt.log_left, is_postgres) {
        (true, _) => LOG_LEFT,
        (false, true) => OLD_ROWS,
        (false, false) => "",
    };
    if receipt.is_empty() {
        return format!(
            "Nothing is left to erase of {whose}: {events} events and {statuses} order statuses are without \
             personal data.{log}"
        );
    }
    let line = |what: &str, count: usize, of: Option<usize>, gone: &str| {
        let count = of.map_or_else(|| count.to_string(), |of| format!("{count} of {of}"));
        vec![format!("  {what}"), count, gone.to_owned()]
    };
    let lines = table(&[
        line("events", receipt.events, Some(events), "body and metadata erased"),
        line("order statuses", receipt.statuses, Some(statuses), "body, metadata and reason erased"),
        line("journal lines", receipt.attempts, None, "address, request id and digest erased"),
        line("idempotency keys", receipt.keys, None, "deleted with their stored answers"),
    ]);
    format!(
        "Erased the personal data of {whose}:\n{lines}\nIds, amounts, times and counts stay: a repeat is still \
         DUPLICATE. Backups still have what was erased.{log}"
    )
}
