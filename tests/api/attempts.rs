//! The journal as merchants read it (contract section 9).

use chrono::TimeDelta;
use conversiond::domain::ids::KeyKind;
use conversiond::domain::signature::Form;
use serde_json::{Value, json};

use crate::support::service::Setup;
use crate::support::{Backend, Caller, Service, eventually, on_both_databases};

const PATH: &str = "/api/v1/attempts";
const CONVERSIONS: &str = "/api/v1/conversions";

async fn list(caller: &Caller, query: &str) -> Value {
    let answer = caller.get(&format!("{PATH}{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    answer.json()
}

fn data(page: &Value) -> &[Value] {
    page["data"].as_array().unwrap()
}

/// What the lines of a page say of a member.
fn all(page: &Value, member: &str) -> Vec<Value> {
    data(page).iter().map(|line| line[member].clone()).collect()
}

fn sale(order: &str) -> Value {
    json!({"event_name": "sale", "custom_data": {"order_id": order, "value": "1", "currency": "USD"}})
}

/// Posts a bulk request of these rows; its id is the request's.
async fn bulk(service: &Service, id: &str, rows: &[Value]) {
    let (target, body) = ("/api/v1/conversions/bulk", json!({"rows": rows}).to_string());
    let mut headers = service.caller.headers(Form::Plain, "POST", target, body.as_bytes());
    headers.push(("X-Request-ID".to_owned(), id.to_owned()));
    let answer = service.caller.send("POST", target, body.as_bytes(), &headers).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// Lets time pass, so that what comes has a later id.
fn tick(service: &Service) {
    service.clock.advance(TimeDelta::milliseconds(2));
}

/// Two sales, one of them twice, a refused callback, and a bulk request with two refused rows. The
/// lines that come of it are seven.
async fn history(service: &Service) {
    assert_eq!(service.caller.post(&sale("O-1")).await.word(), "ACCEPTED");
    tick(service);
    assert_eq!(service.caller.post(&sale("O-1")).await.word(), "DUPLICATE");
    tick(service);
    let bad =
        json!({"event_name": "sale", "custom_data": {"order_id": "O-2", "value": "x", "currency": "USD"}});
    assert_eq!(service.caller.post(&bad).await.status, 422);
    tick(service);
    bulk(service, "bulk-1", &[json!([]), sale("O-3"), json!({"externalOrderId": "O-4"}), sale("O-5")]).await;
    tick(service);
    assert_eq!(service.caller.post(&sale("O-2")).await.word(), "ACCEPTED");
    eventually("the refusal is journaled", async || data(&list(&service.caller, "").await).len() == 7).await;
}

on_both_databases! {
    async fn what_is_recorded_is_in_the_journal_with_the_answer(backend: Backend) {
        let service = Service::start(backend).await;
        let body = sale("O-1");
        for (number, word) in ["accepted", "replayed", "duplicate"].into_iter().enumerate() {
            let answer = match word {
                "duplicate" => service.caller.post(&body).await,
                _ => service.caller.post_under("key-1", &body).await,
            };
            let page = list(&service.caller, "").await;
            assert_eq!(data(&page).len(), number + 1);
            let line = &data(&page)[0];
            assert_eq!((&line["outcome"], &line["reason"], &line["status"]), (&json!(word), &json!(word), &json!(202)));
            assert_eq!((&line["event_id"], &line["order_id"]), (&answer.at("/event_id"), &json!("O-1")));
            tick(&service);
        }
    }

    async fn a_line_tells_who_asked_for_what_and_what_came_of_it(backend: Backend) {
        let service = Service::start(backend).await;
        history(&service).await;
        let page = list(&service.caller, "").await;
        let of = |outcome: &str, row: &Value| {
            data(&page).iter().find(|line| line["outcome"] == outcome && line["row"] == *row).unwrap().clone()
        };
        let accepted = data(&page).last().unwrap();
        let mut members: Vec<&str> = accepted.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        let mut expected = ["attempt_id", "started_at", "endpoint", "peer", "key_id", "request_id", "body_sha256",
            "body_bytes", "outcome", "status", "reason", "error_pointer", "order_id", "event_id", "elapsed_us", "authenticated"];
        expected.sort_unstable();
        assert_eq!(members, expected);
        assert!(accepted["attempt_id"].as_str().unwrap().starts_with("att_"));
        assert_eq!(accepted["key_id"], service.caller.key_id);
        assert_eq!((&accepted["peer"], &accepted["endpoint"]), (&json!("127.0.0.1"), &json!("conversions")));
        assert_eq!(accepted["body_bytes"], sale("O-1").to_string().len());
        assert_eq!(accepted["body_sha256"].as_str().unwrap().len(), 64);
        // Instants have microseconds at most.
        for at in all(&page, "started_at") {
            assert!(at.as_str().unwrap().len() <= "2026-11-21T20:00:00.123456Z".len(), "{at}");
        }
        let refused = of("refused", &Value::Null);
        assert_eq!((&refused["status"], &refused["reason"]), (&json!(422), &json!("validation_failed")));
        assert_eq!((&refused["error_pointer"], &refused["order_id"]), (&json!("/custom_data/value"), &json!("O-2")));
        assert_eq!(refused["event_id"], Value::Null);
        // Of a bulk request the refused rows are listed, each with its index, behind the request itself.
        let (first, third) = (of("refused", &json!(0)), of("refused", &json!(2)));
        assert_eq!((&first["order_id"], &third["order_id"]), (&Value::Null, &json!("O-4")));
        assert_eq!(third["error_pointer"], "/orderAmount");
        assert_eq!(first["attempt_id"], third["attempt_id"]);
        let whole: Vec<&Value> = data(&page).iter().filter(|line| line["request_id"] == "bulk-1").collect();
        assert_eq!(whole.iter().map(|line| line["row"].as_u64()).collect::<Vec<_>>(), [Some(2), Some(0), None]);
        assert_eq!((&whole[2]["outcome"], &whole[2]["status"]), (&json!("accepted"), &json!(200)));
    }

    async fn pages_are_newest_first_and_stable_under_inserts(backend: Backend) {
        let service = Service::start(backend).await;
        history(&service).await;
        let place = |line: &Value| (line["attempt_id"].clone(), line["row"].clone());
        let whole: Vec<_> = data(&list(&service.caller, "").await).iter().map(place).collect();
        for limit in 1..=7 {
            let mut walked = Vec::new();
            let mut page = list(&service.caller, &format!("?limit={limit}")).await;
            loop {
                walked.extend(data(&page).iter().map(place));
                let Some(cursor) = page["next_cursor"].as_str() else { break };
                // What comes meanwhile is newer than every page.
                tick(&service);
                assert_eq!(service.caller.post(&sale("O-1")).await.status, 202);
                page = list(&service.caller, &format!("?cursor={cursor}&limit={limit}")).await;
            }
            assert_eq!(walked[walked.len() - 7..], whole, "{limit}");
        }
    }

    async fn an_orders_refusals_are_paged_through_like_all_others(backend: Backend) {
        let service = Service::start(backend).await;
        let bad = json!({"externalOrderId": "O-1"});
        for round in 0..3 {
            // The order's lines are the second and the fourth row of each, and a request of its own.
            bulk(&service, &format!("bulk-{round}"), &[sale("O-2"), bad.clone(), json!([]), bad.clone()]).await;
            tick(&service);
            assert_eq!(service.caller.post(&bad).await.status, 422);
            tick(&service);
        }
        service.journal(6).await;
        let query = "?order_id=O-1&outcome=refused";
        let rows = |page: &Value| data(page).iter().map(|line| line["row"].as_u64()).collect::<Vec<_>>();
        let whole = list(&service.caller, query).await;
        assert_eq!(rows(&whole), [None, Some(3), Some(1)].repeat(3));
        for limit in 1..=9 {
            let mut walked = Vec::new();
            let mut cursor = String::new();
            loop {
                let page = list(&service.caller, &format!("{query}&limit={limit}{cursor}")).await;
                walked.extend(data(&page).to_vec());
                let Some(next) = page["next_cursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            assert_eq!(walked, data(&whole), "{limit}");
        }
        let from = data(&whole)[3]["started_at"].as_str().unwrap();
        assert_eq!(rows(&list(&service.caller, &format!("{query}&from={from}")).await), [None, Some(3), Some(1), None]);
        let rest = list(&service.caller, &format!("{query}&to={from}&reason=validation_failed")).await;
        assert_eq!(data(&rest), &data(&whole)[4..]);
    }

    async fn filters_choose_lines(backend: Backend) {
        let service = Service::start(backend).await;
        history(&service).await;
        let page = list(&service.caller, "").await;
        let started = |index: usize| data(&page)[index]["started_at"].as_str().unwrap().to_owned();
        // Newest first: O-2, the bulk request's rows 2 and 0 and itself, the refusal, the repeat, the first.
        let (repeat, refusal) = (started(5), started(4));
        for (query, expected) in [
            ("?outcome=accepted".to_owned(), vec![0, 3, 6]),
            ("?outcome=duplicate".to_owned(), vec![5]),
            ("?outcome=replayed".to_owned(), vec![]),
            ("?outcome=refused".to_owned(), vec![1, 2, 4]),
            ("?reason=validation_failed".to_owned(), vec![1, 2, 4]),
            ("?reason=accepted".to_owned(), vec![0, 3, 6]),
            ("?reason=accepted&outcome=refused".to_owned(), vec![]),
            ("?reason=SIG_BAD_SIGNATURE".to_owned(), vec![]),
            ("?authenticated=true".to_owned(), vec![0, 1, 2, 3, 4, 5, 6]),
            ("?authenticated=false".to_owned(), vec![]),
            ("?authenticated=true&order_id=O-2&outcome=refused".to_owned(), vec![4]),
            ("?authenticated=false&order_id=O-2&outcome=refused".to_owned(), vec![]),
            ("?order_id=O-1".to_owned(), vec![5, 6]),
            ("?order_id=O-2".to_owned(), vec![0, 4]),
            ("?order_id=O-2&outcome=refused".to_owned(), vec![4]),
            ("?order_id=O-4&reason=validation_failed".to_owned(), vec![1]),
            (format!("?from={refusal}"), vec![0, 1, 2, 3, 4]),
            (format!("?to={refusal}"), vec![5, 6]),
            (format!("?from={repeat}&to={refusal}"), vec![5]),
            (format!("?from={repeat}&to={refusal}&outcome=accepted"), vec![]),
        ] {
            let chosen = list(&service.caller, &query).await;
            let expected: Vec<&Value> = expected.into_iter().map(|index| &data(&page)[index]).collect();
            assert_eq!(data(&chosen).iter().collect::<Vec<_>>(), expected, "{query}");
        }
    }

    async fn a_wrong_query_is_told_everything_that_is_wrong_with_it(backend: Backend) {
        let service = Service::start(backend).await;
        let target = format!(
            "{PATH}?limit=501&reason=no%20such&outcome=eaten&order_id=&from=2026&colour=red&cursor=abc&mode=live&authenticated=1"
        );
        let answer = service.caller.get(&target).await;
        answer.expect_problem(422, "validation_failed");
        let expected = ["/authenticated", "/colour", "/cursor", "/from", "/limit", "/mode", "/order_id", "/outcome", "/reason"];
        assert_eq!(answer.error_pointers(), expected);
        let target = format!("{PATH}?from=2026-06-02T12:00:00Z&to=2026-06-02T12:00:00Z&limit=1&limit=2");
        assert_eq!(service.caller.get(&target).await.error_pointers(), ["/limit", "/to"]);
        for reason in ["", "%00", &"x".repeat(65), "a-b"] {
            let answer = service.caller.get(&format!("{PATH}?reason={reason}")).await;
            assert_eq!((answer.status, answer.error_pointers()), (422, vec!["/reason".to_owned()]), "{reason}");
        }
    }

    async fn a_cursor_of_another_query_list_or_merchant_is_refused(backend: Backend) {
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        let other = setup.merchant();
        let mut other = setup.key(KeyKind::Live, Some(other));
        drop(setup);
        let service = Service::start_with(database, "").await;
        other.base.clone_from(&service.caller.base);
        history(&service).await;
        let cursor_of = async |target: &str| {
            let page = service.caller.get(&format!("{target}?limit=1")).await;
            page.at("/next_cursor").as_str().unwrap().to_owned()
        };
        let (cursor, of_events) = (cursor_of(PATH).await, cursor_of(CONVERSIONS).await);
        for (caller, target) in [
            (&service.caller, format!("{PATH}?outcome=accepted&cursor={cursor}")),
            (&service.caller, format!("{PATH}?cursor={of_events}")),
            (&service.caller, format!("{CONVERSIONS}?cursor={cursor}")),
            (&other, format!("{PATH}?cursor={cursor}")),
        ] {
            let answer = caller.get(&target).await;
            assert_eq!((answer.status, answer.error_pointers()), (422, vec!["/cursor".to_owned()]), "{target}");
        }
        // The page's size is no part of the query.
        assert_eq!(data(&list(&service.caller, &format!("?limit=500&cursor={cursor}")).await).len(), 6);
    }

    async fn other_merchants_and_modes_attempts_are_not_seen(backend: Backend) {
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        let (one, two) = (setup.merchant(), setup.merchant());
        let callers = [(KeyKind::Live, one), (KeyKind::Test, one), (KeyKind::Live, two)]
            .map(|(kind, merchant)| setup.key(kind, Some(merchant)));
        drop(setup);
        let service = Service::start_with(database, "").await;
        let callers = callers.map(|caller| Caller { base: service.caller.base.clone(), ..caller });
        for caller in &callers {
            assert_eq!(caller.post(&sale("O-1")).await.word(), "ACCEPTED");
            assert_eq!(caller.post_text("{").await.status, 400);
        }
        // A key that nobody has: its attempt belongs to nobody.
        let nobody = Caller { key_id: "ak_live_000000000000000000000000".to_owned(), ..callers[0].clone() };
        assert_eq!(nobody.post(&sale("O-1")).await.status, 401);
        service.journal(7).await;
        for caller in &callers {
            let page = list(caller, "").await;
            assert_eq!(all(&page, "key_id"), [json!(caller.key_id), json!(caller.key_id)]);
            assert_eq!(data(&list(caller, "?order_id=O-1").await).len(), 1);
        }
    }

    async fn who_signs_with_a_wrong_secret_finds_out_with_a_right_one(backend: Backend) {
        let service = Service::start(backend).await;
        let secret = service.setup().key(KeyKind::Live, Some(service.merchant)).secret;
        let forger = Caller { secret, ..service.caller.clone() };
        forger.post(&sale("O-1")).await.expect_problem(401, "unauthorized");
        forger.get(PATH).await.expect_problem(401, "unauthorized");
        service.journal(1).await;
        let page = list(&service.caller, "?reason=SIG_BAD_SIGNATURE").await;
        // Anybody may have made it, who knows the key's id alone: it is about no order.
        assert_eq!((all(&page, "order_id"), all(&page, "authenticated")), (vec![Value::Null], vec![json!(false)]));
        assert_eq!(all(&page, "peer"), [json!("127.0.0.1")]);
        let proven = list(&service.caller, "?authenticated=true").await;
        assert!(data(&proven).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_is_read_with_a_bound_signature_and_makes_no_attempts_itself() {
    let service = Service::start(Backend::Sqlite).await;
    let plain = service.caller.headers(Form::Plain, "GET", PATH, b"");
    let answer = service.caller.send("GET", PATH, b"", &plain).await;
    answer.expect_problem(401, "signature_form_not_allowed");
    service.caller.send("POST", PATH, b"{}", &[]).await.expect_problem(405, "method_not_allowed");
    for method in ["GET", "HEAD", "OPTIONS"] {
        assert!(service.caller.send(method, CONVERSIONS, b"", &[]).await.status >= 400);
    }
    assert_eq!(service.caller.post_text("{").await.status, 400);
    service.journal(1).await;
    assert_eq!(all(&list(&service.caller, "").await, "reason"), [json!("malformed_json")]);
}
