//! Whatever a writing endpoint refuses is in the journal, with the exact reason (contract section 8).

mod cases;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use conversiond::domain::attempt::Journaled;
use conversiond::domain::ids::{KeyKind, MerchantId};
use conversiond::domain::rate_limit::RateLimit;
use conversiond::domain::signature::Form;
use conversiond::keyring::KeyRequest;
use conversiond::storage::merchants::Changes;
use serde_json::{Value, json};

use crate::support::clock::TestClock;
use crate::support::service::Setup;
use crate::support::{Backend, Caller, Service, eventually, on_both_databases};

const PATH: &str = "/api/v1/conversions";
const BULK: &str = "/api/v1/conversions/bulk";
const STATUS: &str = "/api/v1/order-status";
/// The endpoints that write, as their figures are labelled.
const WRITING: [&str; 4] = ["\"conversions\"", "\"conversions_bulk\"", "\"order_status\"", "\"webhooks\""];

/// What the journal must hold of a request, by the request's id.
struct Expected {
    id: String,
    status: u16,
    reason: &'static str,
    pointer: Option<&'static str>,
    order: Option<&'static str>,
    owner: Option<MerchantId>,
}

/// A service and callers in every state, and what was sent.
struct Refusals {
    service: Service,
    sent: Vec<Expected>,
    revoked: Caller,
    expired: Caller,
    suspended: (Caller, MerchantId),
    limited: (Caller, MerchantId),
    needs_v2: Caller,
    elsewhere: Caller,
    operator: Caller,
}

fn webhook(topic: &str) -> String {
    format!("/api/v1/webhooks/{topic}")
}

fn sale(order: &str) -> Value {
    json!({"event_name": "sale", "custom_data": {"order_id": order, "value": "1", "currency": "USD"}})
}

fn refund(order: &str, value: &str) -> Value {
    json!({"event_name": "refund", "custom_data": {"related_order_id": order, "value": value, "currency": "USD"}})
}

fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

impl Refusals {
    /// Time stands still, so that no bucket fills again.
    async fn start(backend: Backend) -> Self {
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        let merchant = setup.merchant();
        let (suspended, limited) = (setup.merchant(), setup.merchant());
        let make = KeyRequest {
            kind: KeyKind::Live,
            merchant_id: Some(merchant),
            ip_allow: Vec::new(),
            require_v2: false,
        };
        let key = |setup: &mut Setup| setup.key_with(make.clone());
        let (caller, revoked, expired) = (key(&mut setup), key(&mut setup), key(&mut setup));
        setup.revoke(&revoked);
        setup.expire(&expired);
        let callers = [
            setup.key(KeyKind::Live, Some(suspended)),
            setup.key(KeyKind::Live, Some(limited)),
            setup.key_with(KeyRequest { require_v2: true, ..make.clone() }),
            setup.key_with(KeyRequest { ip_allow: vec!["203.0.113.7/32".parse().unwrap()], ..make.clone() }),
            setup.key(KeyKind::Operator, None),
            caller,
            revoked,
            expired,
        ];
        setup.change(suspended, &Changes { suspended: Some(true), ..Changes::default() });
        let own_limit = Some(RateLimit::of(1, 1));
        setup.change(limited, &Changes { own_limit, ..Changes::default() });
        drop(setup);
        let settings = "[server]\nbody_timeout_s = 1\n[journal]\npeer_attempts_per_s = 0\n";
        let clock = Arc::new(TestClock::standing());
        let mut service = Service::start_at(database, settings, clock).await;
        let [suspends, limits, needs_v2, elsewhere, operator, caller, revoked, expired] =
            callers.map(|caller| Caller { base: service.caller.base.clone(), ..caller });
        (service.merchant, service.caller) = (merchant, caller);
        let (suspended, limited) = ((suspends, suspended), (limits, limited));
        Self {
            service,
            sent: Vec::new(),
            revoked,
            expired,
            suspended,
            limited,
            needs_v2,
            elsewhere,
            operator,
        }
    }

    fn caller(&self) -> Caller {
        self.service.caller.clone()
    }

    /// Expects that the next request is journaled so, of the merchant; its id.
    fn expect(&mut self, status: u16, reason: &'static str, order: Option<&'static str>) -> String {
        let id = format!("r{}-{reason}", self.sent.len());
        let owner = Some(self.service.merchant);
        self.sent.push(Expected { id: id.clone(), status, reason, pointer: None, order, owner });
        id
    }

    fn last(&mut self) -> &mut Expected {
        self.sent.last_mut().unwrap()
    }

    /// Sends a body signed in the plain form, with further headers.
    async fn post(&self, id: &str, target: &str, body: &str, further: &[(&str, &str)]) {
        let headers = self.caller().headers(Form::Plain, "POST", target, body.as_bytes());
        self.send(id, &self.caller(), ("POST", target, body), headers, further).await;
    }

    async fn send(
        &self,
        id: &str,
        caller: &Caller,
        (method, target, body): (&str, &str, &str),
        mut headers: Vec<(String, String)>,
        further: &[(&str, &str)],
    ) {
        headers.extend(further.iter().map(|(name, value)| header(name, value)));
        headers.push(header("X-Request-ID", id));
        let answer = caller.send(method, target, body.as_bytes(), &headers).await;
        let status = self.sent.iter().find(|expected| expected.id == id).unwrap().status;
        assert_eq!(answer.status, status, "{id}: {}", answer.text);
    }
}

fn check(line: &Journaled, expected: &Expected) {
    let id = &expected.id;
    assert_eq!((line.status, line.reason.as_str()), (expected.status, expected.reason), "{id}");
    assert_eq!(line.error_pointer.as_deref(), expected.pointer, "{id}");
    assert_eq!(line.order.as_deref(), expected.order, "{id}");
    assert!(line.authenticated || line.order.is_none(), "{id}");
    assert_eq!((line.merchant, line.mode.is_some()), (expected.owner, expected.owner.is_some()), "{id}");
    assert_eq!(line.peer.as_deref(), Some("127.0.0.1"), "{id}");
    let word = if expected.status == 202 { expected.reason } else { "refused" };
    assert_eq!(line.outcome.as_str(), word, "{id}");
    assert_eq!(line.event.is_some(), expected.status == 202 && line.endpoint == "conversions", "{id}");
}

on_both_databases! {
    async fn every_refusal_is_journaled_with_its_exact_reason(backend: Backend) {
        let mut refusals = Refusals::start(backend).await;
        refusals.before_the_signature().await;
        refusals.on_the_way().await;
        refusals.at_the_signature().await;
        refusals.malformed().await;
        refusals.invalid().await;
        refusals.against_what_is_recorded().await;
        refusals.without_a_store().await;
        let Refusals { service, sent, .. } = refusals;
        let lines = service.journal(sent.len()).await;
        assert_eq!(lines.len(), sent.len());
        let by_id: BTreeMap<&str, &Journaled> =
            lines.iter().map(|line| (line.request_id.as_str(), line)).collect();
        for expected in &sent {
            let line = by_id.get(expected.id.as_str()).unwrap_or_else(|| panic!("{} is not journaled", expected.id));
            check(line, expected);
        }
        // Every request is counted once here and there, and none was dropped.
        assert_eq!(service.figure("conversiond_outcomes_total", &WRITING).await, u64::try_from(sent.len()).unwrap());
        for (status, reason) in sent.iter().map(|expected| (expected.status, expected.reason)) {
            let label = format!("status=\"{status}\",reason=\"{reason}\"");
            assert!(service.figure("conversiond_outcomes_total", &[&label]).await > 0, "{label}");
        }
        assert_eq!(service.figure("conversiond_journal_dropped_total", &[]).await, 0);
    }

    async fn who_is_judged_by_nothing_or_no_more_is_journaled_too(backend: Backend) {
        let settings = "[keys]\nstale_s = 5\n[peer]\nfailures_per_s = 1\nburst = 1\n";
        let clock = Arc::new(TestClock::standing());
        let service = Service::start_at(backend.database(), settings, clock).await;
        for status in [401, 429] {
            let named = [header("X-API-Key", &service.caller.key_id)];
            assert_eq!(service.caller.send("POST", PATH, b"{}", &named).await.status, status);
        }
        // No ring has this master key: the snapshot grows old.
        assert_eq!(service.setup().execute("UPDATE key_secrets SET master_key = 9"), 1);
        let mut posted = 2;
        eventually("the snapshot is stale", async || {
            service.clock.advance(TimeDelta::seconds(6));
            posted += 1;
            service.caller.post(&json!({})).await.status == 503
        })
        .await;
        let lines = service.journal(posted).await;
        // Some are of one moment: their order is by chance.
        for reason in ["SIG_HEADER_MISSING", "PEER_RATE_LIMITED", "storage_unavailable"] {
            assert!(lines.iter().any(|line| line.reason == reason), "{reason}");
        }
        // The owner of the key that is named is known all the same.
        assert!(lines.iter().all(|line| line.merchant == Some(service.merchant)));
    }
}

/// On SQLite nobody can hold a key alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_another_instance_holds_is_journaled_as_in_use() {
    let Some(backend) = Backend::postgres() else { return };
    let service = Service::start_with(backend.database(), "[idempotency]\nwait_ms = 100\n").await;
    let mut setup = service.setup();
    setup.execute("BEGIN");
    setup.execute(&format!(
        "INSERT INTO idempotency_keys VALUES ('{}', 'live', 'key-1', 'other', '', 202, '', now(), now(), 1)",
        service.merchant
    ));
    let answer = service.caller.post_under("key-1", &sale("O-1")).await;
    assert_eq!((answer.status, answer.word().as_str()), (409, "idempotency_key_in_use"));
    setup.execute("ROLLBACK");
    let lines = service.journal(1).await;
    assert_eq!((lines[0].status, lines[0].reason.as_str()), (409, "idempotency_key_in_use"));
    assert_eq!(lines[0].order.as_deref(), Some("O-1"));
}
