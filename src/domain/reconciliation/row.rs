//! A row of a merchant's books.

use crate::domain::event::{Errors, FieldError, Fields, Rejection, object};
use crate::domain::ids::ExternalId;
use crate::domain::json;
use crate::domain::money::{Currency, Decimal, Money, Total};
use crate::domain::order::State;

/// The longest row written as JSON, in bytes: as long as a single callback.
pub const ROW_BYTES_MAX: usize = 65_536;

/// What the merchant says of an order; what it leaves out is not compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Where it stands, from 1; a line of a file.
    pub line: u64,
    /// The order.
    pub order: ExternalId,
    /// What was sold.
    pub value: Option<Amount>,
    /// What remains of it.
    pub net: Option<Amount>,
    /// The currency of both.
    pub currency: Option<Currency>,
    /// In one word.
    pub state: Option<State>,
}

/// An amount, whose currency may be left to what is recorded.
#[derive(Debug, Clone, PartialEq)]
pub enum Amount {
    /// With its currency.
    Money(Money),
    /// A decimal.
    Decimal(String),
}

impl Amount {
    /// Whether it is the same as what is recorded.
    pub fn is(&self, recorded: Total) -> bool {
        let money = match self {
            Self::Money(money) => Some(*money),
            // What has more decimals than the currency is another amount, unless they are zeros.
            Self::Decimal(text) => {
                let recorded = recorded.to_string();
                return match (Decimal::parse(text), Decimal::parse(&recorded)) {
                    (Ok(told), Ok(recorded)) => told.same_number(recorded),
                    _ => false,
                };
            }
        };
        money.is_some_and(|money| Total::from(money) == recorded)
    }

    /// As text, without a currency.
    pub fn text(&self) -> String {
        match self {
            Self::Money(money) => money.to_string(),
            Self::Decimal(text) => text.clone(),
        }
    }
}

/// A row that could not be read, and every reason.
#[derive(Debug, Clone, PartialEq)]
pub struct UnreadableRow {
    /// Where it stands, from 1; a line of a file.
    pub line: u64,
    /// Its order, if that could be told.
    pub order: Option<ExternalId>,
    /// Why.
    pub errors: Vec<FieldError>,
}

/// Reads a row that is written as a JSON object.
///
/// # Errors
/// With all that is wrong with it.
pub fn read_row(line: u64, text: &[u8]) -> Result<Row, UnreadableRow> {
    parse(line, text).map_err(|errors| {
        let order = json::text_in(text, "order_id").and_then(|order| ExternalId::parse(&order).ok());
        UnreadableRow { line, order, errors }
    })
}

fn parse(line: u64, text: &[u8]) -> Result<Row, Vec<FieldError>> {
    // Read whole, a row takes many times its length in memory.
    if text.len() > ROW_BYTES_MAX {
        return Err(vec![super::error("", "too_long", format!("may hold {ROW_BYTES_MAX} bytes"))]);
    }
    let not_json = |message: String| vec![super::error("", "malformed_json", message)];
    let json = json::parse(text).map_err(|error| not_json(error.to_string()))?;
    let object = object(&json).map_err(|rejection| match rejection {
        Rejection::Invalid(errors) => errors,
        Rejection::MalformedJson(error) => not_json(error.to_string()),
    })?;
    let errors = Errors::default();
    let fields = Fields::new(Some(object), "", &errors);
    fields.required("order_id", "is required");
    let order = fields.id("order_id");
    let currency = fields.currency("currency");
    let amount = |name| {
        let decimal = fields.decimal(name)?;
        match currency {
            Some(currency) => fields.money(name, decimal, currency).map(Amount::Money),
            None => Some(Amount::Decimal(decimal.to_string())),
        }
    };
    let (value, net) = (amount("value"), amount("net"));
    let state = fields.text("state").and_then(|name| {
        let state = State::from_name(name);
        if state.is_none() {
            let known = State::ALL.map(State::as_str).join(", ");
            fields.error("state", "unknown_value", format!("must be one of {known}"));
        }
        state
    });
    let errors = errors.into_inner();
    match order {
        Some(order) if errors.is_empty() => Ok(Row { line, order, value, net, currency, state }),
        _ => Err(errors),
    }
}
