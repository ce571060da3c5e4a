//! Lists of orders: `GET /api/v1/orders` (contract section 9).

use std::collections::BTreeSet;

use chrono::TimeDelta;
use conversiond::domain::signature::Form;
use conversiond::domain::time::Clock as _;
use serde_json::{Value, json};

use super::orders::{order, post, refund, sale, whole};
use crate::support::{Backend, Caller, Service, on_both_databases};

/// The ids of all pages of a list, in order; `limit` is each page's.
async fn ids(service: &Service, query: &str, limit: usize) -> Vec<String> {
    ids_of(&service.caller, query, limit).await
}

/// The same for any caller.
pub async fn ids_of(caller: &Caller, query: &str, limit: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let target = format!("/api/v1/orders?{query}&limit={limit}{cursor}");
        let page = caller.get(&target).await;
        assert_eq!(page.status, 200, "{target} -> {}", page.text);
        let data = page.at("/data");
        let data = data.as_array().unwrap();
        assert!(data.len() <= limit, "{target}");
        found.extend(data.iter().map(|order| order["order_id"].as_str().unwrap().to_owned()));
        match page.at("/next_cursor").as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

async fn bulk(service: &Service, rows: &[Value]) {
    let (path, body) = ("/api/v1/conversions/bulk", json!({ "rows": rows }).to_string());
    let headers = service.caller.headers(Form::Bound, "POST", path, body.as_bytes());
    let answer = service.caller.send("POST", path, body.as_bytes(), &headers).await;
    assert_eq!(answer.at("/summary/accepted"), rows.len(), "{}", answer.text);
}

/// Orders of every state and with every flag.
async fn some_of_each(service: &Service) {
    let histories = [
        ("open", vec![sale("open", "10", "EUR")]),
        (
            "part",
            vec![
                sale("part", "10", "EUR"),
                refund("part", "R-1", "1", "EUR"),
                refund("part", "R-2", "1", "EUR"),
            ],
        ),
        ("waiting", vec![whole("refund", "waiting")]),
        ("full", vec![refund("full", "R-1", "10", "EUR"), sale("full", "10", "EUR")]),
        ("over", vec![sale("over", "10", "EUR"), refund("over", "R-1", "11", "EUR")]),
        ("mixed", vec![sale("mixed", "10", "EUR"), refund("mixed", "R-1", "11", "JPY")]),
        ("twice", vec![sale("twice", "10", "EUR"), sale("twice", "11", "EUR")]),
        ("gone", vec![whole("cancellation", "gone"), sale("gone", "10", "EUR")]),
        ("back", vec![sale("back", "10", "EUR"), whole("reversal", "back"), whole("cancellation", "back")]),
    ];
    for (_, history) in histories {
        for body in history {
            post(&service.caller, &body).await;
        }
    }
    post(&service.caller, &json!({"event_name": "lead", "external_id": "only a lead"})).await;
}

on_both_databases! {
    async fn every_order_is_listed_once_newest_first_whatever_the_page(backend: Backend) {
        let service = Service::start(backend).await;
        some_of_each(&service).await;
        let expected = ["back", "gone", "twice", "mixed", "over", "full", "waiting", "part", "open"];
        for limit in [1, 2, 4, 9, 500] {
            assert_eq!(ids(&service, "", limit).await, expected, "{limit}");
        }
        let page = service.caller.get("/api/v1/orders").await;
        for listed in page.at("/data").as_array().unwrap() {
            assert_eq!(listed, &order(&service.caller, listed["order_id"].as_str().unwrap()).await);
        }
    }

    async fn states_and_flags_narrow_the_list_to_those_orders_alone(backend: Backend) {
        let service = Service::start(backend).await;
        some_of_each(&service).await;
        let expected: [(&str, &[&str]); 11] = [
            ("state=open", &["twice", "mixed", "open"]),
            ("state=partially_refunded", &["part"]),
            ("state=refunded", &["over", "full"]),
            ("state=awaiting_sale", &["waiting"]),
            ("state=cancelled", &["gone"]),
            ("state=reversed", &["back"]),
            ("flag=over_refunded", &["over"]),
            ("flag=currency_mismatch", &["mixed"]),
            ("flag=conflicting_repeat", &["twice"]),
            ("flag=over_refunded&state=refunded", &["over"]),
            ("flag=over_refunded&state=open", &[]),
        ];
        for (query, wanted) in expected {
            for limit in [1, 500] {
                assert_eq!(ids(&service, query, limit).await, wanted, "{query}");
            }
        }
    }

    async fn a_links_orders_are_found_and_no_others(backend: Backend) {
        let service = Service::start(backend).await;
        let token = service.token(service.clock.now() - TimeDelta::hours(1));
        for (n, token) in [(0, None), (1, Some(&token)), (2, None), (3, Some(&token))] {
            let mut body = json!({"event_name": "sale",
                "custom_data": {"order_id": format!("O-{n}"), "value": "1", "currency": "EUR"}});
            body["nim_ct"] = token.map_or(Value::Null, |token| token.as_str().into());
            post(&service.caller, &body).await;
        }
        post(&service.caller, &whole("refund", "O-3")).await;
        let url = order(&service.caller, "O-1").await["attribution"]["url_id"].as_str().unwrap().to_owned();
        for limit in [1, 500] {
            assert_eq!(ids(&service, &format!("url_id={url}"), limit).await, ["O-3", "O-1"]);
            assert_eq!(ids(&service, &format!("url_id={url}&state=refunded"), limit).await, ["O-3"]);
            assert_eq!(ids(&service, &format!("url_id={url}&state=open"), limit).await, ["O-1"]);
        }
        let unknown = "00000000-0000-4000-8000-000000000000";
        assert_eq!(ids(&service, &format!("url_id={unknown}"), 500).await, Vec::<String>::new());
    }

    async fn an_order_keeps_its_place_while_its_events_come_in(backend: Backend) {
        let service = Service::start(backend).await;
        for n in 0..6 {
            post(&service.caller, &sale(&format!("O-{n}"), "10", "EUR")).await;
        }
        let first = service.caller.get("/api/v1/orders?limit=3").await;
        assert_eq!(first.at("/data/2/order_id"), "O-3");
        // Neither further events of listed orders nor of those to come nor new orders move the rest.
        for n in [5, 1] {
            post(&service.caller, &whole("refund", &format!("O-{n}"))).await;
        }
        post(&service.caller, &sale("O-new", "10", "EUR")).await;
        let cursor = first.at("/next_cursor");
        let rest = service.caller.get(&format!("/api/v1/orders?cursor={}", cursor.as_str().unwrap())).await;
        let rest: Vec<Value> = rest.at("/data").as_array().unwrap().iter().map(|o| o["order_id"].clone()).collect();
        assert_eq!(rest, ["O-2", "O-1", "O-0"]);
    }

    async fn a_rare_state_is_found_among_thousands_of_orders(backend: Backend) {
        let service = Service::start(backend).await;
        let rows: Vec<Value> = (0..1_000).map(|n| sale(&format!("O-{n:04}"), "10", "EUR")).collect();
        for chunk in rows.chunks(500) {
            bulk(&service, chunk).await;
        }
        for n in [17, 900] {
            post(&service.caller, &whole("refund", &format!("O-{n:04}"))).await;
        }
        assert_eq!(ids(&service, "state=refunded", 1).await, ["O-0900", "O-0017"]);
        let open = ids(&service, "state=open", 300).await;
        let expected: BTreeSet<String> = (0..1_000).filter(|n| ![17, 900].contains(n)).map(|n| format!("O-{n:04}")).collect();
        assert_eq!(open.len(), expected.len());
        assert_eq!(open.into_iter().collect::<BTreeSet<_>>(), expected);
    }

    async fn sales_are_found_behind_thousands_of_leads(backend: Backend) {
        let service = Service::start(backend).await;
        for n in 0..2 {
            post(&service.caller, &sale(&format!("O-{n}"), "10", "EUR")).await;
        }
        let leads: Vec<Value> =
            (0..3_000).map(|n| json!({"event_name": "lead", "external_id": format!("L-{n}")})).collect();
        for chunk in leads.chunks(1_000) {
            bulk(&service, chunk).await;
        }
        for query in ["", "state=open"] {
            for limit in [1, 100] {
                assert_eq!(ids(&service, query, limit).await, ["O-1", "O-0"], "{query}");
            }
        }
    }

    async fn an_order_of_more_than_a_timeline_holds_has_all_of_its_figures(backend: Backend) {
        let service = Service::start(backend).await;
        let refunds: Vec<Value> = (0..2_100).map(|n| refund("O-1", &format!("R-{n}"), "0.01", "EUR")).collect();
        for chunk in refunds.chunks(1_000) {
            bulk(&service, chunk).await;
        }
        post(&service.caller, &sale("O-1", "100", "EUR")).await;
        let found = order(&service.caller, "O-1").await;
        assert_eq!((&found["refunded"], &found["timeline_truncated"]), (&json!("21.00"), &json!(true)));
        let timeline = found["timeline"].as_array().unwrap();
        assert_eq!((timeline.len(), &timeline[0]["event_name"]), (1_000, &json!("sale")));
        let listed = service.caller.get("/api/v1/orders").await;
        assert_eq!(listed.at("/data/0/timeline"), json!(timeline[..100]));
        assert_eq!(listed.at("/data/0/net"), "79.00");
    }

    async fn a_wrong_query_is_refused_with_every_error_at_once(backend: Backend) {
        let service = Service::start(backend).await;
        for n in 0..2 {
            post(&service.caller, &sale(&format!("O-{n}"), "10", "EUR")).await;
        }
        let answer = service.caller.get("/api/v1/orders?state=lost&flag=red&url_id=7&limit=501&colour=blue").await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert_eq!(answer.error_pointers(), ["/colour", "/flag", "/limit", "/state", "/url_id"]);
        let cursor = service.caller.get("/api/v1/orders?limit=1").await.at("/next_cursor");
        let target = format!("/api/v1/orders?limit=1&state=open&cursor={}", cursor.as_str().unwrap());
        assert_eq!(service.caller.get(&target).await.error_pointers(), ["/cursor"]);
        let events = format!("/api/v1/conversions?limit=1&cursor={}", cursor.as_str().unwrap());
        assert_eq!(service.caller.get(&events).await.error_pointers(), ["/cursor"]);
    }
}
