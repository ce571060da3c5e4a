//! One request of each kind that a writing endpoint refuses.

use chrono::TimeDelta;
use conversiond::domain::signature::Form;
use serde_json::{Value, json};

use super::{BULK, PATH, Refusals, STATUS, header, refund, sale, webhook};
use crate::support::caller::unix_now;
use crate::support::raw::{RawConnection, exchange, request};
use crate::support::{Caller, eventually};

/// A status and reason, a path and body, a further header, and the error pointer and order journaled.
type Row<'a> =
    (u16, &'static str, &'a str, &'a str, (&'a str, &'a str), Option<&'static str>, Option<&'static str>);

/// No further header.
const NONE: (&str, &str) = ("X-A", "1");

impl Refusals {
    /// Heads, paths and sizes: nothing is known of them but their heads.
    pub async fn before_the_signature(&mut self) {
        let large = " ".repeat(65_537);
        let long = "x".repeat(17_000);
        for (status, reason, target, body, further) in [
            (404, "not_found", webhook("order-eaten"), "{}", NONE),
            (404, "not_found", webhook("%FF"), "{}", NONE),
            (413, "body_too_large", PATH.to_owned(), large.as_str(), NONE),
            (415, "unsupported_media_type", PATH.to_owned(), "{}", ("Content-Encoding", "gzip")),
            (431, "headers_too_large", STATUS.to_owned(), "{}", ("X-A", long.as_str())),
        ] {
            let id = self.expect(status, reason, None);
            self.post(&id, &target, body, &[further]).await;
        }
        for method in ["PUT", "PATCH", "DELETE"] {
            let id = self.expect(405, "method_not_allowed", None);
            let named = vec![header("X-API-Key", &self.caller().key_id)];
            self.send(&id, &self.caller(), (method, PATH, ""), named, &[]).await;
        }
        let id = self.expect(411, "length_required", None);
        let chunked = b"2\r\n{}\r\n0\r\n\r\n";
        let mut headers = self.caller().headers(Form::Plain, "POST", BULK, b"{}");
        headers.extend([header("Transfer-Encoding", "chunked"), header("X-Request-ID", &id)]);
        let (answer, _) = exchange(self.service.api, &request("POST", BULK, &headers, chunked)).await;
        assert_eq!(answer.status, 411);
    }

    /// Bodies that do not come.
    pub async fn on_the_way(&mut self) {
        let head = |refusals: &Self, id: &str| {
            let mut headers = refusals.caller().headers(Form::Plain, "POST", PATH, b"{}");
            headers.extend([header("Content-Length", "2"), header("X-Request-ID", id)]);
            request("POST", PATH, &headers, b"{")
        };
        let id = self.expect(408, "request_timeout", None);
        let (answer, _) = exchange(self.service.api, &head(self, &id)).await;
        assert_eq!(answer.status, 408);

        let id = self.expect(0, "client_left", None);
        let mut connection = RawConnection::open(self.service.api).await;
        let before = self.service.figure("conversiond_requests_total", &[]).await;
        connection.send(&head(self, &id)).await;
        eventually("the request has begun", async || {
            self.service.figure("conversiond_requests_total", &[]).await > before
        })
        .await;
        connection.reset();
    }

    /// Signatures that are missing, malformed, wrong, or not enough.
    pub async fn at_the_signature(&mut self) {
        let body = sale("O-1").to_string();
        let call = ("POST", PATH, body.as_str());
        // An operator's key takes the bound form alone.
        let form =
            |caller: &Caller| if caller.key_id.starts_with("ak_op_") { Form::Bound } else { Form::Plain };
        let signed = |caller: &Caller| caller.headers(form(caller), "POST", PATH, body.as_bytes());

        // What nobody signed is about no order.
        let id = self.expect(401, "SIG_HEADER_MISSING", None);
        self.last().owner = None;
        self.send(&id, &self.caller(), call, Vec::new(), &[]).await;
        let id = self.expect(401, "SIG_HEADER_MISSING", None);
        let named = vec![header("X-API-Key", &self.caller().key_id)];
        self.send(&id, &self.caller(), call, named, &[]).await;
        let id = self.expect(400, "malformed_signature", None);
        self.post(&id, PATH, &body, &[("X-Signature", "v1=zz")]).await;

        let mut stranger = self.caller();
        stranger.key_id = "ak_live_000000000000000000000000".to_owned();
        let mut forger = self.caller();
        forger.secret = self.operator.secret.clone();
        let merchant = Some(self.service.merchant);
        for (status, reason, caller, owner) in [
            (401, "INVALID_API_KEY", stranger, None),
            (401, "SIG_BAD_SIGNATURE", forger, merchant),
            (401, "API_KEY_REVOKED", self.revoked.clone(), merchant),
            (401, "API_KEY_EXPIRED", self.expired.clone(), merchant),
            (401, "MERCHANT_INACTIVE", self.suspended.0.clone(), Some(self.suspended.1)),
            (401, "SIG_FORM_NOT_ALLOWED", self.needs_v2.clone(), merchant),
            (401, "IP_NOT_ALLOWED", self.elsewhere.clone(), merchant),
            (403, "forbidden", self.operator.clone(), None),
        ] {
            let proven = matches!(reason, "SIG_FORM_NOT_ALLOWED" | "IP_NOT_ALLOWED" | "forbidden");
            let id = self.expect(status, reason, proven.then_some("O-1"));
            self.last().owner = owner;
            self.send(&id, &caller, call, signed(&caller), &[]).await;
        }
        let id = self.expect(401, "SIG_TIMESTAMP_OUTSIDE_TOLERANCE", Some("O-1"));
        let late = self.caller().headers_at(Form::Plain, "POST", PATH, body.as_bytes(), unix_now() - 400, "");
        self.send(&id, &self.caller(), call, late, &[]).await;

        self.service.clock.jump(TimeDelta::hours(1));
        let id = self.expect(503, "clock_unreliable", None);
        self.post(&id, PATH, &body, &[]).await;
        self.service.clock.jump(-TimeDelta::hours(1));

        let (limited, merchant) = self.limited.clone();
        assert_eq!(limited.get("/api/v1/attempts").await.status, 200);
        let id = self.expect(429, "MERCHANT_RATE_LIMITED", Some("O-1"));
        self.last().owner = Some(merchant);
        self.send(&id, &limited, call, signed(&limited), &[]).await;
    }

    async fn each(&mut self, rows: &[Row<'_>]) {
        for &(status, reason, target, body, further, pointer, order) in rows {
            let id = self.expect(status, reason, order);
            self.last().pointer = pointer;
            self.post(&id, target, body, &[further]).await;
        }
    }

    /// Requests of the rightful signer that cannot be read.
    pub async fn malformed(&mut self) {
        let (good, order) = (sale("O-2").to_string(), Some("O-2"));
        let paid = json!({"externalOrderId": "O-2"}).to_string();
        let topic = webhook("order-paid");
        let text = ("Content-Type", "text/plain");
        self.each(&[
            (400, "malformed_json", PATH, "{", NONE, None, None),
            (400, "malformed_request", PATH, &good, ("X-External-Event-Id", " a b"), None, None),
            (400, "idempotency_key_malformed", PATH, &good, ("Idempotency-Key", "a b"), None, None),
            (400, "external_event_id_missing", &topic, &paid, NONE, None, order),
            (415, "unsupported_media_type", PATH, &good, text, None, order),
        ])
        .await;
        let id = self.expect(400, "malformed_request", None);
        let bound = self.caller().headers(Form::Bound, "POST", PATH, b"");
        self.send(&id, &self.caller(), ("POST", PATH, ""), bound, &[]).await;
    }

    /// Requests of the rightful signer that are wrong in themselves.
    pub async fn invalid(&mut self) {
        const INVALID: &str = "validation_failed";
        let status = json!({"externalOrderId": "O-2", "status": "eaten"}).to_string();
        let paid = json!({"externalOrderId": "O-2"}).to_string();
        let many = json!({"rows": vec![0; 1_001]}).to_string();
        let mut bad_value = sale("O-2");
        bad_value["custom_data"]["value"] = Value::Bool(true);
        let lead = json!({"event_name": "lead", "external_id": "L-2", "event_time": 7,
                          "custom_data": {"order_id": "O-2"}});
        let (bad_value, lead, canonical) = (bad_value.to_string(), lead.to_string(), sale("O-2").to_string());
        let (created, cancelled) = (webhook("order-created"), webhook("order-cancelled"));
        let delivery = ("X-External-Event-Id", "E-1");
        let order = Some("O-2");
        self.each(&[
            (422, INVALID, PATH, &bad_value, NONE, Some("/custom_data/value"), order),
            (422, INVALID, PATH, &lead, NONE, Some("/event_time"), Some("L-2")),
            (422, INVALID, STATUS, &status, NONE, Some("/status"), order),
            (422, INVALID, BULK, &many, NONE, Some("/rows"), None),
            (422, INVALID, BULK, "{}", NONE, Some("/rows"), None),
            (422, INVALID, &created, &canonical, delivery, Some("/externalOrderId"), order),
            (422, "status_topic_mismatch", &cancelled, &paid, delivery, None, order),
        ])
        .await;
    }

    /// Requests that meet what was recorded before.
    pub async fn against_what_is_recorded(&mut self) {
        let (first, other) = (sale("O-3").to_string(), refund("O-3", "1").to_string());
        let (half, less) = (refund("O-3", "0.5").to_string(), refund("O-3", "0.4").to_string());
        let paid = json!({"externalOrderId": "O-3"}).to_string();
        let because = json!({"externalOrderId": "O-3", "reason": "x"}).to_string();
        let topic = webhook("order-paid");
        let (key, delivery) = (("Idempotency-Key", "key-3"), ("X-External-Event-Id", "E-3"));
        let order = Some("O-3");
        self.each(&[
            (202, "accepted", PATH, &first, key, None, order),
            (202, "replayed", PATH, &first, key, None, order),
            (422, "idempotency_key_mismatch", PATH, &other, key, None, order),
            (202, "duplicate", PATH, &first, NONE, None, order),
            (202, "accepted", PATH, &half, NONE, None, order),
            (422, "refund_id_required", PATH, &less, NONE, None, order),
            (202, "accepted", &topic, &paid, delivery, None, order),
            (202, "duplicate", &topic, &paid, delivery, None, order),
            (422, "external_event_id_reused", &topic, &because, delivery, None, order),
        ])
        .await;
    }

    /// A store that does not answer is away for good in this test.
    pub async fn without_a_store(&mut self) {
        self.service.setup().execute("ALTER TABLE events RENAME TO hidden");
        let id = self.expect(503, "storage_unavailable", Some("O-4"));
        self.post(&id, PATH, &sale("O-4").to_string(), &[]).await;
    }
}
