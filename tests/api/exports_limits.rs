//! Exports that are large, slow, cut, or too many at once.

use std::collections::BTreeSet;

use conversiond::domain::ids::KeyKind;
use conversiond::domain::signature::Form;
use serde_json::Value;

use crate::exports::{PATH, export};
use crate::support::exports::Exported;
use crate::support::{Backend, Caller, Service, eventually, on_both_databases};

/// More than sockets hold: events of 8 KB, 24 MB together.
const LARGE: (usize, usize) = (3_000, 8_000);

/// An export whose head has arrived and whose body nobody has read yet.
async fn open(caller: &Caller, query: &str) -> reqwest::Response {
    let target = format!("{PATH}{query}");
    let mut request = caller.http.get(format!("{}{target}", caller.base));
    for (name, value) in caller.headers(Form::Bound, "GET", &target, b"") {
        request = request.header(name, value);
    }
    request.send().await.unwrap()
}

/// The same once there is room: an export's place is free a moment after its end was read.
async fn open_when_there_is_room(caller: &Caller, query: &str) -> reqwest::Response {
    let mut found = None;
    eventually("there is room", async || {
        found = Some(open(caller, query).await).filter(|response| response.status() == 200);
        found.is_some()
    })
    .await;
    found.unwrap()
}

/// How many events the large export has; more on demand.
fn events_count() -> usize {
    std::env::var("CONVERSIOND_TEST_EXPORT_EVENTS").ok().map_or(20_000, |count| count.parse().unwrap())
}

on_both_databases! {
    async fn a_large_export_has_every_event_once_and_in_order(backend: Backend) {
        let service = Service::start(backend).await;
        let count = events_count();
        service.setup().fill_events(service.merchant, count, 10);
        // Sizes that change make pages of other lengths.
        service.setup().execute(&format!(
            "UPDATE events SET metadata = '{{\"long\":\"{}\"}}' WHERE order_id LIKE '%00'",
            "y".repeat(8_000)
        ));
        for format in ["ndjson", "csv"] {
            let text = open(&service.caller, &format!("?format={format}")).await.text().await.unwrap();
            let ids: Vec<&str> =
                text.match_indices("evt_").map(|(at, _)| &text[at..at + 30]).collect();
            assert_eq!(ids, service.setup().event_ids(), "{format}");
            assert_eq!(ids.len(), count);
            let cursor = text.lines().last().unwrap().trim_start_matches("#next_cursor,").to_owned();
            assert!(!cursor.contains("evt_"), "{cursor}");
        }
    }

    async fn a_caller_that_left_in_the_middle_begins_again_where_it_was(backend: Backend) {
        let service = Service::start_with(backend.database(), "[export]\nconcurrent = 1").await;
        let before = export(&service.caller, "").await;
        service.setup().fill_events(service.merchant, LARGE.0, LARGE.1);
        let query = format!("?cursor={}", before.cursor);
        for _ in 0..3 {
            // Those before have left in the middle: their place is free again.
            let mut response = open_when_there_is_room(&service.caller, &query).await;
            let piece = response.chunk().await.unwrap().unwrap();
            assert!(piece.starts_with(b"{\"event_id\":\"evt_"));
        }
        let whole = open_when_there_is_room(&service.caller, &query).await;
        let whole = Exported::of_text(&whole.text().await.unwrap());
        let ids: BTreeSet<&str> = whole.events.iter().map(|event| event["event_id"].as_str().unwrap()).collect();
        assert_eq!((whole.events.len(), ids.len()), (LARGE.0, LARGE.0));
    }

    async fn as_many_exports_run_as_are_allowed_and_no_more(backend: Backend) {
        let service = Service::start(backend).await;
        let mut setup = service.setup();
        setup.fill_events(service.merchant, 2 * LARGE.0, LARGE.1);
        let [neighbour, other] = [setup.merchant(), setup.merchant()];
        setup.execute(&format!(
            "UPDATE events SET merchant_id = '{neighbour}' WHERE CAST(substr(order_id, 3) AS INTEGER) > {}",
            LARGE.0
        ));
        let test_mode = setup.key(KeyKind::Test, Some(service.merchant));
        let [neighbour, other] = [neighbour, other].map(|merchant| setup.key(KeyKind::Live, Some(merchant)));
        for caller in [&test_mode, &neighbour, &other] {
            eventually("the key is known", async || caller.get("/api/v1/conversions").await.status == 200).await;
        }
        let mut one = open(&service.caller, "").await;
        assert_eq!(one.status(), 200);
        // A merchant has one place, whatever its keys: its neighbours keep theirs.
        for caller in [&service.caller, &test_mode] {
            let refused = caller.get(PATH).await;
            refused.expect_problem(503, "overloaded");
            assert!(refused.text.contains("of this merchant") && refused.header("retry-after").is_some());
        }
        let two = open(&neighbour, "?format=csv").await;
        assert_eq!(two.status(), 200);
        let refused = other.get(PATH).await;
        refused.expect_problem(503, "overloaded");
        assert!(!refused.text.contains("of this merchant"), "{}", refused.text);
        // Others are read as ever.
        assert_eq!(service.caller.get("/api/v1/conversions?limit=1").await.status, 200);
        let mut bytes = 0;
        while let Some(piece) = one.chunk().await.unwrap() {
            bytes += piece.len();
        }
        assert!(bytes > LARGE.0 * LARGE.1, "{bytes}");
        // Whoever has read the end may begin at once.
        assert_eq!(open(&service.caller, "?to=2000-01-01T00:00:00Z").await.status(), 200);
        drop(two);
    }

    async fn a_caller_that_takes_nothing_loses_its_place(backend: Backend) {
        let service = Service::start_with(backend.database(), "[export]\nconcurrent = 1\nstall_s = 1").await;
        service.setup().fill_events(service.merchant, LARGE.0, LARGE.1);
        let stalled = open(&service.caller, "").await;
        assert_eq!(stalled.status(), 200);
        assert_eq!(open(&service.caller, "").await.status(), 503);
        open_when_there_is_room(&service.caller, "?to=2000-01-01T00:00:00Z").await;
        // What it gets then is no complete export.
        assert!(stalled.text().await.is_err());
    }

    async fn what_cannot_be_read_cuts_the_export_and_leaves_no_cursor(backend: Backend) {
        let service = Service::start(backend).await;
        service.setup().fill_events(service.merchant, 2_000, 10);
        let spoil = |to: &str| format!("UPDATE events SET attribution = '{to}' WHERE order_id = 'F-1999'");
        service.setup().execute(&spoil("attributed"));
        for format in ["ndjson", "csv"] {
            let mut response = open(&service.caller, &format!("?format={format}")).await;
            assert_eq!(response.status(), 200);
            let mut text = Vec::new();
            let error = loop {
                match response.chunk().await {
                    Ok(Some(piece)) => text.extend_from_slice(&piece),
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            assert!(error.is_some(), "a cut export ended as if it were whole");
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("F-250") && !text.contains("next_cursor"), "{}", text.len());
        }
        // Before the first page is out it can be said.
        service.setup().execute("UPDATE events SET attribution = 'attributed' WHERE order_id = 'F-1'");
        service.caller.get(PATH).await.expect_problem(503, "storage_unavailable");
        service.setup().execute("UPDATE events SET attribution = 'unattributed'");
        let whole = export(&service.caller, "").await;
        assert_eq!(whole.events.len(), 2_000);
        assert!(whole.events.iter().all(|event| event["attribution"]["reason"] != Value::Null));
    }
}
