//! Recordings made by hand.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use conversiond::domain::attribution::TokenVerdict;
use conversiond::domain::click_token::ClickToken;
use conversiond::domain::event::{ParseContext, Recording, parse};
use conversiond::domain::ids::{ClickId, EventId, KeyId, KeyKind, MerchantId};
use conversiond::domain::instant;
use conversiond::domain::merchant::{Merchant, Mode};
use conversiond::domain::signature::Form;
use conversiond::system::SystemEntropy;
use serde_json::Value;
use uuid::Uuid;

/// The instant at which everything here happens.
pub fn now() -> DateTime<Utc> {
    instant::parse("2026-06-01T12:00:00Z").unwrap()
}

/// A merchant that no table knows: events need none.
pub fn merchant(number: u128) -> Arc<Merchant> {
    let id = MerchantId::from_uuid(Uuid::from_u128(number));
    Arc::new(Merchant { currency: "USD".parse().ok(), ..Merchant::new(id) })
}

/// An event of this merchant.
pub fn recording(merchant: &Arc<Merchant>, body: &Value) -> Recording {
    let text = body.to_string();
    let context = ParseContext { now: now(), default_currency: merchant.currency };
    Recording {
        event_id: EventId::generate(now(), &SystemEntropy),
        merchant: merchant.clone(),
        mode: Mode::Live,
        key_id: KeyId::generate(KeyKind::Live, &SystemEntropy),
        form: Form::Plain,
        idempotency_key: None,
        token: TokenVerdict::None,
        callback: parse(text.as_bytes(), &context).unwrap(),
        body: text,
    }
}

/// A genuine token of a click of this merchant.
pub fn click(merchant: &Arc<Merchant>, number: u128) -> TokenVerdict {
    TokenVerdict::Genuine(ClickToken {
        merchant_id: merchant.id,
        domain_id: Uuid::from_u128(1),
        url_id: Uuid::from_u128(2),
        click_id: ClickId::from_uuid(Uuid::from_u128(number)),
        clicked_at: now(),
    })
}
