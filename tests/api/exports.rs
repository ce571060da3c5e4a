//! Exports: what stands in them, and that they go on where the one before ended (contract section 12).

use std::collections::BTreeSet;

use chrono::TimeDelta;
use conversiond::domain::ids::KeyKind;
use conversiond::domain::instant;
use conversiond::domain::time::Clock as _;
use conversiond::system::SystemClock;
use serde_json::{Value, json};

use crate::support::exports::Exported;
use crate::support::{Backend, Caller, Service, eventually, on_both_databases};

pub const PATH: &str = "/api/v1/exports/events";

pub async fn export(caller: &Caller, query: &str) -> Exported {
    Exported::of(&caller.get(&format!("{PATH}{query}")).await)
}

pub async fn sale(caller: &Caller, order: &str) {
    let event = json!({"externalOrderId": order, "amount": "1", "currency": "USD"});
    assert_eq!(caller.post(&event).await.word(), "ACCEPTED");
}

/// Reports an event of every kind, with everything that may stand in one.
async fn trade(service: &Service) {
    let clicked = instant::parse("2026-06-01T11:00:00Z").unwrap();
    let (token, foreign) = (service.token(clicked), service.token_for(service.setup().merchant(), clicked));
    let sale = |order: &str, value: &str, currency: &str| {
        json!({"event_name": "sale", "event_time": "2026-06-01T12:00:00Z",
            "custom_data": {"order_id": order, "value": value, "currency": currency}})
    };
    let with = |mut event: Value, name: &str, value: Value| {
        event[name] = value;
        event
    };
    let events = [
        with(
            with(sale("O-1", "129.90", "USD"), "nim_ct", token.clone().into()),
            "external_id",
            "E,\"1\"".into(),
        ),
        with(sale("O-2", "1580", "JPY"), "nim_ct", "nonsense".into()),
        with(sale("O-3", "0.001", "KWD"), "nim_ct", foreign.into()),
        with(
            with(sale("O-4", "1", "EUR"), "nim_ct", token.clone().into()),
            "event_time",
            "2026-09-01T12:00:00.5Z".into(),
        ),
        with(
            with(sale("O-5", "1", "EUR"), "nim_ct", token.into()),
            "event_time",
            "2026-01-01T12:00:00.123456Z".into(),
        ),
        with(
            sale("=O,\"6\" \u{2028}é", "0", "USD"),
            "metadata",
            json!({"text": "a,\"b\"\n\r\tc", "é": null}),
        ),
        json!({"event_name": "lead", "external_id": "L;1", "custom_data": {"value": "5.00", "currency": "usd"}}),
        json!({"event_name": "refund", "external_id": "R-1", "custom_data": {"related_order_id": "O-1", "value": "1.50",
            "currency": "USD"}}),
        json!({"event_name": "refund", "external_id": "R-2", "custom_data": {"related_order_id": "O-1"}}),
        json!({"event_name": "cancellation", "custom_data": {"related_order_id": "O-2"}}),
        json!({"event_name": "reversal", "custom_data": {"related_order_id": "O-3"}}),
    ];
    for event in &events {
        assert_eq!(service.caller.post(event).await.word(), "ACCEPTED", "{event}");
        // Of one millisecond they would stand by chance.
        service.clock.advance(TimeDelta::milliseconds(2));
    }
    let again = with(sale("O-4", "2", "EUR"), "event_time", "2026-09-01T12:00:00.5Z".into());
    assert_eq!(service.caller.post(&again).await.word(), "DUPLICATE");
    let returned = json!({"externalOrderId": "O-4", "status": "returned"}).to_string();
    let answer = service
        .caller
        .post_to("/api/v1/order-status", "k-1", &returned, crate::support::caller::unix_now())
        .await;
    assert_eq!(answer.word(), "ACCEPTED");
    service.clock.advance(TimeDelta::milliseconds(2));
    // Line breaks between members, and a number that no float holds.
    let spread = "{\"event_name\":\"lead\",\"external_id\":\"L-2\",\"metadata\":{\r\n  \"n\": 1.10000000000000000000001\n}}";
    assert_eq!(service.caller.post_text(spread).await.word(), "ACCEPTED");
}

on_both_databases! {
    async fn an_export_has_the_objects_of_the_list_oldest_first(backend: Backend) {
        let service = Service::start(backend).await;
        trade(&service).await;
        service.setup().age_events();
        let answer = service.caller.get(PATH).await;
        let exported = Exported::of(&answer);
        let list = service.caller.get("/api/v1/conversions").await;
        let mut listed = list.at("/data").as_array().unwrap().clone();
        listed.reverse();
        assert_eq!(exported.events, listed);
        assert_eq!(exported.events.len(), 13);
        let attributions: BTreeSet<String> =
            listed.iter().map(|event| event["attribution"]["reason"].as_str().unwrap_or("").to_owned()).collect();
        assert_eq!(attributions.len(), 6, "{attributions:?}");
        // To the byte, but for line breaks in a merchant's own object.
        for line in answer.text.lines().take(12) {
            assert!(list.text.contains(line), "{line}");
        }
        assert!(answer.text.contains("\"metadata\":{    \"n\": 1.10000000000000000000001 }"), "{}", answer.text);
    }

    async fn text_like_a_formula_is_exact_and_safe_where_that_is_asked_for(backend: Backend) {
        let service = Service::start(backend).await;
        let ids = ["=HYPERLINK(\"http://x\";\"y\")", "+1+1", "-2+3", "@SUM(A1)", "＝1", "plain"];
        for id in ids {
            let event = json!({"event_name": "lead", "external_id": id});
            assert_eq!(service.caller.post(&event).await.status, 202);
        }
        service.setup().age_events();
        let cells = async |query: &str| {
            let answer = service.caller.get(&format!("{PATH}?format=csv{query}")).await;
            assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"events.csv\""));
            let mut table = csv::ReaderBuilder::new().flexible(true).from_reader(answer.text.as_bytes());
            let mut found: Vec<String> = table.records().filter_map(|row| Some(row.unwrap().get(3)?.to_owned())).collect();
            assert!(answer.text.lines().last().unwrap().starts_with("#next_cursor,"), "{}", answer.text);
            found.sort();
            found
        };
        let sorted = |mut ids: Vec<String>| { ids.sort(); ids };
        let exact = sorted(ids.map(str::to_owned).to_vec());
        assert_eq!(cells("").await, exact);
        assert_eq!(cells("&safe=false").await, exact);
        let safe = ids.map(|id| if id == "plain" { id.to_owned() } else { format!("'{id}") });
        assert_eq!(cells("&safe=true").await, sorted(safe.to_vec()));
        let answer = service.caller.get(&format!("{PATH}?format=csv&safe=yes")).await;
        assert_eq!((answer.status, answer.error_pointers()), (422, vec!["/safe".to_owned()]));
    }

    async fn every_answer_is_its_callers_alone_and_is_what_its_type_says(backend: Backend) {
        let service = Service::start(backend).await;
        let lead = json!({"event_name": "lead", "external_id": "L-1"});
        let report = "/api/v1/reports/attribution";
        let answers = [
            (service.caller.post(&lead).await, 202),
            (service.caller.get("/api/v1/conversions").await, 200),
            (service.caller.get("/api/v1/conversions/evt_01k86r3hkvfyh8z0rff08k4yyf").await, 404),
            (service.caller.get("/nowhere").await, 404),
            (service.caller.send("DELETE", PATH, b"", &[]).await, 405),
            (service.caller.send("GET", PATH, b"", &[]).await, 401),
            (service.caller.get(PATH).await, 200),
            (service.caller.get(&format!("{report}?format=csv")).await, 200),
            (service.caller.get(&format!("{report}?format=csv&safe=true")).await, 200),
        ];
        for (answer, status) in &answers {
            assert_eq!(answer.status, *status);
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer:?}");
        }
        assert_eq!(answers[6].0.header("content-disposition"), Some("attachment; filename=\"events.ndjson\""));
        assert_eq!(answers[7].0.header("content-disposition"), Some("attachment; filename=\"report.csv\""));
        assert_eq!(answers[1].0.header("content-disposition"), None);
        let document = service.caller.send("GET", "/openapi.json", b"", &[]).await;
        assert_eq!(document.header("cache-control"), Some("public, max-age=300"));
        assert_eq!(document.header("x-content-type-options"), Some("nosniff"));
    }

    async fn a_table_has_the_same_in_columns(backend: Backend) {
        let service = Service::start(backend).await;
        trade(&service).await;
        service.setup().age_events();
        let events = export(&service.caller, "").await;
        let answer = service.caller.get(&format!("{PATH}?format=csv")).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/csv; charset=utf-8")));
        let mut table = csv::ReaderBuilder::new().flexible(true).from_reader(answer.text.as_bytes());
        let names: Vec<String> = table.headers().unwrap().iter().map(str::to_owned).collect();
        let mut rows: Vec<Vec<String>> =
            table.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
        assert_eq!(rows.pop().unwrap(), ["#next_cursor", &events.cursor, "incomplete"]);
        assert_eq!(rows.len(), events.events.len());
        let text = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        for (row, event) in rows.iter().zip(&events.events) {
            assert_eq!(row.len(), names.len());
            for (name, cell) in names.iter().zip(row) {
                let attribution = &event["attribution"];
                let expected = match name.as_str() {
                    "attribution" => text(&attribution["status"]),
                    "attribution_reason" => text(&attribution["reason"]),
                    "click_id" | "url_id" | "domain_id" | "clicked_at" => text(&attribution[name]),
                    "metadata" if !cell.is_empty() => {
                        assert_eq!(serde_json::from_str::<Value>(cell).unwrap(), event["metadata"]);
                        continue;
                    }
                    _ => text(&event[name]),
                };
                assert_eq!(cell, &expected, "{name} of {event}");
            }
        }
        let members: usize = events.events[0].as_object().unwrap().len();
        assert_eq!(names.len(), members + 5, "a member is no column");
    }

    async fn the_next_export_goes_on_where_the_one_before_ended(backend: Backend) {
        let service = Service::start(backend).await;
        let nothing = export(&service.caller, "").await;
        assert_eq!(nothing.events, Vec::<Value>::new());
        let mut cursor = nothing.cursor;
        for round in 0..3 {
            // Also of the other format.
            let format = if round == 1 { "csv" } else { "ndjson" };
            for n in 0..round {
                sale(&service.caller, &format!("O-{round}-{n}")).await;
                service.clock.advance(TimeDelta::milliseconds(2));
            }
            service.setup().age_events_where(&format!("order_id LIKE 'O-{round}-%'"));
            let answer = service.caller.get(&format!("{PATH}?format={format}&cursor={cursor}")).await;
            let lines: Vec<&str> = answer.text.lines().collect();
            let events = lines.iter().filter(|line| line.contains("evt_")).count();
            assert_eq!(events, round, "{}", answer.text);
            let last = *lines.last().unwrap();
            let next = last.strip_prefix("#next_cursor,").and_then(|rest| rest.strip_suffix(",incomplete")).map_or_else(
                || serde_json::from_str::<Value>(last).unwrap()["next_cursor"].as_str().unwrap().to_owned(),
                str::to_owned,
            );
            // With nothing new it stays where it was.
            let again = export(&service.caller, &format!("?cursor={next}")).await;
            assert_eq!((again.events.len(), &again.cursor), (0, &next));
            cursor = next;
        }
        assert_eq!(export(&service.caller, "").await.orders(), ["O-1-0", "O-2-0", "O-2-1"]);
    }

    async fn a_range_is_half_open_and_of_the_receipt(backend: Backend) {
        let service = Service::start(backend).await;
        for order in ["O-1", "O-2", "O-3"] {
            sale(&service.caller, order).await;
            service.clock.advance(TimeDelta::milliseconds(2));
        }
        service.setup().age_events();
        let all = export(&service.caller, "").await;
        let at = |n: usize| all.events[n]["received_at"].as_str().unwrap();
        for (query, expected) in [
            (format!("?from={}", at(1)), vec!["O-2", "O-3"]),
            (format!("?to={}", at(1)), vec!["O-1"]),
            (format!("?from={}&to={}", at(1), at(2)), vec!["O-2"]),
            ("?from=2099-01-01T00:00:00Z".to_owned(), vec![]),
            ("?to=1999-01-01T00:00:00Z".to_owned(), vec![]),
            ("?from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z".to_owned(), vec!["O-1", "O-2", "O-3"]),
        ] {
            let exported = export(&service.caller, &query).await;
            assert_eq!(exported.orders(), expected, "{query}");
            assert_eq!(exported.is_complete, query.contains("to=1999"), "{query}");
        }
    }

    async fn an_export_says_whether_more_may_come_of_what_was_asked_for(backend: Backend) {
        let service = Service::start(backend).await;
        sale(&service.caller, "O-1").await;
        // Two minutes lie between the present and the horizon, and one more between ids and receipts.
        for (minutes, is_complete) in [(-10, true), (-4, true), (-2, false), (0, false), (10, false)] {
            let to = instant::format(SystemClock.now() + TimeDelta::minutes(minutes));
            let exported = export(&service.caller, &format!("?to={to}")).await;
            assert_eq!((exported.is_complete, exported.events.len()), (is_complete, 0), "{minutes}");
            let again = export(&service.caller, &format!("?to={to}&cursor={}", exported.cursor)).await;
            assert_eq!(again.is_complete, is_complete, "{minutes}");
            let table = service.caller.get(&format!("{PATH}?to={to}&format=csv")).await;
            let word = if is_complete { "complete" } else { "incomplete" };
            assert!(table.text.ends_with(&format!(",{word}\n")), "{}", table.text);
        }
        assert!(!export(&service.caller, "").await.is_complete, "it has no end");
    }

    async fn nobody_exports_another_merchants_or_modes_events(backend: Backend) {
        let service = Service::start(backend).await;
        let mut setup = service.setup();
        let stranger = setup.merchant();
        let stranger = setup.key(KeyKind::Live, Some(stranger));
        let test_mode = setup.key(KeyKind::Test, Some(service.merchant));
        for caller in [&stranger, &test_mode] {
            eventually("the key is known", async || caller.get(PATH).await.status == 200).await;
        }
        sale(&service.caller, "O-live").await;
        sale(&stranger, "O-stranger").await;
        sale(&test_mode, "O-test").await;
        setup.age_events();
        for (caller, order) in [(&service.caller, "O-live"), (&stranger, "O-stranger"), (&test_mode, "O-test")] {
            let exported = export(caller, "").await;
            assert_eq!(exported.orders(), [order]);
            for other in [&service.caller, &stranger, &test_mode].into_iter().filter(|c| c.key_id != caller.key_id) {
                let answer = other.get(&format!("{PATH}?cursor={}", exported.cursor)).await;
                assert_eq!((answer.status, answer.error_pointers()), (422, vec!["/cursor".to_owned()]));
            }
        }
    }

    async fn a_wrong_query_is_told_everything_that_is_wrong_with_it(backend: Backend) {
        let service = Service::start(backend).await;
        let cursor = export(&service.caller, "?from=2026-01-01T00:00:00Z").await.cursor;
        let range = "from=2026-06-02T12:00:00Z&to=2026-06-02T12:00:00Z";
        for (query, expected) in [
            (format!("?format=xml&colour=red&limit=1&cursor={cursor}&{range}"),
                vec!["/colour", "/cursor", "/format", "/limit", "/to"]),
            ("?from=2026&to=now&format=".to_owned(), vec!["/format", "/from", "/to"]),
            ("?format=csv&format=csv".to_owned(), vec!["/format"]),
            (format!("?cursor={cursor}"), vec!["/cursor"]),
            (format!("?cursor={cursor}&from=2026-01-01T00:00:01Z"), vec!["/cursor"]),
            ("?cursor=".to_owned(), vec!["/cursor"]),
        ] {
            let answer = service.caller.get(&format!("{PATH}{query}")).await;
            assert_eq!((answer.status, answer.word().as_str()), (422, "validation_failed"), "{query}");
            assert_eq!(answer.error_pointers(), expected, "{query}");
        }
        // The same instant in other words is the same export.
        let same = export(&service.caller, &format!("?cursor={cursor}&from=2026-01-01T01:00:00.000%2B01:00")).await;
        assert_eq!(same.cursor, cursor);
        let listed = service.caller.get("/api/v1/conversions?limit=1").await;
        assert_eq!(listed.status, 200);
    }
}
