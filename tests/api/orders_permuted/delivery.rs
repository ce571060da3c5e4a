//! How a history reaches the service: in which words, requests and order, by which instance.

use std::collections::BTreeMap;

use chrono::{DateTime, FixedOffset, SecondsFormat, TimeDelta, Utc};
use conversiond::domain::click_token::TokenRing;
use conversiond::domain::ids::{ClickId, MerchantId};
use conversiond::domain::signature::{Covered, Form, sign};
use conversiond::system::SystemEntropy;
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use super::history::{Amount, CURRENCIES, Told, What};
use super::model::decimal;
use super::numbers::Numbers;
use crate::bulk;
use crate::support::Caller;
use crate::support::caller::unix_now;

/// A link's id, in every merchant's tokens the same.
pub fn link(number: usize) -> Uuid {
    Uuid::from_u128(0x2f5e_5a3e_8a53_4a1b_9a8e_2d4f_7c1b_0a00 + u128::try_from(number).unwrap())
}

/// A merchant that is told a history.
pub struct Shop {
    /// Its key at every instance.
    pub instances: Vec<Caller>,
    /// The tokens of what has a click, by number.
    tokens: BTreeMap<usize, String>,
    numbers: Numbers,
    /// Ids of webhooks' deliveries that were used.
    deliveries: usize,
}

/// One telling, and whether it must bring its click: a repeat may know of none.
#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    pub told: &'a Told,
    pub with_click: bool,
}

/// By which endpoint a batch goes.
#[derive(Debug, Clone, Copy)]
enum Way {
    Singles,
    Json,
    Ndjson,
    Webhooks,
}

struct Request {
    path: String,
    /// `Idempotency-Key`.
    key: String,
    /// `X-External-Event-Id`.
    delivery: String,
    media_type: &'static str,
    body: String,
}

impl Shop {
    pub fn new(
        merchant: MerchantId,
        instances: Vec<Caller>,
        ring: &TokenRing,
        history: &[Told],
        numbers: Numbers,
    ) -> Self {
        let mint = |told: &Told| {
            let click = ClickId::generate(told.at - TimeDelta::hours(1), &SystemEntropy);
            Some((told.number, ring.mint(merchant, link(0), link(told.link?), click).unwrap()))
        };
        let tokens = history.iter().filter_map(mint).collect();
        Self { instances, tokens, numbers, deliveries: 0 }
    }

    /// The history in any order, some of it several times.
    pub fn arrivals<'a>(&mut self, history: &'a [Told]) -> Vec<Delivery<'a>> {
        let mut arrivals = Vec::new();
        for told in history {
            arrivals.push(Delivery { told, with_click: true });
            while self.numbers.one_in(2) {
                arrivals.push(Delivery { told, with_click: self.numbers.one_in(2) });
            }
        }
        self.numbers.shuffle(&mut arrivals);
        arrivals
    }

    /// Sends everything in requests of any size and kind, by all instances, some of it at the same time.
    pub async fn tell_at_once(&mut self, mut arrivals: &[Delivery<'_>]) {
        while !arrivals.is_empty() {
            let mut together = Vec::new();
            for _ in 0..=self.numbers.below(4) {
                let batch;
                (batch, arrivals) = self.cut(arrivals);
                let instance = self.numbers.below(self.instances.len());
                together.push((self.requests(batch), instance, self.numbers.one_in(2)));
            }
            let instances = &self.instances;
            join_all(together.into_iter().map(|(requests, instance, at_once)| async move {
                let calls = requests.iter().map(|request| request.send(&instances[instance]));
                let words = if at_once { join_all(calls).await } else { one_by_one(calls).await };
                for word in words.concat() {
                    assert!(["ACCEPTED", "DUPLICATE", "replayed"].contains(&word.as_str()), "{word}");
                }
            }))
            .await;
        }
    }

    /// The same one after the other; the words told, in order.
    pub async fn tell_in_order(&mut self, mut arrivals: &[Delivery<'_>]) -> Vec<String> {
        let mut words = Vec::new();
        while !arrivals.is_empty() {
            let batch;
            (batch, arrivals) = self.cut(arrivals);
            let instance = self.numbers.below(self.instances.len());
            let requests = self.requests(batch);
            let calls = requests.iter().map(|request| request.send(&self.instances[instance]));
            words.extend(one_by_one(calls).await.concat());
        }
        words
    }

    fn cut<'a, 'b>(&mut self, arrivals: &'b [Delivery<'a>]) -> (&'b [Delivery<'a>], &'b [Delivery<'a>]) {
        let size = 1 + self.numbers.below(12);
        arrivals.split_at(size.min(arrivals.len()))
    }

    /// A batch as requests that tell it in this order.
    fn requests(&mut self, batch: &[Delivery<'_>]) -> Vec<Request> {
        let way = self.numbers.pick(&[Way::Singles, Way::Json, Way::Ndjson, Way::Webhooks]);
        let (mut requests, mut rows) = (Vec::new(), Vec::new());
        for delivery in batch {
            match (way, &delivery.told.what) {
                (_, What::Status(status)) => {
                    requests.extend(bulk_of(way, &mut rows));
                    requests.push(self.status(delivery.told, status, way));
                }
                (Way::Webhooks, What::Sale(value)) => requests.push(self.order_created(delivery, *value)),
                (Way::Singles | Way::Webhooks, _) => requests.push(self.single(delivery)),
                (Way::Json | Way::Ndjson, _) => {
                    let (mut row, key) = self.event(delivery);
                    if let Some(key) = key {
                        row["idempotency_key"] = key.into();
                    }
                    rows.push(row);
                }
            }
        }
        requests.extend(bulk_of(way, &mut rows));
        requests
    }

    fn single(&mut self, delivery: &Delivery<'_>) -> Request {
        let (body, key) = self.event(delivery);
        Request { key: key.unwrap_or_default(), ..Request::new("/api/v1/conversions", &body) }
    }

    fn order_created(&mut self, delivery: &Delivery<'_>, value: Amount) -> Request {
        let (body, _) = self.order_dialect(delivery, value);
        let delivery = self.delivery_id(None);
        Request { delivery, ..Request::new("/api/v1/webhooks/order-created", &body) }
    }

    fn status(&mut self, told: &Told, status: &str, way: Way) -> Request {
        let mut body = json!({"externalOrderId": told.order, "status": status});
        let topic = match status {
            "cancelled" | "returned" | "refunded" | "paid" | "delivered" => format!("order-{status}"),
            _ => String::new(),
        };
        if topic.is_empty() || !matches!(way, Way::Webhooks) {
            body["statusUpdatedAt"] = self.instant(told.at);
            return Request::new("/api/v1/order-status", &body);
        }
        // To the byte, for the case that it comes under the same id.
        body["statusUpdatedAt"] = told.at.to_rfc3339_opts(SecondsFormat::Secs, true).into();
        let delivery = self.delivery_id(Some(told));
        Request { delivery, ..Request::new(&format!("/api/v1/webhooks/{topic}"), &body) }
    }

    /// An id for a delivery: its own, or that of all equal ones.
    fn delivery_id(&mut self, told: Option<&Told>) -> String {
        self.deliveries += 1;
        match told {
            Some(told) if self.numbers.one_in(2) => format!("same-{}", told.number),
            _ => format!("D-{}", self.deliveries),
        }
    }

    /// An event in the words of either dialect, and perhaps a key for it.
    fn event(&mut self, delivery: &Delivery<'_>) -> (Value, Option<String>) {
        match &delivery.told.what {
            What::Sale(value) if self.numbers.one_in(2) => self.order_dialect(delivery, *value),
            _ => self.canonical(delivery),
        }
    }

    fn order_dialect(&mut self, delivery: &Delivery<'_>, value: Amount) -> (Value, Option<String>) {
        let name = self.numbers.pick(&["amount", "orderAmount"]);
        let mut body =
            json!({"externalOrderId": delivery.told.order, "orderedAt": self.instant(delivery.told.at)});
        body[name] = self.amount(value);
        body["currency"] = self.currency(value);
        if self.numbers.one_in(4) {
            body["orderStatus"] = "paid".into();
        }
        self.finish(body, "clickId", delivery)
    }

    fn canonical(&mut self, delivery: &Delivery<'_>) -> (Value, Option<String>) {
        let Told { order, what, at, .. } = delivery.told;
        let (name, id, value) = match what {
            What::Lead(id) => ("lead", id.as_ref(), None),
            What::Sale(value) => ("sale", None, Some(*value)),
            What::Refund { id, value } => ("refund", id.as_ref(), *value),
            What::Cancellation => ("cancellation", None, None),
            What::Reversal => ("reversal", None, None),
            What::Status(status) => unreachable!("{status} is no event"),
        };
        let of = if matches!(name, "lead" | "sale") { "order_id" } else { "related_order_id" };
        let mut body =
            json!({"event_name": name, "event_time": self.instant(*at), "custom_data": {of: order}});
        if let Some(id) = id {
            body["external_id"] = id.as_str().into();
        }
        if let Some(value) = value {
            body["custom_data"]["value"] = self.amount(value);
            body["custom_data"]["currency"] = self.currency(value);
        }
        self.finish(body, "nim_ct", delivery)
    }

    /// With note and click. A key fits only what always says the same, the click included; a refund
    /// without an id would be another refund under it.
    fn finish(&mut self, mut body: Value, click: &str, delivery: &Delivery<'_>) -> (Value, Option<String>) {
        let Told { number, what, note, .. } = delivery.told;
        if let Some(note) = note {
            let both =
                [format!(r#"{{"note":{note},"more":[1]}}"#), format!(r#"{{"more":[1],"note":{note}}}"#)];
            body["metadata"] = serde_json::from_str(&both[self.numbers.below(2)]).unwrap();
        }
        let token = self.tokens.get(number).filter(|_| delivery.with_click);
        if let Some(token) = token {
            body[click] = token.as_str().into();
        }
        let fits = delivery.with_click
            && !matches!(what, What::Refund { id: None, .. })
            && body.get("orderStatus").is_none();
        let key = (fits && self.numbers.one_in(4)).then(|| format!("k-{number}"));
        (body, key)
    }

    /// An instant, in one of the ways to write it.
    fn instant(&mut self, at: DateTime<Utc>) -> Value {
        let east = FixedOffset::east_opt(self.numbers.pick(&[3_600, 19_800])).unwrap();
        match self.numbers.below(3) {
            0 => at.with_timezone(&east).to_rfc3339_opts(SecondsFormat::Secs, true),
            1 => at.to_rfc3339_opts(SecondsFormat::Micros, true),
            _ => at.to_rfc3339_opts(SecondsFormat::Secs, true),
        }
        .into()
    }

    /// An amount, in one of the ways to write it.
    fn amount(&mut self, value: Amount) -> Value {
        let text = decimal(value.minor, value.currency);
        let short = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        match self.numbers.below(3) {
            0 => serde_json::from_str(short).unwrap(),
            1 => short.into(),
            _ => text.into(),
        }
    }

    fn currency(&mut self, value: Amount) -> Value {
        assert!(CURRENCIES.iter().any(|(code, _)| *code == value.currency));
        if self.numbers.one_in(3) { value.currency.to_lowercase().into() } else { value.currency.into() }
    }
}

/// Rows as one bulk request, if there are any.
fn bulk_of(way: Way, rows: &mut Vec<Value>) -> Option<Request> {
    if rows.is_empty() {
        return None;
    }
    let texts = bulk::texts(&std::mem::take(rows));
    let (media_type, body) = match way {
        Way::Ndjson => (bulk::NDJSON, texts.join("\n")),
        _ => (bulk::JSON, bulk::bulk_of(&texts)),
    };
    Some(Request { media_type, body, ..Request::new(bulk::PATH, &Value::Null) })
}

async fn one_by_one<T>(calls: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await);
    }
    answers
}

impl Request {
    fn new(path: &str, body: &Value) -> Self {
        let nothing = String::new();
        Self {
            path: path.to_owned(),
            key: nothing.clone(),
            delivery: nothing,
            media_type: bulk::JSON,
            body: body.to_string(),
        }
    }

    /// What it was told: a word for each of its events or states.
    async fn send(&self, caller: &Caller) -> Vec<String> {
        let Self { path, key, delivery, media_type, body } = self;
        let covered = Covered {
            method: "POST",
            target: path,
            idempotency_key: key,
            external_event_id: delivery,
            body: body.as_bytes(),
        };
        let signed = sign(Form::Bound, &caller.key_id, &caller.secret, unix_now(), "", &covered);
        let mut headers: Vec<_> = signed.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        headers.push(("Content-Type".to_owned(), (*media_type).to_owned()));
        for (name, value) in [("Idempotency-Key", key), ("X-External-Event-Id", delivery)] {
            if !value.is_empty() {
                headers.push((name.to_owned(), value.clone()));
            }
        }
        let answer = caller.send("POST", path, body.as_bytes(), &headers).await;
        if path == bulk::PATH {
            return bulk::words(&answer);
        }
        vec![if answer.is_replayed() { "replayed".to_owned() } else { answer.word() }]
    }
}
