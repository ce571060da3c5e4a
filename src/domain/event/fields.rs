//! Reading fields out of a JSON object, noting every error on the way instead of stopping at one.

use std::cell::RefCell;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::domain::ids::{ExternalId, InvalidId};
use crate::domain::instant;
use crate::domain::json::{Json, Object};
use crate::domain::money::{Currency, Decimal, Money};
use crate::domain::order_status::OrderStatus;

/// One thing that is wrong with a callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Where (RFC 6901).
    pub pointer: String,
    /// What, for programs.
    pub code: &'static str,
    /// What, for people.
    pub message: String,
}

/// Everything found wrong so far; several readers add to it.
#[derive(Debug, Default)]
pub struct Errors(RefCell<Vec<FieldError>>);

impl Errors {
    /// All of it.
    pub fn into_inner(self) -> Vec<FieldError> {
        self.0.into_inner()
    }
}

/// How far in the future an event may lie.
pub const FUTURE_MAX: TimeDelta = TimeDelta::minutes(5);

/// The largest `metadata`, in bytes as sent.
pub const METADATA_BYTES_MAX: usize = 8 * 1024;

/// Reads the members of one object.
pub struct Fields<'o, 'e> {
    object: Option<&'o Object<'o>>,
    base: &'static str,
    errors: &'e Errors,
}

impl<'o, 'e> Fields<'o, 'e> {
    /// A reader of this object, which stands at `base`. Without an object every field is absent.
    pub fn new(object: Option<&'o Object<'o>>, base: &'static str, errors: &'e Errors) -> Self {
        Self { object, base, errors }
    }

    /// Notes an error at a member.
    pub fn error(&self, name: &str, code: &'static str, message: impl Into<String>) {
        let pointer = format!("{}/{name}", self.base);
        self.errors.0.borrow_mut().push(FieldError { pointer, code, message: message.into() });
    }

    /// Whether the member is there.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<&'o str> {
        match self.get(name)? {
            Json::String(text) => Some(text),
            other => self.wrong_type(name, "a string", other),
        }
    }

    /// An inner object.
    pub fn object(&self, name: &str) -> Option<&'o Object<'o>> {
        match self.get(name)? {
            Json::Object(object) => Some(object),
            other => self.wrong_type(name, "an object", other),
        }
    }

    /// One of the merchant's own ids.
    pub fn id(&self, name: &str) -> Option<ExternalId> {
        let text = self.text(name)?;
        match ExternalId::parse(text) {
            Ok(id) => Some(id),
            Err(error) => {
                let wanted = error.0;
                self.error(name, "invalid_id", format!("must be {wanted}"));
                None
            }
        }
    }

    /// A UUID in its usual form, in either case.
    pub fn uuid(&self, name: &str) -> Option<Uuid> {
        let text = self.text(name)?;
        match Uuid::try_parse(text) {
            // The library takes other forms, too, of other lengths.
            Ok(id) if text.len() == uuid::fmt::Hyphenated::LENGTH => Some(id),
            _ => {
                self.error(name, "invalid_id", "must be a UUID like 0b7d9f2e-5c41-4f0a-9d3e-6a1f2b3c4d5e");
                None
            }
        }
    }

    /// When the event happened.
    pub fn event_time(&self, name: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if let Some(Json::Number(number)) = self.get(name) {
            let hint = instant::unit_hint(number);
            self.error(name, "wrong_type", format!("must be a string, not a number: {hint}"));
            return None;
        }
        let text = self.text(name)?;
        match instant::parse(text) {
            Ok(at) if at > now + FUTURE_MAX => {
                self.error(name, "in_the_future", "lies more than 5 minutes in the future");
                None
            }
            Ok(at) => Some(at),
            Err(error) => {
                self.error(name, "invalid_instant", error.to_string());
                None
            }
        }
    }

    /// What an order has come to.
    pub fn order_status(&self, name: &str) -> Option<OrderStatus> {
        match self.text(name)?.parse() {
            Ok(status) => Some(status),
            Err(InvalidId(wanted)) => {
                self.error(name, "unknown_value", format!("must be {wanted}"));
                None
            }
        }
    }

    /// A text of at most so many characters, without control characters but line breaks and tabs.
    pub fn prose(&self, name: &str, chars_max: usize) -> Option<&'o str> {
        let text = self.text(name)?;
        if text.chars().count() > chars_max {
            self.error(name, "too_long", format!("must not be longer than {chars_max} characters"));
            return None;
        }
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            self.error(name, "invalid_text", "must not hold control characters");
            return None;
        }
        Some(text)
    }

    /// The merchant's own object, as sent.
    pub fn metadata(&self, name: &str) -> Option<String> {
        let text = self.object(name)?.text();
        if text.len() > METADATA_BYTES_MAX {
            self.error(name, "too_long", "must not be longer than 8 KiB");
            return None;
        }
        Some(text.to_owned())
    }

    /// An amount as written: a decimal string or a JSON number.
    pub fn decimal(&self, name: &str) -> Option<Decimal<'o>> {
        let text = match self.get(name)? {
            Json::String(text) => text.as_ref(),
            Json::Number(digits) => digits,
            other => return self.wrong_type(name, "a decimal string or a number", other),
        };
        match Decimal::parse(text) {
            Ok(decimal) => Some(decimal),
            Err(error) => {
                self.error(name, "invalid_amount", error.to_string());
                None
            }
        }
    }

    /// A currency code.
    pub fn currency(&self, name: &str) -> Option<Currency> {
        match self.text(name)?.parse() {
            Ok(currency) => Some(currency),
            Err(error) => {
                let error: crate::domain::money::InvalidCurrency = error;
                self.error(name, "invalid_currency", error.to_string());
                None
            }
        }
    }

    /// An amount at `name` in a currency that is known.
    pub fn money(&self, name: &str, decimal: Decimal<'_>, currency: Currency) -> Option<Money> {
        match Money::from_decimal(decimal, currency) {
            Ok(money) => Some(money),
            Err(error) => {
                self.error(name, "invalid_amount", error.to_string());
                None
            }
        }
    }

    /// Notes that a member must be there, unless it is there and was found wrong.
    pub fn required(&self, name: &str, message: &str) {
        if !self.has(name) {
            self.error(name, "required", message);
        }
    }

    fn get(&self, name: &str) -> Option<&'o Json<'o>> {
        self.object.and_then(|object| object.get(name))
    }

    fn wrong_type<T>(&self, name: &str, wanted: &str, found: &Json<'_>) -> Option<T> {
        self.error(name, "wrong_type", format!("must be {wanted}, not {}", found.type_name()));
        None
    }
}
