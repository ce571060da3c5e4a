//! JSON that says something wrong: 422 with every error at once (contract sections 4.1 and 4.2).

use chrono::TimeDelta;
use conversiond::domain::instant;
use conversiond::domain::time::Clock as _;
use serde_json::{Value, json};

use crate::support::{Backend, Service, on_both_databases};

/// A sale with one member set, by pointer into objects.
fn sale(pointer: &str, value: Value) -> Value {
    let event =
        json!({"event_name": "sale", "custom_data": {"order_id": "O-1", "value": "1", "currency": "USD"}});
    with(event, pointer, value)
}

/// An order of the order dialect with one member set.
fn order(member: &str, value: Value) -> Value {
    with(
        json!({"externalOrderId": "O-1", "orderAmount": "1", "currency": "USD"}),
        &format!("/{member}"),
        value,
    )
}

fn with(mut event: Value, pointer: &str, value: Value) -> Value {
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    event.pointer_mut(parent).unwrap()[member] = value;
    event
}

fn named(name: &str, custom_data: Value) -> Value {
    with(json!({"event_name": name}), "/custom_data", custom_data)
}

type Row = (Value, Vec<String>);

fn row(event: Value, errors: &[&str]) -> Row {
    (event, errors.iter().map(|error| (*error).to_owned()).collect())
}

/// Every known field with every JSON type that it is not.
fn wrong_types() -> Vec<Row> {
    let wrong = |allowed: &[&str]| {
        [
            ("string", json!("x")),
            ("number", json!(7)),
            ("boolean", json!(false)),
            ("array", json!([])),
            ("object", json!({})),
        ]
        .into_iter()
        .filter(|(name, _)| !allowed.contains(name))
        .map(|(_, value)| value)
        .collect::<Vec<_>>()
    };
    let mut rows = Vec::new();
    for pointer in [
        "/event_name",
        "/nim_ct",
        "/click_id",
        "/external_id",
        "/event_time",
        "/custom_data/order_id",
        "/custom_data/currency",
        "/custom_data/related_order_id",
    ] {
        rows.extend(
            wrong(&["string"])
                .into_iter()
                .map(|value| row(sale(pointer, value), &[&format!("{pointer} wrong_type")])),
        );
    }
    for value in wrong(&["string", "number"]) {
        rows.push(row(sale("/custom_data/value", value.clone()), &["/custom_data/value wrong_type"]));
        rows.push(row(order("orderAmount", value), &["/orderAmount wrong_type"]));
    }
    for value in wrong(&["object"]) {
        rows.push(row(sale("/metadata", value.clone()), &["/metadata wrong_type"]));
        rows.push(row(order("metadata", value), &["/metadata wrong_type"]));
    }
    for member in [
        "externalOrderId",
        "currency",
        "clickId",
        "nim_ct",
        "orderedAt",
        "orderStatus",
        "externalProductId",
        "couponCode",
    ] {
        rows.extend(
            wrong(&["string"])
                .into_iter()
                .map(|value| row(order(member, value), &[&format!("/{member} wrong_type")])),
        );
    }
    let amount = json!({"externalOrderId": "O-1", "amount": [], "currency": "USD"});
    rows.push(row(amount, &["/amount wrong_type"]));
    rows
}

fn missing_and_not_allowed() -> Vec<Row> {
    let all = json!({"related_order_id": "O-1", "value": "1", "currency": "USD"});
    let mut rows = vec![
        row(json!({"event_name": "lead"}), &["/external_id required"]),
        row(named("lead", json!({"related_order_id": "O-1"})), &["/external_id required"]),
        row(
            json!({"event_name": "sale"}),
            &[
                "/custom_data/currency required",
                "/custom_data/order_id required",
                "/custom_data/value required",
            ],
        ),
        row(named("sale", json!({"value": "1", "currency": "USD"})), &["/custom_data/order_id required"]),
        row(named("sale", all.clone()), &["/custom_data/order_id required"]),
        row(json!({"event_name": "refund"}), &["/custom_data/related_order_id required"]),
        row(named("refund", json!({"order_id": "O-1"})), &["/custom_data/related_order_id required"]),
        row(json!({"externalOrderId": "O-1"}), &["/currency required", "/orderAmount required"]),
        row(sale("/event_name", json!("purchase")), &["/event_name unknown_value"]),
        row(sale("/event_name", json!("Sale")), &["/event_name unknown_value"]),
        row(sale("/event_name", json!("")), &["/event_name unknown_value"]),
        row(sale("/event_name", json!("s".repeat(60_000))), &["/event_name unknown_value"]),
        row(sale("/event_name", Value::Null), &["/event_name required"]),
        row(json!({"custom_data": {}}), &["/event_name required"]),
        row(sale("/externalOrderId", json!("O-1")), &["/externalOrderId conflict"]),
        row(order("event_name", json!("sale")), &["/externalOrderId conflict"]),
    ];
    for name in ["cancellation", "reversal"] {
        let not_allowed = ["/custom_data/currency not_allowed", "/custom_data/value not_allowed"];
        rows.push(row(named(name, all.clone()), &not_allowed));
        rows.push(row(named(name, json!({"related_order_id": "O-1", "value": 0})), &not_allowed[1..]));
        rows.push(row(
            named(name, json!({"value": "x"})),
            &["/custom_data/related_order_id required", not_allowed[1]],
        ));
        rows.push(row(
            json!({"event_name": name, "external_id": "O-1"}),
            &["/custom_data/related_order_id required"],
        ));
    }
    rows
}

fn bad_values() -> Vec<Row> {
    let mut rows = Vec::new();
    let too_long = "é".repeat(161);
    for id in ["", &too_long, "a\nb", "a\tb", "\u{7f}", "\u{85}", "a\u{1}", &"x".repeat(60_000)] {
        for pointer in ["/external_id", "/custom_data/order_id", "/custom_data/related_order_id"] {
            rows.push(row(sale(pointer, json!(id)), &[&format!("{pointer} invalid_id")]));
        }
        for member in ["externalOrderId", "externalProductId", "couponCode"] {
            rows.push(row(order(member, json!(id)), &[&format!("/{member} invalid_id")]));
        }
    }
    for time in [
        "",
        "now",
        "2026-01-02",
        "2026-01-02T03:04:05",
        "1764109104",
        "2016-12-31T23:59:60Z",
        "2026-02-30T00:00:00Z",
        "2026-01-02T24:00:00Z",
        "2026-01-02T03:04Z",
        "+12026-01-02T03:04:05Z",
        "-0001-01-02T03:04:05Z",
        "0000-12-31T23:59:59Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "Fri, 02 Jan 2026 03:04:05 GMT",
    ] {
        rows.push(row(sale("/event_time", json!(time)), &["/event_time invalid_instant"]));
        rows.push(row(order("orderedAt", json!(time)), &["/orderedAt invalid_instant"]));
    }
    rows.push(row(sale("/event_time", json!("9999-12-31T23:59:59Z")), &["/event_time in_the_future"]));
    let metadata = json!({"t": "x".repeat(8_192 - 7)});
    assert_eq!(metadata.to_string().len(), 8_193);
    rows.push(row(sale("/metadata", metadata), &["/metadata too_long"]));
    rows
}

fn several_at_once() -> Vec<Row> {
    vec![
        row(
            json!({"event_name": "sale", "external_id": "", "event_time": "yesterday", "nim_ct": 5, "click_id": 5,
                "metadata": [], "custom_data": {"order_id": "a\nb", "value": "01", "currency": "XAU", "related_order_id": 9}}),
            &[
                "/click_id wrong_type",
                "/custom_data/currency invalid_currency",
                "/custom_data/order_id invalid_id",
                "/custom_data/related_order_id wrong_type",
                "/custom_data/value invalid_amount",
                "/event_time invalid_instant",
                "/external_id invalid_id",
                "/metadata wrong_type",
                "/nim_ct wrong_type",
            ],
        ),
        row(
            json!({"externalOrderId": "", "orderAmount": "-1", "currency": "??", "clickId": 1, "orderedAt": 1764109104,
                "orderStatus": 1, "externalProductId": "", "couponCode": 1, "metadata": 1}),
            &[
                "/clickId wrong_type",
                "/couponCode wrong_type",
                "/currency invalid_currency",
                "/externalOrderId invalid_id",
                "/externalProductId invalid_id",
                "/metadata wrong_type",
                "/orderAmount invalid_amount",
                "/orderStatus wrong_type",
                "/orderedAt wrong_type",
            ],
        ),
        row(
            json!({"event_name": "buy", "external_id": 1, "event_time": 1, "custom_data": []}),
            &[
                "/custom_data wrong_type",
                "/event_name unknown_value",
                "/event_time wrong_type",
                "/external_id wrong_type",
            ],
        ),
        row(
            json!({"event_name": "sale", "custom_data": "none"}),
            &[
                "/custom_data wrong_type",
                "/custom_data/currency required",
                "/custom_data/order_id required",
                "/custom_data/value required",
            ],
        ),
    ]
}

on_both_databases! {
    async fn content_that_is_wrong_is_422_with_every_error_and_nothing_is_written(backend: Backend) {
        let service = Service::start(backend).await;
        let mut setup = service.setup();
        for (event, errors) in
            [wrong_types(), missing_and_not_allowed(), bad_values(), several_at_once()].into_iter().flatten()
        {
            let answer = service.caller.post(&event).await;
            let errors: Vec<&str> = errors.iter().map(String::as_str).collect();
            if answer.status != 422 {
                panic!("{event} -> {} {}", answer.status, answer.text);
            }
            answer.expect_errors(&errors);
            let pointers: Vec<&str> = errors.iter().map(|error| error.split(' ').next().unwrap()).collect();
            assert_eq!(answer.error_pointers(), pointers);
            assert_eq!(setup.count_events(), 0, "{event}");
        }
        assert_eq!(service.caller.post(&sale("/external_id", json!("E-1"))).await.word(), "ACCEPTED");
    }

    async fn values_at_their_limits_are_taken_and_read_back_as_they_were(backend: Backend) {
        let service = Service::start(backend).await;
        for id in ["é".repeat(160), "😀".repeat(160), " ".to_owned(), " O-1 ".to_owned(), "o'); DROP TABLE events; --".to_owned(),
            "\u{200b}\u{feff}\u{2028}".to_owned(), "%_\\".to_owned(), "\u{ffff}".to_owned()]
        {
            let event = sale("/custom_data/order_id", json!(id));
            let answer = service.caller.post(&with(event, "/external_id", json!(id))).await;
            assert_eq!(answer.word(), "ACCEPTED", "{id:?}: {}", answer.text);
            let event_id = answer.at("/event_id");
            let read = service.caller.get(&format!("/api/v1/conversions/{}", event_id.as_str().unwrap())).await;
            assert_eq!((read.at("/order_id"), read.at("/external_id")), (json!(id), json!(id)));
        }
        for (number, time) in ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "2024-02-29T00:00:00Z",
            "2026-01-02T03:04:05.123456Z"].into_iter().enumerate()
        {
            let event = sale("/custom_data/order_id", json!(format!("T-{number}")));
            let answer = service.caller.post(&with(event, "/event_time", json!(time))).await;
            assert_eq!(answer.word(), "ACCEPTED", "{time}: {}", answer.text);
            let event_id = answer.at("/event_id");
            let read = service.caller.get(&format!("/api/v1/conversions/{}", event_id.as_str().unwrap())).await;
            assert_eq!(read.at("/occurred_at"), json!(time));
        }
        assert_eq!(service.count_events(), 12);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_may_lie_five_minutes_in_the_future_and_no_more() {
    let service = Service::start(Backend::Sqlite).await;
    for (seconds, word) in [(290, "ACCEPTED"), (310, "validation_failed")] {
        let time = instant::format(service.clock.now() + TimeDelta::seconds(seconds));
        let event = sale("/event_time", json!(time));
        let answer = service.caller.post(&with(event, "/custom_data/order_id", json!(time))).await;
        assert_eq!(answer.word(), word, "{}", answer.text);
        if answer.status == 422 {
            answer.expect_errors(&["/event_time in_the_future"]);
        }
    }
    assert_eq!(service.count_events(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_for_a_time_is_refused_with_a_hint_at_its_unit() {
    let service = Service::start(Backend::Sqlite).await;
    for (number, unit) in [
        ("1764109104", "seconds"),
        ("1764109104.5", "seconds"),
        ("1764109104000", "milli"),
        ("1764109104000000", "micro"),
    ] {
        let body = format!(r#"{{"event_name":"lead","external_id":"L-1","event_time":{number}}}"#);
        let answer = service.caller.post_text(&body).await;
        answer.expect_errors(&["/event_time wrong_type"]);
        let message = answer.at("/errors/0/message");
        assert!(message.as_str().unwrap().contains(unit), "{message}");
    }
    assert_eq!(service.count_events(), 0);
}
