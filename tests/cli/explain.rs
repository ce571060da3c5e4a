//! `explain`: why an event, an attempt or an order is as it is.

use conversiond::domain::signature::Form;
use serde_json::{Value, json};

use crate::shell::{self, Ran, caller, key, merchant, text};
use crate::support::caller::Answer;
use crate::support::process::{ServeProcess, run_json};
use crate::support::service::Setup;
use crate::support::{Backend, Caller, TestDatabase, eventually, on_both_databases};

const LINK: &str = "2f5e5a3e-8a53-4a1b-9a8e-2d4f7c1b0a99";

struct Shop {
    database: TestDatabase,
    service: ServeProcess,
    merchant: String,
    caller: Caller,
}

impl Shop {
    fn open(backend: Backend) -> Self {
        let database = backend.database();
        let merchant = merchant(&database);
        let issued = key(&database, &["--merchant", &merchant]);
        // Click tokens have a key before the service reads them.
        shell::run(&database, &["token-key", "rotate"]).done();
        let service = ServeProcess::start(&database);
        let caller = caller(&service.base, issued);
        Self { database, service, merchant, caller }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        shell::run(&self.database, arguments)
    }

    fn token(&self, clicked_at: &str) -> String {
        let mint = ["token", "mint", "--merchant", &self.merchant, "--domain", LINK, "--url", LINK];
        text(&run_json(&self.database, &[&mint[..], &["--clicked-at", clicked_at]].concat()), "nim_ct")
    }

    async fn post_to(&self, target: &str, body: &Value) -> Answer {
        let body = body.to_string();
        let headers = self.caller.headers(Form::Plain, "POST", target, body.as_bytes());
        self.caller.send("POST", target, body.as_bytes(), &headers).await
    }

    /// The text holds all of these; the same as JSON.
    #[track_caller]
    fn explains(&self, arguments: &[&str], words: &[&str]) -> Value {
        let arguments = [&["explain"], arguments].concat();
        let told = self.run(&arguments).done().out;
        for word in words {
            assert!(told.contains(word), "{word:?} is not in:\n{told}");
        }
        run_json(&self.database, &arguments)
    }

    /// Waits until so many refused attempts name an order.
    async fn refusals(&self, order: &str, count: usize) {
        let listed = ["attempts", "--outcome", "refused", "--order", order];
        eventually("the refusals are journaled", async || {
            run_json(&self.database, &listed)["attempts"].as_array().unwrap().len() == count
        })
        .await;
    }
}

fn sale(order: &str) -> Value {
    json!({"event_name": "sale", "event_time": "2026-06-01T12:00:00Z",
           "custom_data": {"order_id": order, "value": "12.50", "currency": "EUR"}})
}

fn member(answer: &Answer, name: &str) -> String {
    answer.at(&format!("/{name}")).as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
}

on_both_databases! {
    async fn an_event_is_told_from_its_request_to_its_result(backend: Backend) {
        let shop = Shop::open(backend);
        let body = sale("O-1");
        let accepted = shop.caller.post_under("key-1", &body).await;
        assert_eq!(shop.caller.post_under("key-1", &body).await.header("idempotent-replayed"), Some("true"));
        let mut other = body.clone();
        other["custom_data"]["value"] = json!("13");
        assert_eq!(shop.caller.post(&other).await.word(), "DUPLICATE");
        let mut late = body.clone();
        late["nim_ct"] = json!(shop.token("2026-05-30T11:00:00Z"));
        assert_eq!(shop.caller.post(&late).await.at("/attribution/status"), "attributed");
        let event = member(&accepted, "event_id");
        let request = accepted.header("x-request-id").unwrap();
        let told = shop.explains(&[&event], &[
            &event, &shop.merchant, "live", "a sale, order O-1, 12.50 EUR", request, "conversions", "127.0.0.1",
            &shop.caller.key_id, "v2 (the whole request)", "key key-1, seen once more",
            "2026-06-01T12:00:00.000Z, as the merchant says",
            "the sale of order O-1: an order has one", "3 times: 2 of them DUPLICATE, once with other content",
            "genuine, with a repeat", LINK, "2026-05-30T11:00:00.000Z, 2 days 1 h before the event",
            "30 days at present", "brought the token that decided", "recorded once and credited to link",
        ]);
        let event = &told["events"][0];
        assert_eq!((&told["kind"], &told["order_id"]), (&json!("event"), &json!("O-1")));
        assert_eq!((&event["times_received"], &event["times_differed"]), (&json!(3), &json!(1)));
        assert_eq!((&event["attempt"]["request_id"], &event["attempt"]["outcome"]), (&json!(request), &json!("accepted")));
        assert_eq!((&event["signature_form"], &event["idempotency"]["times_seen"]), (&json!("v2"), &json!(2)));
        assert_eq!((&event["attribution"]["status"], &event["attribution"]["url_id"]), (&json!("attributed"), &json!(LINK)));
        assert!(event["late_attribution_at"].is_string(), "{event}");
    }

    async fn what_is_forgotten_by_now_is_said_to_be(backend: Backend) {
        let shop = Shop::open(backend);
        let event = member(&shop.caller.post_under("key-1", &sale("O-1")).await, "event_id");
        shop.explains(&[&event], &["key key-1, not seen again"]);
        let mut setup = Setup::new(&shop.database, "");
        setup.execute("UPDATE idempotency_keys SET claimed_by = 'att_of_another'");
        shop.explains(&[&event], &["key key-1, which att_of_another has used again since"]);
        setup.execute("DELETE FROM idempotency_keys");
        setup.execute("DELETE FROM attempts");
        let told = shop.explains(&[&event], &["forgotten by now (kept 24 hours)", "not in the journal any more (kept 90 days)"]);
        assert_eq!((&told["events"][0]["attempt"], &told["events"][0]["idempotency"]), (&Value::Null, &Value::Null));
        assert!(told["events"][0]["attempt_id"].as_str().unwrap().starts_with("att_"));
        setup.execute("UPDATE events SET attempt_id = NULL, body = NULL, idempotency_key = NULL");
        shop.explains(&[&event], &["recorded before there was a journal", "it came under no key"]);
    }

    async fn a_token_that_earned_no_link_is_told_with_its_click(backend: Backend) {
        let shop = Shop::open(backend);
        let stranger = merchant(&shop.database);
        let foreign = run_json(&shop.database, &["token", "mint", "--merchant", &stranger, "--domain", LINK, "--url", LINK]);
        for (order, token, reason, words) in [
            ("O-1", None, "no_token", "none came with it"),
            ("O-2", Some("x".repeat(110)), "invalid_token", "not one of ours"),
            ("O-3", Some(text(&foreign, "nim_ct")), "wrong_merchant", "of another merchant's link"),
            ("O-4", Some(shop.token("2026-04-01T12:00:00Z")), "outside_window", "61 days 0 h before the event"),
            ("O-5", Some(shop.token("2026-06-01T13:00:00Z")), "click_after_event", "1h after the event"),
        ] {
            let mut body = sale(order);
            body["nim_ct"] = json!(token);
            assert_eq!(shop.caller.post(&body).await.word(), "ACCEPTED");
            let told = shop.explains(&[order], &[words, &format!("credited to no link ({reason})")]);
            assert_eq!(told["events"][0]["attribution"]["reason"], reason);
            assert_eq!(told["events"][0]["token"].is_null(), matches!(reason, "no_token" | "invalid_token"));
        }
    }

    async fn an_order_is_told_with_its_statuses_and_what_was_refused(backend: Backend) {
        let shop = Shop::open(backend);
        let mut bad = sale("O-1");
        bad["custom_data"]["value"] = json!("12.505");
        assert_eq!(shop.caller.post(&bad).await.status, 422);
        let nobody = Caller { key_id: "ak_live_000000000000000000000000".to_owned(), ..shop.caller.clone() };
        assert_eq!(nobody.post(&sale("O-1")).await.status, 401);
        shop.refusals("O-1", 1).await;
        // Nothing is recorded yet: the refusal tells why. What nobody signed is about no order.
        let told = shop.explains(&["O-1"], &[
            "Order O-1, live", &shop.merchant, "422 validation_failed at /custom_data/value",
            "Nothing is recorded of order O-1",
        ]);
        assert_eq!((told["events"].as_array().unwrap().len(), told["refused_attempts"].as_array().unwrap().len()), (0, 1));
        assert_eq!(shop.caller.post(&sale("O-1")).await.word(), "ACCEPTED");
        let status = json!({"externalOrderId": "O-1", "status": "returned", "reason": "too small",
                            "statusUpdatedAt": "2026-06-03T10:00:00Z"});
        for _ in 0..2 {
            assert_eq!(shop.post_to("/api/v1/order-status", &status).await.status, 202);
        }
        let told = shop.explains(&["O-1"], &[
            "a sale, order O-1", "the refund that the status of order O-1 tells", "what its order's sale is credited to",
            "Statuses of order O-1", "returned", "\"too small\"", "2026-06-03T10:00:00", "received 2 times",
            "Refused attempts that name order O-1", "The refund is recorded once",
        ]);
        assert_eq!(told["order_statuses"][0]["times_received"], 2);
        assert_eq!(told["order_statuses"][0]["event_id"], told["events"][1]["event_id"]);
        // A status alone is no event.
        let paid = json!({"externalOrderId": "O-2", "status": "paid"});
        assert_eq!(shop.post_to("/api/v1/order-status", &paid).await.status, 202);
        shop.explains(&["O-2"], &["has statuses and no event; the last one is paid"]);
    }

    async fn an_attempt_is_told_with_what_it_brought_or_met(backend: Backend) {
        let shop = Shop::open(backend);
        let attempts = || run_json(&shop.database, &["attempts"])["attempts"].as_array().unwrap().clone();
        let rows = json!({"rows": [sale("O-1"), {"externalOrderId": "O-2"}, sale("O-3")]});
        assert_eq!(shop.post_to("/api/v1/conversions/bulk", &rows).await.status, 200);
        let bulk = text(&attempts()[0], "attempt_id");
        let told = shop.explains(&[&bulk], &[
            "conversions_bulk", "answer       200 accepted", "refused row  1 (order O-2): 422 validation_failed",
            "a sale, order O-1", "a sale, order O-3", "The request was accepted: recorded. It is about evt_",
            "Rows refused: 1.",
        ]);
        assert_eq!(told["events"].as_array().unwrap().len(), 2);
        assert_eq!(told["attempt"].as_array().unwrap().len(), 2);
        // A repeat is told with the event that it met, and whence that came.
        assert_eq!(shop.caller.post(&sale("O-1")).await.word(), "DUPLICATE");
        let repeat = text(attempts().last().unwrap(), "attempt_id");
        let told = shop.explains(&[&repeat], &[&bulk, "The request was duplicate", "a sale, order O-1"]);
        assert_eq!(told["events"][0]["attempt_id"], bulk);
        let forger = Caller { secret: shell::caller("", key(&shop.database, &["--merchant", &shop.merchant])).secret,
            ..shop.caller.clone() };
        assert_eq!(forger.post(&sale("O-1")).await.status, 401);
        eventually("the forgery is journaled", async || attempts().last().unwrap()["status"] == 401).await;
        let refused = text(attempts().last().unwrap(), "attempt_id");
        let told = shop.explains(&[&refused], &[
            "401 SIG_BAD_SIGNATURE", "another secret, or the body was changed", "Nothing was recorded", "SHA-256",
            "not right: anybody may have made this request", "order        none",
        ]);
        assert_eq!((&told["attempt"][0]["authenticated"], &told["attempt"][0]["order_id"]), (&json!(false), &Value::Null));
        assert_eq!((told["events"].as_array().unwrap().len(), &told["refused_attempts"]), (0, &json!([])));
    }

    async fn an_order_that_several_have_is_asked_for_by_merchant_and_mode(backend: Backend) {
        let shop = Shop::open(backend);
        let stranger = merchant(&shop.database);
        let test = key(&shop.database, &["--merchant", &shop.merchant, "--mode", "test"]);
        let theirs = key(&shop.database, &["--merchant", &stranger]);
        let [test, theirs] = [test, theirs].map(|issued| caller(&shop.service.base, issued));
        assert_eq!(shop.caller.post(&sale("O-1")).await.word(), "ACCEPTED");
        for caller in [&test, &theirs] {
            let answered = eventually("the key is known", async || caller.post(&sale("O-1")).await.status == 202);
            answered.await;
        }
        shop.run(&["explain", "O-1"])
            .failed_saying(&["several", &shop.merchant, &stranger, "--merchant", "--mode", "test"]);
        shop.run(&["explain", "O-1", "--merchant", &shop.merchant]).failed_saying(&["live", "test"]);
        shop.run(&["explain", "O-1", "--mode", "live"]).failed_saying(&["several", &stranger]);
        let told = shop.explains(&["O-1", "--merchant", &shop.merchant, "--mode", "test"], &["Order O-1, test"]);
        assert_eq!((&told["mode"], told["events"].as_array().unwrap().len()), (&json!("test"), 1));
        let told = shop.explains(&["O-1", "--merchant", &stranger], &[&stranger]);
        assert_eq!(told["merchant_id"], stranger);
        // An id is one alone.
        let event = text(&told["events"][0], "event_id");
        shop.explains(&[&event], &[&stranger]);
        shop.run(&["explain", &event, "--merchant", &shop.merchant])
            .failed_saying(&["nothing is known of", &event, &shop.merchant]);
    }

    async fn what_is_not_known_is_said_with_where_it_was_looked_for(backend: Backend) {
        let shop = Shop::open(backend);
        for (id, words) in [
            ("evt_01k86r3hkvfyh8z0rff08k4yyf", "the events"),
            ("att_01k86r3hkvfyh8z0rff08k4yyf", "the attempts"),
            ("O-1", "the orders"),
            ("", "the orders"),
        ] {
            let ran = shop.run(&["explain", id]);
            ran.failed_saying(&["nothing is known of", id, words, &shop.merchant, "live and test", "90 days"]);
        }
    }
}
