//! What is another merchant's, or of the other mode, is invisible (contract sections 3 and 9): every
//! endpoint that reads is asked by everybody for everybody's things. The list of them is the API's own
//! description, so that none is forgotten.

use chrono::TimeDelta;
use conversiond::domain::ids::{ClickId, KeyKind, MerchantId};
use conversiond::domain::instant;
use conversiond::domain::signature::Form;
use conversiond::system::SystemEntropy;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::clicks;
use crate::orders::post;
use crate::support::caller::Answer;
use crate::support::contract::Contract;
use crate::support::service::Setup;
use crate::support::{Backend, Caller, Service, eventually, on_both_databases};

const SOLD_AT: &str = "2025-11-05T10:00:00Z";

/// Somebody with things of their own: a merchant in one mode.
struct Owner {
    name: &'static str,
    /// What they sell in, and nobody else.
    currency: &'static str,
    kind: KeyKind,
    merchant: MerchantId,
    caller: Caller,
    /// The link that their sale is credited to.
    url: Uuid,
    /// Their events' ids, once there are some.
    events: Vec<String>,
    /// What stands in their things and in nobody else's.
    marks: Vec<String>,
}

/// A request that reads.
#[derive(Debug, Clone)]
struct Ask {
    target: String,
    /// Of a POST.
    body: String,
}

impl Ask {
    fn get(target: String) -> Self {
        Self { target, body: String::new() }
    }

    async fn by(&self, caller: &Caller) -> Answer {
        let Self { target, body } = self;
        let method = if body.is_empty() { "GET" } else { "POST" };
        let headers = caller.headers(Form::Bound, method, target, body.as_bytes());
        caller.send(method, target, body.as_bytes(), &headers).await
    }

    fn says(&self, mark: &str) -> bool {
        self.target.contains(mark) || self.body.contains(mark)
    }
}

/// How an endpoint is asked for an owner's things.
fn asks(method: &str, path: &str, of: &Owner) -> Vec<Ask> {
    let Owner { name, url, .. } = of;
    let november = "from=2025-11-01T00:00:00Z&to=2025-12-01T00:00:00Z";
    let queries: Vec<String> = match (method, path) {
        ("get", "/api/v1/conversions/{event_id}") => {
            let of_event = |id: &String| Ask::get(format!("/api/v1/conversions/{id}"));
            return of.events.iter().map(of_event).collect();
        }
        ("get", "/api/v1/orders/{order_id}") => {
            return vec![Ask::get(format!("/api/v1/orders/{name}-order"))];
        }
        ("post", "/api/v1/reconciliations") => {
            let rows =
                json!([{"order_id": format!("{name}-refused")}, {"order_id": "shared", "value": "999"}]);
            let books = json!({"from": "2025-11-01T00:00:00Z", "to": "2025-12-01T00:00:00Z", "rows": rows});
            return vec![Ask { target: path.to_owned(), body: books.to_string() }];
        }
        ("get", "/api/v1/conversions") => vec![
            "?".to_owned(),
            "?limit=1".to_owned(),
            "?order_id=shared".to_owned(),
            format!("?order_id={name}-order"),
            format!("?external_id={name}-refund"),
            format!("?url_id={url}"),
        ],
        ("get", "/api/v1/orders") => vec!["?".to_owned(), "?limit=1".to_owned(), format!("?url_id={url}")],
        ("get", "/api/v1/attempts") => vec![
            "?".to_owned(),
            "?limit=1".to_owned(),
            "?order_id=shared".to_owned(),
            format!("?order_id={name}-order"),
            format!("?order_id={name}-refused&outcome=refused"),
        ],
        ("get", "/api/v1/reports/attribution") => vec![
            format!("?group_by=url_id&{november}"),
            format!("?group_by=url_id,day&basis=event&{november}"),
            format!("?group_by=month&format=csv&{november}"),
        ],
        ("get", "/api/v1/exports/events") => vec!["?".to_owned(), "?format=csv".to_owned()],
        _ => panic!("{method} {path} reads: say here how it is asked, so that it is asked by strangers too"),
    };
    queries.into_iter().map(|query| Ask::get(format!("{path}{query}"))).collect()
}

/// The operations that are signed and write nothing, as method and path. What writes takes a key.
fn reading_operations() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (path, operations) in Contract::shared().document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let signed = operation["security"].as_array().is_some_and(|sets| !sets.is_empty());
            let parameters = operation["parameters"].to_string();
            let reads = match method.as_str() {
                "get" => true,
                "post" => !["IdempotencyKey", "ClickKey"]
                    .iter()
                    .any(|key| parameters.contains(&format!("#/components/parameters/{key}\""))),
                _ => false,
            };
            if signed && reads {
                found.push((method.clone(), path.clone()));
            }
        }
    }
    assert!(found.len() >= 6 && found.iter().any(|(method, _)| method == "post"), "{found:?}");
    found
}

/// Three that have nothing yet: a merchant in both modes, and another merchant.
fn owners(setup: &mut Setup) -> Vec<Owner> {
    let (one, two) = (setup.merchant(), setup.merchant());
    let kinds = [
        ("alpha", "EUR", KeyKind::Live, one),
        ("beta", "JPY", KeyKind::Test, one),
        ("gamma", "KWD", KeyKind::Live, two),
    ];
    kinds
        .into_iter()
        .map(|(name, currency, kind, merchant)| {
            let (caller, url) = (setup.key(kind, Some(merchant)), Uuid::new_v4());
            let mut marks: Vec<String> = ["order", "refund", "lead", "refused", "note", "reason"]
                .map(|thing| format!("{name}-{thing}"))
                .into();
            marks.extend([caller.key_id.clone(), url.to_string()]);
            marks.extend([format!("\"{currency}\""), format!(",{currency},")]);
            Owner { name, currency, kind, merchant, caller, url, events: Vec::new(), marks }
        })
        .collect()
}

impl Owner {
    fn sale(&self, order: &str) -> Value {
        json!({"event_name": "sale", "event_time": SOLD_AT, "metadata": {"note": format!("{}-note", self.name)},
            "custom_data": {"order_id": order, "value": "7", "currency": self.currency}})
    }

    /// Gives them everything that there may be to read.
    async fn plant(&mut self, service: &Service, operator: &Caller) {
        let (name, caller) = (self.name, &self.caller);
        let clicked = instant::parse(SOLD_AT).unwrap() - TimeDelta::hours(1);
        let click = ClickId::generate(clicked, &SystemEntropy);
        let mut sale = self.sale(&format!("{name}-order"));
        sale["nim_ct"] = service.tokens.mint(self.merchant, Uuid::new_v4(), self.url, click).unwrap().into();
        let refund = json!({"event_name": "refund", "external_id": format!("{name}-refund"), "event_time": SOLD_AT,
            "custom_data": {"related_order_id": format!("{name}-order"), "value": "1", "currency": self.currency}});
        let lead =
            json!({"event_name": "lead", "external_id": format!("{name}-lead"), "event_time": SOLD_AT});
        // Everybody has an order of this id.
        let paid = json!({"externalOrderId": "shared", "status": "paid", "reason": format!("{name}-reason")});
        for body in [&sale, &refund, &lead, &self.sale("shared"), &paid] {
            post(caller, body).await;
        }
        let mut refused = self.sale(&format!("{name}-refused"));
        refused["custom_data"]["value"] = "much".into();
        assert_eq!(caller.post(&refused).await.status, 422);
        if self.kind == KeyKind::Live {
            let mut click = clicks::click(self.merchant);
            click["url_id"] = self.url.to_string().into();
            click["clicked_at"] = instant::format(clicked).into();
            assert_eq!(clicks::post(operator, &click).await.status, 201);
        }
        let attempts = async || caller.get("/api/v1/attempts").await.at("/data").as_array().unwrap().clone();
        eventually("the refusal is journaled", async || attempts().await.len() == 6).await;
        // Else they would be too new for an export.
        let (merchant, mode) = (self.merchant, if self.kind == KeyKind::Live { "live" } else { "test" });
        service.setup().age_events_where(&format!("merchant_id = '{merchant}' AND mode = '{mode}'"));
        let ids = |lines: &[Value], name: &str| -> Vec<String> {
            lines.iter().map(|line| line[name].as_str().unwrap().to_owned()).collect()
        };
        let events = caller.get("/api/v1/conversions").await.at("/data");
        let (events, attempts) = (ids(events.as_array().unwrap(), "event_id"), attempts().await);
        assert_eq!(events.len(), 4);
        self.marks.extend(events.iter().cloned().chain(ids(&attempts, "attempt_id")));
        self.events = events;
    }

    /// What they read of their own, endpoint by endpoint. There is something of theirs everywhere.
    async fn own_answers(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for (method, path) in reading_operations() {
            for ask in asks(&method, &path, self) {
                let answer = ask.by(&self.caller).await;
                assert_eq!(answer.status, 200, "{ask:?}: {}", answer.text);
                let seen = self.marks.iter().any(|mark| answer.text.contains(mark) && !ask.says(mark));
                assert!(seen, "nothing of {} is in what they read by {ask:?}: {}", self.name, answer.text);
                texts.push(answer.text);
            }
        }
        texts
    }

    /// Asserts that an answer to them tells nothing of others, but for what they said themselves.
    #[track_caller]
    fn expect_own(&self, owners: &[Owner], ask: &Ask, answer: &Answer) {
        for other in owners.iter().filter(|other| other.name != self.name) {
            for mark in other.marks.iter().filter(|mark| !ask.says(mark)) {
                assert!(
                    !answer.text.contains(mark),
                    "{} sees {mark} of {} by {ask:?}: {}",
                    self.name,
                    other.name,
                    answer.text
                );
            }
        }
    }
}

/// Three with everything, of whom this one was the first, and what that one had read before the others came.
async fn world(backend: Backend, first: usize) -> (Service, Vec<Owner>, Vec<String>) {
    let database = backend.database();
    let mut setup = Setup::new(&database, "");
    let operator = setup.key(KeyKind::Operator, None);
    let mut owners = owners(&mut setup);
    drop(setup);
    let service = Service::start_with(database, "").await;
    let operator = Caller { base: service.caller.base.clone(), ..operator };
    for owner in &mut owners {
        owner.caller.base.clone_from(&service.caller.base);
    }
    owners.rotate_left(first);
    owners[0].plant(&service, &operator).await;
    let alone = owners[0].own_answers().await;
    for owner in &mut owners[1..] {
        owner.plant(&service, &operator).await;
    }
    (service, owners, alone)
}

on_both_databases! {
    async fn what_one_reads_is_the_same_whether_or_not_there_are_others(backend: Backend) {
        for first in 0..3 {
            let (_service, owners, alone) = world(backend, first).await;
            assert_eq!(owners[0].own_answers().await, alone, "{}", owners[0].name);
        }
    }

    async fn whoever_asks_for_what_is_anothers_sees_nothing_of_it(backend: Backend) {
        let (_service, owners, _) = world(backend, 0).await;
        for (method, path) in reading_operations() {
            for (asker, of) in owners.iter().flat_map(|asker| owners.iter().map(move |of| (asker, of))) {
                for ask in asks(&method, &path, of) {
                    let answer = ask.by(&asker.caller).await;
                    asker.expect_own(&owners, &ask, &answer);
                    if asker.name == of.name {
                        continue;
                    }
                    // By its id, it is not there; in a list, it is not among the others.
                    match path.contains('{') {
                        true => answer.expect_problem(404, "not_found"),
                        false => assert_eq!(answer.status, 200, "{ask:?}: {}", answer.text),
                    }
                    let page = ask.by(&of.caller).await;
                    let cursor = serde_json::from_str(&page.text).unwrap_or(Value::Null)["next_cursor"].take();
                    if let Some(cursor) = cursor.as_str() {
                        let next = Ask::get(format!("{}&cursor={cursor}", ask.target));
                        let answer = next.by(&asker.caller).await;
                        assert_eq!((answer.status, answer.error_pointers()), (422, vec!["/cursor".to_owned()]), "{next:?}");
                        asker.expect_own(&owners, &next, &answer);
                    }
                }
            }
        }
    }
}
