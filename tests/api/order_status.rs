//! What orders come to: `POST /api/v1/order-status`, and `orderStatus` beside a sale (contract 6.3, 4.2).

use conversiond::domain::ids::KeyKind;
use conversiond::domain::order_status::OrderStatus;
use conversiond::domain::signature::Form;
use conversiond::storage::AnyConnection;
use diesel::{QueryableByName, RunQueryDsl as _, sql_query, sql_types};
use serde_json::{Value, json};

use crate::support::caller::{Answer, unix_now};
use crate::support::{Backend, Caller, Service, on_both_databases};

const PATH: &str = "/api/v1/order-status";

/// How many rows a table has, all merchants together.
pub fn count(service: &Service, table: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = sql_types::BigInt)]
        count: i64,
    }
    let query = sql_query(format!("SELECT count(*) AS count FROM {table}"));
    let found: Count = match &mut service.setup().connection {
        AnyConnection::Postgres(c) => query.get_result(c).unwrap(),
        AnyConnection::Sqlite(c) => query.get_result(c).unwrap(),
    };
    found.count
}

/// Reports a status, signed in this form.
async fn report(caller: &Caller, form: Form, body: &Value) -> Answer {
    let body = body.to_string();
    let headers = caller.headers(form, "POST", PATH, body.as_bytes());
    caller.send("POST", PATH, body.as_bytes(), &headers).await
}

async fn expect(service: &Service, body: &Value, word: &str) -> Answer {
    let answer = report(&service.caller, Form::Plain, body).await;
    assert_eq!((answer.word().as_str(), answer.status), (word, 202), "{body} -> {}", answer.text);
    answer
}

async fn event(service: &Service, id: &Value) -> Answer {
    let answer = service.caller.get(&format!("/api/v1/conversions/{}", id.as_str().unwrap())).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

fn status(order: &str, status: &str) -> Value {
    json!({"externalOrderId": order, "status": status})
}

fn with(body: &Value, member: &str, value: Value) -> Value {
    let mut changed = body.clone();
    changed[member] = value;
    changed
}

fn reversing(name: &str, order: &str) -> Value {
    json!({"event_name": name, "custom_data": {"related_order_id": order}})
}

on_both_databases! {
    async fn each_of_the_nine_statuses_is_kept_once(backend: Backend) {
        let service = Service::start(backend).await;
        let mut refund = None;
        for known in OrderStatus::ALL {
            let name = known.as_str();
            let body = json!({"externalOrderId": "O-1", "status": name, "statusUpdatedAt": "2026-01-02T03:04:05Z",
                "reason": "because\nof this", "clickId": "no token", "metadata": {"a": [1]}});
            let first = expect(&service, &body, "ACCEPTED").await;
            let mut wanted = json!({"status": "ACCEPTED", "order_id": "O-1", "order_status": name});
            if matches!(name, "cancelled" | "returned" | "refunded") {
                wanted["event_id"] = first.at("/event_id");
                assert!(wanted["event_id"].as_str().is_some_and(|id| id.starts_with("evt_")), "{}", first.text);
            }
            if matches!(name, "returned" | "refunded") {
                assert_eq!(*refund.get_or_insert(first.at("/event_id")), first.at("/event_id"));
            }
            assert_eq!(first.json(), wanted);
            wanted["status"] = json!("DUPLICATE");
            assert_eq!(expect(&service, &body, "DUPLICATE").await.json(), wanted);
        }
        assert_eq!((count(&service, "order_statuses"), service.count_events()), (9, 2));
    }

    async fn an_unknown_status_is_refused_with_a_list_of_all(backend: Backend) {
        let service = Service::start(backend).await;
        for unknown in ["shipped", "paid ", "", "status_refund"] {
            let answer = report(&service.caller, Form::Plain, &status("O-1", unknown)).await;
            answer.expect_errors(&["/status unknown_value"]);
            for known in OrderStatus::ALL {
                assert!(answer.at("/errors/0/message").as_str().unwrap().contains(known.as_str()), "{}", answer.text);
            }
        }
        assert_eq!((count(&service, "order_statuses"), service.count_events()), (0, 0));
    }

    async fn a_status_is_known_by_order_status_and_instant(backend: Backend) {
        let service = Service::start(backend).await;
        let paid = status("O-1", "paid");
        let at = |instant: &str| with(&paid, "statusUpdatedAt", json!(instant));
        expect(&service, &at("2026-01-02T03:04:05Z"), "ACCEPTED").await;
        for same in ["2026-01-02T04:04:05+01:00", "2026-01-01T17:04:05.000-10:00", "2026-01-02t03:04:05.0000009z"] {
            expect(&service, &at(same), "DUPLICATE").await;
        }
        for other in ["2026-01-02T03:04:06Z", "2026-01-02T03:04:05.000001Z", "2026-01-02T03:04:05+01:00"] {
            expect(&service, &at(other), "ACCEPTED").await;
        }
        expect(&service, &paid, "ACCEPTED").await;
        expect(&service, &with(&paid, "statusUpdatedAt", json!(null)), "DUPLICATE").await;
        expect(&service, &with(&paid, "reason", json!("another reason is the same status")), "DUPLICATE").await;
        expect(&service, &status("o-1", "paid"), "ACCEPTED").await;
        expect(&service, &status("O-1", "pending"), "ACCEPTED").await;
        assert_eq!((count(&service, "order_statuses"), service.count_events()), (7, 0));
    }

    async fn a_cancelled_order_and_its_cancellation_are_one_event_in_either_order(backend: Backend) {
        let service = Service::start(backend).await;
        let told = expect(&service, &status("O-1", "cancelled"), "ACCEPTED").await;
        let reported = service.caller.post(&reversing("cancellation", "O-1")).await;
        assert_eq!((reported.word().as_str(), reported.at("/event_id")), ("DUPLICATE", told.at("/event_id")));
        let reported = service.caller.post(&reversing("cancellation", "O-2")).await;
        assert_eq!(reported.word(), "ACCEPTED");
        let told = expect(&service, &status("O-2", "cancelled"), "ACCEPTED").await;
        assert_eq!(told.at("/event_id"), reported.at("/event_id"));
        // Again at another moment: another line of the timeline, and no other event.
        let again = with(&status("O-2", "cancelled"), "statusUpdatedAt", json!("2026-01-02T03:04:05Z"));
        assert_eq!(expect(&service, &again, "ACCEPTED").await.at("/event_id"), told.at("/event_id"));
        let event = event(&service, &told.at("/event_id")).await;
        assert_eq!((event.at("/event_name"), event.at("/order_id")), (json!("cancellation"), json!("O-2")));
        assert_eq!((event.at("/times_received"), event.at("/attribution/status")), (json!(3), json!("inherited")));
        assert_eq!((count(&service, "order_statuses"), service.count_events()), (3, 2));
    }

    async fn returned_and_refunded_are_one_status_refund_in_either_order(backend: Backend) {
        let service = Service::start(backend).await;
        for (order, [first, second]) in [("O-1", ["returned", "refunded"]), ("O-2", ["refunded", "returned"])] {
            let body = with(&status(order, first), "statusUpdatedAt", json!("2026-01-02T03:04:05Z"));
            let first = expect(&service, &body, "ACCEPTED").await;
            let second = expect(&service, &status(order, second), "ACCEPTED").await;
            assert_eq!(first.at("/event_id"), second.at("/event_id"));
            let event = event(&service, &first.at("/event_id")).await;
            assert_eq!(event.at("/event_name"), "status_refund");
            assert_eq!(event.at("/order_id"), order);
            assert_eq!(event.at("/occurred_at"), "2026-01-02T03:04:05Z");
            for member in ["/value", "/currency", "/external_id", "/metadata"] {
                assert_eq!(event.at(member), json!(null), "{member}");
            }
            assert_eq!(event.at("/times_received"), 2);
        }
        assert_eq!((count(&service, "order_statuses"), service.count_events()), (4, 2));
    }

    async fn a_status_refund_never_meets_the_merchants_refunds(backend: Backend) {
        let service = Service::start(backend).await;
        let everything = reversing("refund", "O-1");
        let part = json!({"event_name": "refund", "external_id": "R-1",
            "custom_data": {"related_order_id": "O-1", "value": "10", "currency": "USD"}});
        let own = service.caller.post(&everything).await;
        let told = expect(&service, &status("O-1", "refunded"), "ACCEPTED").await;
        let second = service.caller.post(&part).await;
        assert_eq!((own.word(), second.word()), ("ACCEPTED".to_owned(), "ACCEPTED".to_owned()), "{}", second.text);
        let told_first = expect(&service, &status("O-2", "returned"), "ACCEPTED").await;
        let own_second = service.caller.post(&reversing("refund", "O-2")).await;
        assert_eq!(own_second.word(), "ACCEPTED", "{}", own_second.text);
        assert_ne!(own_second.at("/event_id"), told_first.at("/event_id"));
        let listed = async |query: &str| {
            let answer = service.caller.get(&format!("/api/v1/conversions?{query}")).await;
            let data = answer.at("/data").as_array().unwrap().clone();
            data.iter().map(|event| event["event_id"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(listed("event_name=status_refund").await, [told_first.at("/event_id"), told.at("/event_id")]);
        assert_eq!(listed("event_name=status_refund&order_id=O-1").await, [told.at("/event_id")]);
        assert_eq!(listed("event_name=refund&order_id=O-1").await, [second.at("/event_id"), own.at("/event_id")]);
        let forged = service.caller.post(&reversing("status_refund", "O-3")).await;
        forged.expect_errors(&["/event_name unknown_value"]);
        assert!(!forged.text.contains("status_refund"), "{}", forged.text);
        assert_eq!(service.count_events(), 5);
    }

    async fn a_status_after_the_cancellation_is_kept(backend: Backend) {
        let service = Service::start(backend).await;
        for name in ["cancelled", "paid", "refunded", "commission_rejected"] {
            expect(&service, &status("O-1", name), "ACCEPTED").await;
        }
        assert_eq!((count(&service, "order_statuses"), service.count_events()), (4, 2));
    }

    async fn a_sale_and_the_status_beside_it_have_outcomes_of_their_own(backend: Backend) {
        let service = Service::start(backend).await;
        let sale = json!({"externalOrderId": "O-1", "amount": "12.50", "currency": "EUR"});
        let mut event_id = None;
        for (name, words) in [
            (None, ["ACCEPTED", ""]),
            (Some("pending"), ["DUPLICATE", "ACCEPTED"]),
            (Some("paid"), ["DUPLICATE", "ACCEPTED"]),
            (Some("paid"), ["DUPLICATE", "DUPLICATE"]),
            (Some("cancelled"), ["DUPLICATE", "ACCEPTED"]),
            (None, ["DUPLICATE", ""]),
        ] {
            let body = with(&sale, "orderStatus", json!(name));
            let answer = service.caller.post(&body).await;
            let told = answer.at("/order_status/status");
            assert_eq!([answer.word().as_str(), told.as_str().unwrap_or("")], words, "{body} -> {}", answer.text);
            assert_eq!(answer.at("/differs"), json!(null), "{}", answer.text);
            assert_eq!((answer.at("/event_name"), answer.at("/order_id")), (json!("sale"), json!("O-1")));
            assert_eq!(*event_id.get_or_insert(answer.at("/event_id")), answer.at("/event_id"));
        }
        // The same statuses, told the other way.
        for name in ["pending", "paid", "cancelled"] {
            expect(&service, &status("O-1", name), "DUPLICATE").await;
        }
        expect(&service, &status("O-2", "paid"), "ACCEPTED").await;
        let both_new = with(&with(&sale, "externalOrderId", json!("O-3")), "orderStatus", json!("returned"));
        let answer = service.caller.post(&both_new).await;
        assert_eq!((answer.word().as_str(), answer.at("/order_status/status")), ("ACCEPTED", json!("ACCEPTED")));
        let known = with(&with(&sale, "externalOrderId", json!("O-2")), "orderStatus", json!("paid"));
        let answer = service.caller.post(&known).await;
        assert_eq!((answer.word().as_str(), answer.at("/order_status/status")), ("ACCEPTED", json!("DUPLICATE")));
        let unknown = with(&with(&sale, "externalOrderId", json!("O-4")), "orderStatus", json!("shipped"));
        service.caller.post(&unknown).await.expect_errors(&["/orderStatus unknown_value"]);
        assert_eq!((count(&service, "order_statuses"), service.count_events()), (5, 5));
    }

    async fn every_error_is_told_at_once_and_nothing_is_written(backend: Backend) {
        let service = Service::start(backend).await;
        let refused = async |body: &Value, errors: &[&str]| {
            report(&service.caller, Form::Plain, body).await.expect_errors(errors);
        };
        let all = json!({"externalOrderId": "", "status": "lost", "statusUpdatedAt": 1_764_109_104, "clickId": 1,
            "reason": "x".repeat(501), "metadata": []});
        refused(&all, &["/clickId wrong_type", "/externalOrderId invalid_id", "/metadata wrong_type", "/reason too_long",
            "/status unknown_value", "/statusUpdatedAt wrong_type"]).await;
        refused(&json!({}), &["/externalOrderId required", "/status required"]).await;
        refused(&json!([]), &[" wrong_type"]).await;
        let cancelled = status("O-1", "cancelled");
        for (member, value, error) in [
            ("externalOrderId", json!("a\nb"), "/externalOrderId invalid_id"),
            ("externalOrderId", json!(7), "/externalOrderId wrong_type"),
            ("status", json!(["paid"]), "/status wrong_type"),
            ("statusUpdatedAt", json!("2026-01-02T03:04:05"), "/statusUpdatedAt invalid_instant"),
            ("statusUpdatedAt", json!("9000-01-02T03:04:05Z"), "/statusUpdatedAt in_the_future"),
            ("reason", json!("é".repeat(501)), "/reason too_long"),
            ("reason", json!("a\u{7}b"), "/reason invalid_text"),
            ("metadata", json!({"text": "x".repeat(8 * 1024)}), "/metadata too_long"),
            ("metadata", json!("text"), "/metadata wrong_type"),
        ] {
            refused(&with(&cancelled, member, value), &[error]).await;
        }
        let target = PATH;
        for (body, code) in [("{", "malformed_json"), (r#"{"status":"paid","status":"paid"}"#, "malformed_json"),
            ("", "malformed_request")] {
            let headers = service.caller.headers(Form::Bound, "POST", target, body.as_bytes());
            service.caller.send("POST", target, body.as_bytes(), &headers).await.expect_problem(400, code);
        }
        service.caller.get(target).await.expect_problem(405, "method_not_allowed");
        assert_eq!((count(&service, "order_statuses"), service.count_events()), (0, 0));
        let padding = 8 * 1024 - json!({"text": ""}).to_string().len();
        let largest = with(&with(&cancelled, "reason", json!("é".repeat(500))), "metadata",
            json!({"text": "x".repeat(padding)}));
        expect(&service, &largest, "ACCEPTED").await;
    }

    async fn a_status_is_replayed_under_its_key_and_a_refused_one_leaves_nothing_there(backend: Backend) {
        let service = Service::start(backend).await;
        let under = async |body: &Value| {
            let text = body.to_string();
            let key = "ORD-1-cancelled";
            let mut headers = service.caller.headers_at(Form::Bound, "POST", PATH, text.as_bytes(), unix_now(), key);
            headers.push(("Idempotency-Key".to_owned(), key.to_owned()));
            service.caller.send("POST", PATH, text.as_bytes(), &headers).await
        };
        under(&status("O-1", "gone")).await.expect_problem(422, "validation_failed");
        let first = under(&status("O-1", "cancelled")).await;
        assert_eq!((first.word().as_str(), first.header("idempotent-replayed")), ("ACCEPTED", None));
        let second = under(&status("O-1", "cancelled")).await;
        assert_eq!((second.status, &second.text), (202, &first.text));
        assert_eq!(second.header("idempotent-replayed"), Some("true"));
        under(&status("O-1", "paid")).await.expect_problem(422, "idempotency_key_mismatch");
        // It stands for the delivery's id, too.
        let (body, key) = (status("O-1", "cancelled").to_string(), ("Idempotency-Key", "ORD-1-cancelled"));
        let mut headers = service.caller.headers(Form::Plain, "POST", PATH, body.as_bytes());
        for (name, value) in [key, ("X-External-Event-Id", "E-1")] {
            headers.push((name.to_owned(), value.to_owned()));
        }
        let other = service.caller.send("POST", PATH, body.as_bytes(), &headers).await;
        other.expect_problem(422, "idempotency_key_mismatch");
        assert_eq!((count(&service, "order_statuses"), service.count_events()), (1, 1));
    }

    async fn statuses_of_other_merchants_and_of_test_mode_never_meet(backend: Backend) {
        let service = Service::start(backend).await;
        let mut setup = service.setup();
        let other = setup.merchant();
        let (test, other) = (setup.key(KeyKind::Test, Some(service.merchant)), setup.key(KeyKind::Live, Some(other)));
        crate::support::eventually("the keys are known", async || {
            test.get("/api/v1/conversions").await.status == 200 && other.get("/api/v1/conversions").await.status == 200
        }).await;
        let callers = [&service.caller, &test, &other];
        let mut ids = Vec::new();
        for (caller, form) in callers.into_iter().zip([Form::Plain, Form::Bound, Form::StandardWebhooks]) {
            for word in ["ACCEPTED", "DUPLICATE"] {
                let answer = report(caller, form, &status("O-1", "cancelled")).await;
                assert_eq!(answer.word(), word, "{}", answer.text);
                ids.push(answer.at("/event_id"));
            }
        }
        ids.dedup();
        assert_eq!(ids.len(), 3, "{ids:?}");
        assert_eq!((count(&service, "order_statuses"), service.count_events()), (3, 3));
    }

    async fn a_status_told_sixteen_times_at_once_is_kept_once(backend: Backend) {
        let service = Service::start(backend).await;
        let second = if backend == Backend::Sqlite { None } else { Some(service.another("").await) };
        for round in 0..4 {
            let order = format!("O-{round}");
            let bodies: Vec<Value> = ["returned", "refunded"].map(|name| status(&order, name)).into();
            let calls = (0..16).flat_map(|call| {
                let instance = second.as_ref().filter(|_| call % 2 == 1).unwrap_or(&service);
                bodies.iter().map(|body| report(&instance.caller, Form::Plain, body))
            });
            let answers = futures_util::future::join_all(calls).await;
            for name in ["returned", "refunded"] {
                let of_status = answers.iter().filter(|answer| answer.at("/order_status") == name);
                let (new, known): (Vec<_>, Vec<_>) = of_status.partition(|answer| answer.word() == "ACCEPTED");
                assert_eq!((new.len(), known.len()), (1, 15));
            }
            assert!(answers.iter().all(|answer| answer.at("/event_id") == answers[0].at("/event_id")));
            assert_eq!(event(&service, &answers[0].at("/event_id")).await.at("/times_received"), 32);
        }
        assert_eq!((count(&service, "order_statuses"), service.count_events()), (8, 4));
    }
}
