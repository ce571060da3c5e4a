//! `report`: what a merchant's events come to, for people and for pipes.

use serde_json::{Value, json};

use crate::shell::{self, Ran, caller, key, merchant};
use crate::support::process::ServeProcess;
use crate::support::{Backend, TestDatabase, on_both_databases};

/// A merchant that sold something in November, and its id.
async fn shop(backend: Backend) -> (TestDatabase, String) {
    let database = backend.database();
    let merchant = merchant(&database);
    let issued = key(&database, &["--merchant", &merchant]);
    let service = ServeProcess::start(&database);
    let caller = caller(&service.base, issued);
    for event in [
        sale("A", "2026-11-02T10:00:00Z", "1299.90", "EUR"),
        sale("B", "2026-11-02T11:00:00Z", "1580", "JPY"),
        sale("C", "2026-11-03T10:00:00Z", "5", "EUR"),
        json!({"event_name": "refund", "event_time": "2026-11-04T10:00:00Z",
            "custom_data": {"related_order_id": "A", "value": "299.90", "currency": "EUR"}}),
        json!({"event_name": "cancellation", "event_time": "2026-11-04T10:00:00Z",
            "custom_data": {"related_order_id": "C"}}),
    ] {
        assert_eq!(caller.post(&event).await.word(), "ACCEPTED");
    }
    (database, merchant)
}

fn sale(order: &str, at: &str, value: &str, currency: &str) -> Value {
    json!({"event_name": "sale", "event_time": at,
        "custom_data": {"order_id": order, "value": value, "currency": currency}})
}

fn report(database: &TestDatabase, merchant: &str, further: &[&str]) -> Ran {
    let time = ["report", "--merchant", merchant, "--from", "2026-11-02", "--to", "2026-11-05"];
    shell::run(database, &[&time, further].concat())
}

on_both_databases! {
    async fn the_table_has_columns_that_line_up_and_a_total(backend: Backend) {
        let (database, merchant) = shop(backend).await;
        let table = report(&database, &merchant, &["--tz", "Europe/Paris", "--basis", "event"]).done().out;
        let lines: Vec<&str> = table.lines().collect();
        let head = "2026-11-01T23:00:00Z to 2026-11-04T23:00:00Z  tz Europe/Paris  basis event";
        assert!(lines[0].starts_with(&merchant) && lines[0].ends_with(head), "{table}");
        let expected = [
            "DAY CLICKS LEADS SALES CANCELLED REVERSED REFUNDS CONVERSION_RATE CURRENCY SOLD REFUNDED NET",
            "2026-11-02 0 0 2 0 0 0 EUR 1299.90 0.00 1299.90",
            "2026-11-02 JPY 1580 0 1580",
            "2026-11-03 0 0 1 0 0 0 EUR 5.00 0.00 5.00",
            "2026-11-04 0 0 0 1 0 1 EUR 0.00 299.90 -304.90",
            "TOTAL 0 0 3 1 0 1 EUR 1304.90 299.90 1000.00",
            "TOTAL JPY 1580 0 1580",
        ];
        let words: Vec<String> =
            lines[1..].iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(words, expected, "{table}");
        // Numbers end where their column's name does.
        let end = lines[1].find("SALES").unwrap() + "SALES".len();
        assert!(lines[2][..end].ends_with(" 2") && lines[6][..end].ends_with(" 3"), "{table}");
        let by_link = report(&database, &merchant, &["--group-by", "url_id"]).done().out;
        assert!(by_link.lines().nth(2).unwrap().starts_with("-  "), "{by_link}");
    }

    async fn json_and_csv_are_what_the_api_answers(backend: Backend) {
        let (database, merchant) = shop(backend).await;
        let json = report(&database, &merchant, &["--group-by", "month", "--json"]).done().json();
        assert_eq!((&json["merchant_id"], &json["mode"]), (&json!(merchant), &json!("live")));
        assert_eq!(json["rows"][0]["month"], "2026-11");
        assert_eq!(json["totals"]["amounts"][0], json!({"currency": "EUR", "sold": "1304.90", "refunded": "299.90", "net": "1000.00"}));
        let csv = report(&database, &merchant, &["--csv", "--currency", "jpy", "--group-by", "attribution"]).done().out;
        let exact = ["--csv", "--exact", "--currency", "jpy", "--group-by", "attribution"];
        assert_eq!(report(&database, &merchant, &exact).done().out, csv);
        let expected = "attribution,clicks,leads,sales,cancelled,reversed,refunds,conversion_rate,currency,sold,refunded,net\n\
            unattributed,,0,1,0,0,0,,JPY,1580,0,1580\n";
        assert_eq!(csv, expected);
        let test_keys = report(&database, &merchant, &["--mode", "test", "--json"]).done().json();
        assert_eq!((&test_keys["totals"]["sales"], &test_keys["totals"]["clicks"]), (&json!(0), &Value::Null));
    }

    async fn what_cannot_be_reported_is_said(backend: Backend) {
        let database = backend.database();
        let merchant = merchant(&database);
        let run = |further: &[&str]| shell::run(&database, &[&["report", "--merchant", &merchant], further].concat());
        run(&["--from", "2026-11-02", "--to", "2026-11-02"]).failed_saying(&["--to", "after its beginning"]);
        run(&["--from", "2999-01-01"]).failed_saying(&["--from", "before now"]);
        run(&["--from", "2001-01-01"]).failed_saying(&["--group-by day", "1100 periods", "shorter time"]);
        run(&["--json", "--csv"]).misused_saying(&["either"]);
        run(&["--group-by", "hour"]).misused_saying(&["day, week, month"]);
        run(&["--tz", "Paris"]).misused_saying(&["IANA"]);
        run(&["--from", "yesterday"]).misused_saying(&["2026-11-21"]);
        run(&["--basis", "net"]).misused_saying(&["sale or event"]);
        let nobody = "mer_01k86r3hkvfyh8z0rff08k4yyf";
        shell::run(&database, &["report", "--merchant", nobody]).failed_saying(&["there is no merchant", nobody]);
    }
}
