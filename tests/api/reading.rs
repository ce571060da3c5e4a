//! Reading back: one event, and lists (contract section 9).

use conversiond::domain::ids::KeyKind;
use serde_json::{Value, json};

use crate::support::{Backend, Service, on_both_databases};

fn orders(page: &Value) -> Vec<String> {
    let data = page["data"].as_array().unwrap();
    data.iter().map(|event| event["order_id"].as_str().unwrap().to_owned()).collect()
}

async fn list(service: &Service, query: &str) -> Value {
    let answer = service.caller.get(&format!("/api/v1/conversions{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    answer.json()
}

async fn sale(service: &Service, order: &str) {
    let event = json!({"externalOrderId": order, "amount": "1", "currency": "USD"});
    assert_eq!(service.caller.post(&event).await.word(), "ACCEPTED");
}

on_both_databases! {
    async fn pages_are_newest_first_and_stable_under_inserts(backend: Backend) {
        let service = Service::start(backend).await;
        for number in 0..7 {
            sale(&service, &format!("O-{number}")).await;
            service.clock.advance(chrono::TimeDelta::milliseconds(2));
        }
        let first = list(&service, "?limit=3").await;
        assert_eq!(orders(&first), ["O-6", "O-5", "O-4"]);
        sale(&service, "O-new").await;
        let cursor = first["next_cursor"].as_str().unwrap();
        let second = list(&service, &format!("?limit=3&cursor={cursor}")).await;
        assert_eq!(orders(&second), ["O-3", "O-2", "O-1"]);
        let cursor = second["next_cursor"].as_str().unwrap();
        let last = list(&service, &format!("?cursor={cursor}&limit=2")).await;
        assert_eq!((orders(&last), &last["next_cursor"]), (vec!["O-0".to_owned()], &Value::Null));
        assert_eq!(list(&service, "").await["data"].as_array().unwrap().len(), 8);
    }

    async fn filters_choose_events(backend: Backend) {
        let service = Service::start(backend).await;
        let token = service.token(conversiond::domain::instant::parse("2026-06-01T11:00:00Z").unwrap());
        let url = service.tokens.verify(&token).unwrap().url_id;
        for event in [
            json!({"event_name": "sale", "external_id": "E-1", "nim_ct": token, "event_time": "2026-06-01T12:00:00Z",
                "custom_data": {"order_id": "O-1", "value": "1", "currency": "USD"}}),
            json!({"event_name": "refund", "external_id": "E-2", "event_time": "2026-06-02T12:00:00Z",
                "custom_data": {"related_order_id": "O-1"}}),
            json!({"event_name": "lead", "external_id": "L-1", "event_time": "2026-06-03T12:00:00Z"}),
        ] {
            assert_eq!(service.caller.post(&event).await.word(), "ACCEPTED");
            service.clock.advance(chrono::TimeDelta::milliseconds(2));
        }
        let all = list(&service, "").await;
        let received = all["data"][1]["received_at"].as_str().unwrap();
        for (query, expected) in [
            ("?event_name=lead".to_owned(), vec!["L-1"]),
            ("?order_id=O-1".to_owned(), vec!["O-1", "O-1"]),
            ("?external_id=E-2".to_owned(), vec!["O-1"]),
            (format!("?url_id={}", url.to_string().to_uppercase()), vec!["O-1"]),
            ("?attribution=attributed".to_owned(), vec!["O-1"]),
            ("?attribution=inherited&event_name=refund".to_owned(), vec!["O-1"]),
            ("?occurred_from=2026-06-02T12:00:00Z".to_owned(), vec!["L-1", "O-1"]),
            ("?occurred_to=2026-06-02T12:00:00Z".to_owned(), vec!["O-1"]),
            ("?occurred_from=2026-06-02T12:00:00Z&occurred_to=2026-06-02T12:00:00.000001Z".to_owned(), vec!["O-1"]),
            (format!("?received_from={received}"), vec!["L-1", "O-1"]),
            (format!("?received_to={received}"), vec!["O-1"]),
            ("?order_id=nothing".to_owned(), vec![]),
        ] {
            assert_eq!(orders(&list(&service, &query).await), expected, "{query}");
        }
    }

    async fn a_wrong_query_is_told_everything_that_is_wrong_with_it(backend: Backend) {
        let service = Service::start(backend).await;
        let target = "/api/v1/conversions?limit=501&event_name=x&url_id=1&attribution=y&occurred_from=2026&colour=red\
                      &received_from=2026-06-02T12:00:00Z&received_to=2026-06-02T12:00:00Z&cursor=abc&order_id=1&order_id=2";
        let answer = service.caller.get(target).await;
        assert_eq!((answer.status, answer.word().as_str()), (422, "validation_failed"));
        let expected = ["/attribution", "/colour", "/cursor", "/event_name", "/limit", "/occurred_from", "/order_id",
            "/received_to", "/url_id"];
        assert_eq!(answer.error_pointers(), expected);
    }

    async fn an_id_that_no_event_can_have_is_no_filter(backend: Backend) {
        let service = Service::start(backend).await;
        for name in ["order_id", "external_id"] {
            for value in ["%00", "a%00b", "", &"x".repeat(161)] {
                let answer = service.caller.get(&format!("/api/v1/conversions?{name}={value}")).await;
                assert_eq!((answer.status, answer.error_pointers()), (422, vec![format!("/{name}")]), "{name}={value}");
            }
        }
    }

    async fn a_cursor_of_another_query_or_merchant_is_refused(backend: Backend) {
        let service = Service::start(backend).await;
        for order in ["O-1", "O-2"] {
            sale(&service, order).await;
        }
        let page = list(&service, "?limit=1").await;
        let cursor = page["next_cursor"].as_str().unwrap().to_owned();
        let other = service.caller.get(&format!("/api/v1/conversions?limit=1&event_name=sale&cursor={cursor}")).await;
        assert_eq!((other.status, other.error_pointers()), (422, vec!["/cursor".to_owned()]));
        let mut setup = service.setup();
        let stranger = setup.merchant();
        let stranger = setup.key(KeyKind::Live, Some(stranger));
        crate::support::eventually("the key is known", async || stranger.get("/api/v1/conversions").await.status == 200).await;
        let answer = stranger.get(&format!("/api/v1/conversions?limit=1&cursor={cursor}")).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
    }

    async fn what_is_not_there_or_not_ones_own_is_404(backend: Backend) {
        let service = Service::start(backend).await;
        sale(&service, "O-1").await;
        let id = list(&service, "").await["data"][0]["event_id"].as_str().unwrap().to_owned();
        let mut setup = service.setup();
        let stranger = setup.merchant();
        let stranger = setup.key(KeyKind::Live, Some(stranger));
        let test_mode = setup.key(KeyKind::Test, Some(service.merchant));
        let target = format!("/api/v1/conversions/{id}");
        for caller in [stranger, test_mode] {
            crate::support::eventually("the key is known", async || caller.get("/api/v1/conversions").await.status == 200).await;
            assert_eq!(caller.get(&target).await.word(), "not_found");
            assert_eq!(caller.get("/api/v1/conversions").await.at("/data"), json!([]));
        }
        for id in ["evt_01k86r3hkvfyh8z0rff08k4yyf", "nonsense", "clk_01k86r3hkvfyh8z0rff08k4yyf"] {
            let answer = service.caller.get(&format!("/api/v1/conversions/{id}")).await;
            assert_eq!((answer.status, answer.word().as_str()), (404, "not_found"));
        }
    }

    async fn the_sum_of_outcomes_is_the_number_of_requests(backend: Backend) {
        let service = Service::start(backend).await;
        sale(&service, "O-1").await;
        service.caller.post_text("{").await;
        service.caller.get("/nowhere").await;
        service.caller.send("DELETE", "/api/v1/conversions", b"", &[]).await;
        let mut forged = service.caller.clone();
        forged.key_id = "ak_live_0123456789abcdefghijklmn".to_owned();
        assert_eq!(forged.get("/api/v1/conversions").await.status, 401);
        let (_, metrics) = service.admin("/metrics").await;
        let sum: u64 = metrics
            .lines()
            .filter(|line| line.starts_with("conversiond_outcomes_total"))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum();
        assert!(metrics.contains("conversiond_requests_total 5"), "{metrics}");
        assert_eq!(sum, 5, "{metrics}");
        assert!(metrics.contains("reason=\"INVALID_API_KEY\""), "{metrics}");
    }
}
