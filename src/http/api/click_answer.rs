//! The answer to a click (contract section 5). Its schema is derived from this struct, too.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::click::{Landing, Minted};
use crate::domain::landing_url::LeftAlone;
use crate::domain::submission::StoredAnswer;
use crate::http::openapi::values;

/// A click is recorded, durably.
#[derive(Serialize, JsonSchema)]
pub struct ClickReceipt<'a> {
    #[schemars(with = "values::ClickId")]
    click_id: String,
    #[schemars(with = "values::ClickToken")]
    nim_ct: &'a str,
    /// Where the visitor is to be sent: `destination` with the token, or exactly as it was. Absent where
    /// none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    landing_url: Option<&'a str>,
    /// Whether the token is in `landing_url`.
    appended: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::LeftAloneReason")]
    reason: Option<&'static str>,
}

/// What is answered, and stored under an idempotency key.
pub fn answer(minted: &Minted) -> StoredAnswer {
    let receipt = ClickReceipt {
        click_id: minted.click_id.to_string(),
        nim_ct: &minted.token,
        landing_url: minted.landing.as_ref().map(|landing| landing.url.as_str()),
        appended: minted.landing.as_ref().is_some_and(Landing::is_appended),
        reason: minted.landing.as_ref().and_then(|landing| landing.left_alone).map(LeftAlone::as_str),
    };
    // Texts and a flag: there is nothing in it that JSON cannot say.
    StoredAnswer { status: 201, body: serde_json::to_string(&receipt).unwrap_or_default() }
}
