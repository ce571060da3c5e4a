//! What callers may send takes little memory, whatever its shape.

use conversiond::domain::ids::KeyKind;
use conversiond::domain::signature::Form;

use crate::support::process::ServeProcess;
use crate::support::service::Setup;
use crate::support::{Backend, Caller, eventually};

/// The largest books.
const BYTES: usize = 16 << 20;

/// The body, a copy of it in the connection's buffers, and what is made of it; in all, not for each.
const RESIDENT_MAX: u64 = 200 << 20;

/// The most memory that a process has had so far.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// As much as fits of a text again and again, between a beginning and an end.
fn filled(begin: &str, with: &str, end: &str) -> String {
    let count = (BYTES - begin.len() - end.len()) / with.len();
    [begin, &with.repeat(count), end].concat()
}

async fn reconcile(caller: &Caller, media_type: &str, body: &str) -> (u16, String) {
    let period = "from=2026-01-01T00:00:00Z&to=2026-12-01T00:00:00Z";
    let target = match media_type {
        "application/json" => "/api/v1/reconciliations".to_owned(),
        _ => format!("/api/v1/reconciliations?{period}"),
    };
    let mut headers = caller.headers(Form::Bound, "POST", &target, body.as_bytes());
    headers.push(("Content-Type".to_owned(), media_type.to_owned()));
    let answer = caller.send("POST", &target, body.as_bytes(), &headers).await;
    (answer.status, answer.text.chars().take(300).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_of_any_shape_take_a_small_multiple_of_their_size() {
    let database = Backend::Sqlite.database();
    let mut setup = Setup::new(&database, "");
    let merchant = setup.merchant();
    let mut caller = setup.key(KeyKind::Live, Some(merchant));
    let service = ServeProcess::start(&database);
    caller.base = service.base.clone();
    eventually("the key is known", async || caller.get("/api/v1/conversions").await.status == 200).await;
    let json = r#"{"from":"2026-01-01T00:00:00Z","to":"2026-12-01T00:00:00Z","#;
    let shapes = [
        ("text/csv", filled("order_id", ",", ""), 422),
        ("text/csv", filled("order_id\nO-1", ",", ""), 422),
        ("text/csv", filled("order_id\n\"", "x", "\""), 422),
        ("text/csv", filled("order_id\n", "1\n", ""), 422),
        ("application/x-ndjson", filled("{\"order_id\":\"O-1\",\"a\":\"", "x", "\"}"), 200),
        ("application/x-ndjson", filled("", "1\n", ""), 422),
        ("application/x-ndjson", filled("{\"order_id\":\"O-1\"", ",\"\":0", "}"), 200),
        ("application/json", filled(&format!("{json}\"rows\":[0"), ",0", "]}"), 422),
        ("application/json", filled(&format!("{json}\"rows\":["), "[", ""), 400),
        ("application/json", filled(&format!("{json}\"rows\":[]"), ",\"\":0", "}"), 400),
    ];
    for (media_type, body, status) in shapes {
        let (found, text) = reconcile(&caller, media_type, &body).await;
        let peak = peak(service.id());
        let beginning: String = body.chars().take(90).collect();
        println!("{} MiB at most after {media_type} {beginning:?}: {found} {text}", peak >> 20);
        assert_eq!(found, status, "{media_type} {beginning}: {text}");
        assert!(peak < RESIDENT_MAX, "{media_type} {beginning}: {peak} bytes");
    }
    assert_eq!(tokio::task::block_in_place(|| service.terminate()).0, Some(0));
}
