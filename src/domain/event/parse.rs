//! From bytes to a callback: one pass that finds every error.

use chrono::{DateTime, Utc};

use super::fields::{Errors, FieldError, Fields};
use super::{Callback, canonical, order_dialect};
use crate::domain::json::{self, Json, JsonError, Object};
use crate::domain::money::Currency;

/// What parsing depends on besides the bytes.
#[derive(Debug, Clone, Copy)]
pub struct ParseContext {
    /// The present, for events in the future.
    pub now: DateTime<Utc>,
    /// The merchant's currency, for the order dialect.
    pub default_currency: Option<Currency>,
}

/// Why a body is no callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// 400: no strict JSON.
    MalformedJson(JsonError),
    /// 422: JSON that says something wrong; all that is wrong.
    Invalid(Vec<FieldError>),
}

impl Rejection {
    /// Where the first error stands.
    pub fn first_pointer(&self) -> Option<&str> {
        match self {
            Self::MalformedJson(_) => None,
            Self::Invalid(errors) => errors.first().map(|error| error.pointer.as_str()),
        }
    }
}

/// Reads the text of a callback of either dialect.
pub fn parse(body: &[u8], context: &ParseContext) -> Result<Callback, Rejection> {
    let json = json::parse(body).map_err(Rejection::MalformedJson)?;
    read(object(&json)?, context)
}

/// The object that a body must be.
pub fn object<'j, 'a>(json: &'j Json<'a>) -> Result<&'j Object<'a>, Rejection> {
    match json {
        Json::Object(object) => Ok(object),
        other => {
            let message = format!("must be an object, not {}", other.type_name());
            let pointer = String::new();
            Err(Rejection::Invalid(vec![FieldError { pointer, code: "wrong_type", message }]))
        }
    }
}

/// Reads a callback of either dialect.
pub fn read(object: &Object<'_>, context: &ParseContext) -> Result<Callback, Rejection> {
    let errors = Errors::default();
    let top = Fields::new(Some(object), "", &errors);
    let callback = match (top.has("event_name"), top.has("externalOrderId")) {
        (true, false) => canonical::read(object, context, &errors),
        (false, true) => order_dialect::read(object, context, &errors),
        (true, true) => {
            top.error(
                "externalOrderId",
                "conflict",
                "must not stand beside event_name: one dialect per callback",
            );
            None
        }
        (false, false) => {
            top.required("event_name", "is required (or externalOrderId, in the order dialect)");
            None
        }
    };
    match (callback, errors.into_inner()) {
        (Some(callback), errors) if errors.is_empty() => Ok(callback),
        (_, errors) => Err(Rejection::Invalid(errors)),
    }
}
