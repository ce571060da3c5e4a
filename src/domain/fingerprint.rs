//! What makes a repeat under an idempotency key the same request (contract section 6.1).

use std::fmt;

use sha2::{Digest, Sha256};

use super::event::Callback;
use super::ids::ExternalId;
use super::order_status::OrderStatus;
use super::{instant, json};

/// A SHA-256 over what a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// Fields in a fixed order, each with its length, so that no two lists run together.
struct Fields(Sha256);

impl Fields {
    fn of(kind: &str) -> Self {
        Self(Sha256::new()).text(kind)
    }

    fn text(self, value: &str) -> Self {
        self.bytes(value.as_bytes())
    }

    fn bytes(mut self, value: &[u8]) -> Self {
        self.0.update(u64::try_from(value.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.update(value);
        self
    }

    /// Absent and empty are two things.
    fn maybe(mut self, value: Option<&str>) -> Self {
        self.0.update([u8::from(value.is_some())]);
        self.text(value.unwrap_or(""))
    }

    fn finish(self) -> Fingerprint {
        Fingerprint(self.0.finalize().into())
    }
}

impl Fingerprint {
    /// Of an event, single or in bulk: over what it says, not over how it is written.
    ///
    /// Both dialects' words for one thing are one thing. Unknown fields do not count.
    pub fn of_event(callback: &Callback) -> Self {
        let Callback { event, dialect: _, token, event_time, metadata, order_status } = callback;
        let value = event.value();
        Fields::of("event/v1")
            .text(event.name().as_str())
            .text(event.order().as_str())
            .maybe(event.external_id().map(ExternalId::as_str))
            .maybe(value.map(|value| value.minor().to_string()).as_deref())
            .maybe(value.map(|value| value.currency().code()))
            .maybe(event_time.map(instant::format).as_deref())
            .maybe(token.as_deref())
            .maybe(event.product_id().map(ExternalId::as_str))
            .maybe(event.coupon_code().map(ExternalId::as_str))
            .maybe(order_status.map(OrderStatus::as_str))
            .maybe(metadata.as_deref().map(json::canonical).as_deref())
            .finish()
    }

    /// Of any other request: over the bytes, and how they are to be read. `endpoint` stands for method and
    /// path, aliases mapped. No signature binds the media type: without it here, a captured request could be
    /// sent as another type and its answer be replayed to the rightful one.
    pub fn of_request(
        endpoint: &str,
        media_type: &str,
        external_event_id: Option<&str>,
        body: &[u8],
    ) -> Self {
        Fields::of("request/v2").text(endpoint).text(media_type).maybe(external_event_id).bytes(body).finish()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::event::{ParseContext, parse};

    fn of(body: &str) -> Fingerprint {
        let context = ParseContext { now: DateTime::UNIX_EPOCH, default_currency: "EUR".parse().ok() };
        Fingerprint::of_event(&parse(body.as_bytes(), &context).unwrap())
    }

    #[test]
    fn how_an_event_is_written_does_not_count() {
        let plain =
            of(r#"{"externalOrderId":"A","amount":"5.00","currency":"EUR","metadata":{"a":1,"b":[2]}}"#);
        for same in [
            r#"{ "amount":5, "externalOrderId":"\u0041", "metadata":{"b":[2],"a":1} }"#,
            r#"{"externalOrderId":"A","orderAmount":"5.0","currency":"eur","metadata":{"a":1,"b":[2]},"x":1}"#,
            r#"{"event_name":"sale","custom_data":{"order_id":"A","value":5,"currency":"EUR"},"metadata":{"a":1,"b":[2]}}"#,
        ] {
            assert_eq!(of(same), plain, "{same}");
        }
    }

    #[test]
    fn what_an_event_says_counts() {
        let sale = r#"{"externalOrderId":"A","amount":"5"}"#;
        for other in [
            r#"{"externalOrderId":"B","amount":"5"}"#,
            r#"{"externalOrderId":"A","amount":"6"}"#,
            r#"{"externalOrderId":"A","amount":"5","currency":"USD"}"#,
            r#"{"externalOrderId":"A","amount":"5","clickId":"t"}"#,
            r#"{"externalOrderId":"A","amount":"5","clickId":""}"#,
            r#"{"externalOrderId":"A","amount":"5","orderedAt":"1969-12-31T00:00:00Z"}"#,
            r#"{"externalOrderId":"A","amount":"5","orderStatus":"paid"}"#,
            r#"{"externalOrderId":"A","amount":"5","couponCode":"c"}"#,
            r#"{"externalOrderId":"A","amount":"5","metadata":{}}"#,
        ] {
            assert_ne!(of(other), of(sale), "{other}");
        }
        let request = Fingerprint::of_request;
        assert_ne!(request("a", "t", None, b"b"), request("a", "t", Some(""), b"b"));
        assert_ne!(request("ab", "", None, b""), request("a", "b", None, b""));
        assert_ne!(request("a", "t", None, b"b"), request("a", "u", None, b"b"));
    }
}
