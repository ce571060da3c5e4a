//! A shop whose callers send what is personal, and where it comes from.

use conversiond::domain::signature::{Covered, Form, sign};
use serde_json::{Value, json};

use crate::shell::{self, Ran, caller, key, merchant};
use crate::support::caller::{Answer, unix_now};
use crate::support::process::{ServeProcess, command, run_json};
use crate::support::service::Setup;
use crate::support::{Backend, Caller, TestDatabase, eventually};

/// Whose data is to be erased, and from where it came; and a neighbour's, which must stay.
pub const ADA: &str = "Ada-Lovelace";
pub const GRACE: &str = "Grace-Hopper";
pub const ADAS_ADDRESS: &str = "198.51.100.7";
pub const OTHER_ADDRESS: &str = "198.51.100.8";

pub const SINGLE: &str = "/api/v1/conversions";
pub const BULK: &str = "/api/v1/conversions/bulk";
pub const NOBODYS_KEY: &str = "ak_live_000000000000000000000000";
pub const STATUS: &str = "/api/v1/order-status";

pub struct Shop {
    pub database: TestDatabase,
    pub service: ServeProcess,
    pub merchant: String,
    pub caller: Caller,
}

/// How a request is sent.
#[derive(Clone, Copy)]
pub struct By<'a> {
    pub address: &'a str,
    pub request_id: &'a str,
    pub key: &'a str,
    pub delivery: &'a str,
}

pub const PLAIN: By<'_> = By { address: ADAS_ADDRESS, request_id: ADA, key: "", delivery: "" };

impl Shop {
    pub fn open(backend: Backend) -> Self {
        let database = backend.database();
        let merchant = merchant(&database);
        let issued = key(&database, &["--merchant", &merchant]);
        let mut serve = command(&database, &["serve"]);
        serve.env("CONVERSIOND__SERVER__TRUSTED_PROXIES", "[\"127.0.0.0/8\"]");
        let service = ServeProcess::start_command(serve);
        let caller = caller(&service.base, issued);
        Self { database, service, merchant, caller }
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        shell::run(&self.database, arguments)
    }

    pub fn erase(&self, order: &str) -> Value {
        run_json(&self.database, &["erase", "--merchant", &self.merchant, "--order", order])
    }

    pub fn setup(&self) -> Setup {
        Setup::new(&self.database, "")
    }

    pub async fn send(&self, target: &str, body: &Value, by: By<'_>) -> Answer {
        send(&self.caller, target, body, by).await
    }

    /// Waits until so many refused lines name an order.
    pub async fn refusals(&self, order: &str, count: i64) {
        let refused = format!("attempts WHERE outcome = 'refused' AND order_id = '{order}'");
        let mut setup = self.setup();
        eventually("the refusals are journaled", async || setup.count(&refused) == count).await;
    }
}

pub async fn send(caller: &Caller, target: &str, body: &Value, by: By<'_>) -> Answer {
    let body = body.to_string();
    let covered = Covered {
        method: "POST",
        target,
        idempotency_key: by.key,
        external_event_id: by.delivery,
        body: body.as_bytes(),
    };
    let signed = sign(Form::Bound, &caller.key_id, &caller.secret, unix_now(), "", &covered);
    let mut headers: Vec<(String, String)> =
        signed.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    for (name, value) in [
        ("X-Forwarded-For", by.address),
        ("X-Request-ID", by.request_id),
        ("Idempotency-Key", by.key),
        ("X-External-Event-Id", by.delivery),
    ] {
        if !value.is_empty() {
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    caller.send("POST", target, body.as_bytes(), &headers).await
}

/// Waits until the service knows a key.
pub async fn known(caller: &Caller) {
    eventually("the key is known", async || caller.get(SINGLE).await.status == 200).await;
}

pub fn sale(order: &str, name: &str) -> Value {
    json!({"event_name": "sale", "event_time": "2026-06-01T12:00:00Z", "customer": name,
           "custom_data": {"order_id": order, "value": "12.50", "currency": "EUR"},
           "metadata": {"name": name}})
}

pub fn refund(order: &str, id: &str, name: &str) -> Value {
    json!({"event_name": "refund", "external_id": id, "metadata": {"name": name}, "customer": name,
           "custom_data": {"related_order_id": order, "value": "1", "currency": "EUR"}})
}

pub fn status(order: &str, status: &str, name: &str) -> Value {
    json!({"externalOrderId": order, "status": status, "reason": format!("{name} said so"),
           "statusUpdatedAt": "2026-06-03T10:00:00Z", "metadata": {"name": name}})
}

/// Requests of every kind about O-1, twice each, and others' in between. What they are answered.
pub async fn tell_all(shop: &Shop) -> Vec<String> {
    let theirs = By { address: OTHER_ADDRESS, request_id: GRACE, ..PLAIN };
    let mut rows = vec![refund("O-1", "b-1", ADA), sale("O-2", GRACE), refund("O-1", "b-2", ADA)];
    rows[1]["idempotency_key"] = json!("row-of-O-2");
    rows[2]["idempotency_key"] = json!("row-of-O-1");
    rows[0]["client_row_id"] = json!(ADA);
    let bad = json!({"event_name": "sale", "custom_data": {"order_id": "O-1", "value": ADA}});
    let order_dialect = json!({"externalOrderId": "O-1", "amount": "12.50", "currency": "EUR",
        "orderStatus": "paid", "metadata": {"name": ADA}, "orderedAt": "2026-06-01T12:00:00Z"});
    let mut words = Vec::new();
    for _ in 0..2 {
        for (target, body, by) in [
            (SINGLE, sale("O-1", ADA), PLAIN),
            (SINGLE, refund("O-1", "r-1", ADA), By { key: "key-of-O-1", ..PLAIN }),
            (SINGLE, order_dialect.clone(), PLAIN),
            (BULK, json!({"rows": rows}), PLAIN),
            (BULK, json!({"rows": [refund("O-1", "b-3", ADA), bad]}), By { key: "bulk-of-O-1", ..PLAIN }),
            (STATUS, status("O-1", "returned", ADA), By { key: "status-of-O-1", ..PLAIN }),
            (STATUS, status("O-1", "delivered", ADA), PLAIN),
            (
                "/api/v1/webhooks/order-cancelled",
                status("O-1", "cancelled", ADA),
                By { delivery: "d-1", ..PLAIN },
            ),
            (SINGLE, sale("O-3", GRACE), By { key: "key-of-O-3", ..theirs }),
            (STATUS, status("O-3", "paid", GRACE), theirs),
        ] {
            let answer = shop.send(target, &body, by).await;
            assert!(answer.status == 200 || answer.status == 202, "{}", answer.text);
            words.push(answer.word());
        }
        assert_eq!(shop.send(SINGLE, &bad, PLAIN).await.status, 422);
    }
    // Two by themselves, and the rows of the bulk request that was answered once.
    shop.refusals("O-1", 3).await;
    words
}

/// How many of the lines hold a text.
pub fn holding(dump: &[String], text: &str) -> usize {
    dump.iter().filter(|line| line.contains(text)).count()
}
