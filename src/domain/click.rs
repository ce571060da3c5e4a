//! Clicks on short links, as the link shortener tells of them (contract section 5).

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::click_token::TokenRing;
use super::event::{Errors, Fields, Rejection, object};
use super::ids::{ClickId, InvalidId, MerchantId};
use super::json;
use super::landing_url::{self, LeftAlone, SigningParameters};
use super::time::Entropy;

/// The longest landing URL that is taken, in characters. It is far beyond [`landing_url::CHARS_MAX`], so
/// that what is too long to be appended to is answered with that reason; and about what web servers take.
pub const DESTINATION_CHARS_MAX: usize = 8_192;

/// A click's id holds its time in milliseconds since then.
const EARLIEST: DateTime<Utc> = DateTime::UNIX_EPOCH;

/// A click on a short link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Click {
    /// Whose link was clicked.
    pub merchant_id: MerchantId,
    /// The short link's domain.
    pub domain_id: Uuid,
    /// The short link.
    pub url_id: Uuid,
    /// When.
    pub clicked_at: DateTime<Utc>,
    /// The landing URL to append the token to.
    pub destination: Option<String>,
}

/// A click with what was made for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minted {
    /// Its id.
    pub click_id: ClickId,
    /// Its time as its id holds it: to the millisecond.
    pub clicked_at: DateTime<Utc>,
    /// Its token.
    pub token: String,
    /// Where the visitor is to land, where a destination was given.
    pub landing: Option<Landing>,
}

/// A landing URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landing {
    /// With the token, or exactly as it was given.
    pub url: String,
    /// Why it was left as it was.
    pub left_alone: Option<LeftAlone>,
}

/// Why there is no token for a click.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// A UUIDv7 has no time before 1970.
    #[error("a click id cannot hold a time before 1970")]
    TooEarly,
    /// The ring is empty.
    #[error("there is no token key")]
    NoTokenKey,
}

/// What reading a click depends on besides the bytes.
pub struct ClickContext<'a> {
    /// The present: a click's time unless one is given.
    pub now: DateTime<Utc>,
    /// Whether there is such a merchant.
    pub is_merchant: &'a dyn Fn(MerchantId) -> bool,
}

/// Reads the text of a click, or every error that it has.
pub fn parse(body: &[u8], context: &ClickContext<'_>) -> Result<Click, Rejection> {
    let json = json::parse(body).map_err(Rejection::MalformedJson)?;
    let errors = Errors::default();
    let top = Fields::new(Some(object(&json)?), "", &errors);
    for name in ["merchant_id", "domain_id", "url_id"] {
        top.required(name, "is required");
    }
    let merchant_id = merchant(&top, context.is_merchant);
    let (domain_id, url_id) = (top.uuid("domain_id"), top.uuid("url_id"));
    let destination = destination(&top);
    let clicked_at = clicked_at(&top, context.now);
    match (merchant_id, domain_id, url_id, errors.into_inner()) {
        (Some(merchant_id), Some(domain_id), Some(url_id), errors) if errors.is_empty() => {
            let clicked_at = clicked_at.unwrap_or(context.now);
            Ok(Click { merchant_id, domain_id, url_id, clicked_at, destination })
        }
        (.., errors) => Err(Rejection::Invalid(errors)),
    }
}

fn merchant(top: &Fields<'_, '_>, is_merchant: &dyn Fn(MerchantId) -> bool) -> Option<MerchantId> {
    match top.text("merchant_id")?.parse() {
        Ok(id) if is_merchant(id) => Some(id),
        Ok(_) => {
            top.error("merchant_id", "unknown_merchant", "is no merchant here");
            None
        }
        Err(InvalidId(wanted)) => {
            top.error("merchant_id", "invalid_id", format!("must be {wanted}"));
            None
        }
    }
}

/// Any text: what is no URL is left alone, so that the visitor of a link that is set up wrongly still
/// makes a click.
fn destination(top: &Fields<'_, '_>) -> Option<String> {
    let text = top.text("destination")?;
    if text.chars().count() > DESTINATION_CHARS_MAX {
        let message = format!("must not be longer than {DESTINATION_CHARS_MAX} characters");
        top.error("destination", "too_long", message);
        return None;
    }
    Some(text.to_owned())
}

fn clicked_at(top: &Fields<'_, '_>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let at = top.event_time("clicked_at", now)?;
    if at < EARLIEST {
        top.error("clicked_at", "too_early", "lies before 1970, which a click's id cannot hold");
        return None;
    }
    Some(at)
}

impl Click {
    /// Makes the click's id and token, and appends the token to the destination where that is safe.
    pub fn mint(
        &self,
        ring: &TokenRing,
        signing: &SigningParameters,
        entropy: &dyn Entropy,
    ) -> Result<Minted, MintError> {
        if self.clicked_at < EARLIEST {
            return Err(MintError::TooEarly);
        }
        let click_id = ClickId::generate(self.clicked_at, entropy);
        let clicked_at = click_id.clicked_at().ok_or(MintError::TooEarly)?;
        let token = ring
            .mint(self.merchant_id, self.domain_id, self.url_id, click_id)
            .ok_or(MintError::NoTokenKey)?;
        let landing = self.destination.as_deref().map(|url| Landing::of(url, &token, signing));
        Ok(Minted { click_id, clicked_at, token, landing })
    }
}

impl Landing {
    fn of(destination: &str, token: &str, signing: &SigningParameters) -> Self {
        match landing_url::append(destination, token, signing) {
            Ok(url) => Self { url, left_alone: None },
            Err(reason) => Self { url: destination.to_owned(), left_alone: Some(reason) },
        }
    }

    /// Whether the token is in it.
    pub const fn is_appended(&self) -> bool {
        self.left_alone.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::FUTURE_MAX;

    const MERCHANT: &str = "mer_01kam013kve86btrzkxeedq4gg";

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn read(body: &str) -> Result<Click, Vec<String>> {
        let known: MerchantId = MERCHANT.parse().unwrap();
        let context = ClickContext { now: at("2026-01-15T10:00:00Z"), is_merchant: &|id| id == known };
        parse(body.as_bytes(), &context).map_err(|rejection| {
            let Rejection::Invalid(errors) = rejection else { panic!("{rejection:?}") };
            errors.into_iter().map(|error| format!("{} {}", error.pointer, error.code)).collect()
        })
    }

    fn click(clicked_at: &str) -> Result<Click, Vec<String>> {
        let id = "0B7D9F2E-5C41-4F0A-9D3E-6A1F2B3C4D5E";
        read(&format!(
            r#"{{"merchant_id":"{MERCHANT}","domain_id":"{id}","url_id":"{id}","clicked_at":{clicked_at}}}"#
        ))
    }

    #[test]
    fn a_click_is_now_unless_told_otherwise() {
        let now = click("null").unwrap();
        assert_eq!(now.clicked_at, at("2026-01-15T10:00:00Z"));
        assert_eq!(now.url_id.to_string(), "0b7d9f2e-5c41-4f0a-9d3e-6a1f2b3c4d5e");
        let past = click(r#""2025-12-31T23:00:00.123456-01:00""#).unwrap();
        assert_eq!(past.clicked_at, at("2026-01-01T00:00:00.123456Z"));
    }

    #[test]
    fn a_click_lies_in_the_years_that_its_id_can_hold_and_not_in_the_future() {
        let limit = at("2026-01-15T10:00:00Z") + FUTURE_MAX;
        assert_eq!(click(&format!("\"{}\"", limit.to_rfc3339())).unwrap().clicked_at, limit);
        assert_eq!(click(r#""2026-01-15T10:05:01Z""#), Err(vec!["/clicked_at in_the_future".to_owned()]));
        assert_eq!(click(r#""1970-01-01T00:00:00Z""#).unwrap().clicked_at, DateTime::UNIX_EPOCH);
        assert_eq!(click(r#""1969-12-31T23:59:59.999999Z""#), Err(vec!["/clicked_at too_early".to_owned()]));
    }

    #[test]
    fn every_error_is_told_at_once() {
        let body = r#"{"merchant_id":"mer_01kam013kve86btrzkxeedq4gh","domain_id":"0b7d9f2e5c414f0a9d3e6a1f2b3c4d5e",
            "destination":7,"clicked_at":1768471200}"#;
        let expected = [
            "/url_id required",
            "/merchant_id unknown_merchant",
            "/domain_id invalid_id",
            "/destination wrong_type",
            "/clicked_at wrong_type",
        ];
        assert_eq!(read(body), Err(expected.map(str::to_owned).to_vec()));
        assert_eq!(read("[]"), Err(vec![" wrong_type".to_owned()]));
    }
}
