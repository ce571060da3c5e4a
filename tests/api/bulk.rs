//! Bulk requests as a whole: what is a bulk, what it costs, its key, its forms (contract 6.2).

use std::sync::Arc;

use conversiond::domain::ids::KeyKind;
use conversiond::domain::rate_limit::RateLimit;
use conversiond::domain::signature::{Covered, Form, sign};
use conversiond::storage::merchants::Changes;
use diesel::connection::SimpleConnection as _;
use serde_json::{Value, json};

use crate::support::caller::{Answer, unix_now};
use crate::support::clock::TestClock;
use crate::support::service::Setup;
use crate::support::{Backend, Caller, Service, eventually, on_both_databases};

pub const PATH: &str = "/api/v1/conversions/bulk";
pub const JSON: &str = "application/json";
pub const NDJSON: &str = "application/x-ndjson";

/// The text of a bulk request of these rows.
pub fn bulk_of(rows: &[String]) -> String {
    format!(r#"{{"rows":[{}]}}"#, rows.join(","))
}

/// The texts of rows.
pub fn texts(rows: &[Value]) -> Vec<String> {
    rows.iter().map(Value::to_string).collect()
}

/// Sends a bulk request's text, signed in this form.
async fn send_as(caller: &Caller, form: Form, media_type: &str, body: &str) -> Answer {
    let mut headers = caller.headers(form, "POST", PATH, body.as_bytes());
    headers.push(("Content-Type".to_owned(), media_type.to_owned()));
    caller.send("POST", PATH, body.as_bytes(), &headers).await
}

/// Sends rows in the plain form.
pub async fn send(caller: &Caller, rows: &[String]) -> Answer {
    send_as(caller, Form::Plain, JSON, &bulk_of(rows)).await
}

/// Sends a text under an idempotency key of the whole request.
pub async fn send_under(caller: &Caller, key: &str, media_type: &str, body: &str) -> Answer {
    let (method, body) = ("POST", body.as_bytes());
    let covered = Covered { method, target: PATH, idempotency_key: key, external_event_id: "", body };
    let headers = sign(Form::Bound, &caller.key_id, &caller.secret, unix_now(), "", &covered);
    let further = [("Idempotency-Key", key.to_owned()), ("Content-Type", media_type.to_owned())];
    let headers: Vec<(String, String)> =
        headers.into_iter().chain(further).map(|(name, value)| (name.to_owned(), value)).collect();
    caller.send(method, PATH, body, &headers).await
}

/// A result in one word: `replayed`, a problem's code, else its status.
pub fn word(result: &Value) -> &str {
    match (&result["idempotent"], result["problem"]["code"].as_str()) {
        (Value::Bool(true), None) => "replayed",
        (Value::Bool(false), Some(code)) => code,
        (Value::Bool(false), None) => result["status"].as_str().unwrap(),
        other => panic!("{other:?} {result}"),
    }
}

/// The results of an answer, checked: their order, their problems, and that the summary counts them.
#[track_caller]
pub fn results(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("content-type"), Some(JSON));
    let mut json = answer.json();
    let Value::Array(results) = json["results"].take() else { panic!("{}", answer.text) };
    for (index, result) in results.iter().enumerate() {
        assert_eq!(result["index"], index, "{result}");
        let rejected = result["status"] == "REJECTED";
        assert_eq!((result["problem"].is_object(), result["event_id"].is_string()), (rejected, !rejected));
        if rejected {
            let problem = &result["problem"];
            for member in ["type", "title", "detail", "code"] {
                assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{result}");
            }
            assert_eq!(problem["retryable"], false, "{result}");
            assert_eq!(problem["errors"].is_array(), problem["code"] == "validation_failed", "{result}");
            assert_eq!(problem["status"], if problem["code"] == "malformed_json" { 400 } else { 422 });
        }
    }
    let count = |wanted: &dyn Fn(&str) -> bool| results.iter().filter(|result| wanted(word(result))).count();
    let known = ["ACCEPTED", "DUPLICATE", "replayed"];
    let summary = json!({
        "accepted": count(&|word| word == "ACCEPTED"),
        "duplicate": count(&|word| word == "DUPLICATE"),
        "replayed": count(&|word| word == "replayed"),
        "rejected": count(&|word| !known.contains(&word)),
    });
    assert_eq!(json["summary"], summary, "{}", answer.text);
    results
}

/// The words of all results.
#[track_caller]
pub fn words(answer: &Answer) -> Vec<String> {
    results(answer).iter().map(|result| word(result).to_owned()).collect()
}

fn lead(id: &str) -> String {
    json!({"event_name": "lead", "external_id": id}).to_string()
}

fn leads(count: usize) -> Vec<String> {
    (0..count).map(|number| lead(&format!("L-{number}"))).collect()
}

on_both_databases! {
    async fn a_whole_request_is_replayed_byte_for_byte_under_its_key(backend: Backend) {
        let service = Service::start(backend).await;
        let caller = &service.caller;
        let body = bulk_of(&[lead("L-1"), lead("L-1"), "{}".to_owned()]);
        let first = send_under(caller, "import-1", JSON, &body).await;
        assert_eq!(words(&first), ["ACCEPTED", "DUPLICATE", "validation_failed"]);
        assert_eq!(first.header("idempotent-replayed"), None);
        for _ in 0..2 {
            let again = send_under(caller, "import-1", JSON, &body).await;
            assert_eq!((again.status, &again.text), (200, &first.text));
            assert_eq!(again.header("idempotent-replayed"), Some("true"));
            assert_eq!(again.header("content-type"), Some(JSON));
        }
        let quoted = send_under(caller, "\"import-1\"", JSON, &body).await;
        assert_eq!(quoted.text, first.text);
        for other in [bulk_of(&[lead("L-2")]), format!("{body} ")] {
            let refused = send_under(caller, "import-1", JSON, &other).await;
            refused.expect_problem(422, "idempotency_key_mismatch");
            assert!(!refused.text.contains("L-1") && !refused.text.contains("evt_"), "{}", refused.text);
        }
        // A key stands for one request of any endpoint.
        let single = caller.post_under("import-1", &json!({"event_name": "lead", "external_id": "L-1"})).await;
        single.expect_problem(422, "idempotency_key_mismatch");
        let row = json!({"idempotency_key": "import-1", "event_name": "lead", "external_id": "L-1"});
        assert_eq!(words(&send(caller, &texts(&[row])).await), ["idempotency_key_mismatch"]);
        // What was refused leaves nothing under its key.
        send_under(caller, "import-2", JSON, &bulk_of(&[])).await.expect_problem(422, "validation_failed");
        assert_eq!(words(&send_under(caller, "import-2", JSON, &bulk_of(&[lead("L-2")])).await), ["ACCEPTED"]);
        assert_eq!(service.count_events(), 2);
    }

    async fn one_key_sent_sixteen_times_at_once_runs_once(backend: Backend) {
        let service = Service::start(backend).await;
        let second = if backend == Backend::Sqlite { None } else { Some(service.another("").await) };
        let body = bulk_of(&leads(20));
        let calls = (0..16).map(|call| {
            let instance = second.as_ref().filter(|_| call % 2 == 1).unwrap_or(&service);
            send_under(&instance.caller, "import", JSON, &body)
        });
        let answers = futures_util::future::join_all(calls).await;
        assert_eq!(words(&answers[0]), ["ACCEPTED"; 20]);
        assert!(answers.iter().all(|answer| answer.text == answers[0].text));
        let replayed = answers.iter().filter(|answer| answer.header("idempotent-replayed").is_some()).count();
        assert_eq!((replayed, service.count_events()), (15, 20));
    }

    async fn ndjson_is_answered_row_by_row_as_json_is(backend: Backend) {
        let service = Service::start(backend).await;
        let mut setup = service.setup();
        let merchants = [0; 4].map(|_| setup.merchant());
        let callers = merchants.map(|merchant| setup.key(KeyKind::Live, Some(merchant)));
        eventually("the keys are known", async || callers[3].get("/api/v1/conversions").await.status == 200).await;
        let rows = [
            json!({"client_row_id": "r0", "idempotency_key": "k", "event_name": "lead", "external_id": "é\u{2028}\\n"}),
            json!({"client_row_id": "r1", "externalOrderId": "O-1", "amount": 1.50, "currency": "EUR"}),
            json!({"client_row_id": "r2", "idempotency_key": "k", "event_name": "lead", "external_id": "L-2"}),
            json!({"event_name": "sale", "custom_data": {"order_id": "O-1", "value": 2, "currency": "EUR"}}),
            json!([1]),
        ];
        let mut rows = texts(&rows);
        rows.push(r#"{"client_row_id":"r5","a":1,"a":2}"#.to_owned());
        let mut answers = Vec::new();
        for (caller, (media_type, body)) in callers.iter().zip([
            (JSON, bulk_of(&rows)),
            (NDJSON, rows.join("\n")),
            (NDJSON, format!("\r\n{}\r\n", rows.join("\r\n"))),
            ("Application/X-NDJSON; charset=utf-8", format!("\n \n{}\n\t\n\n", rows.join("\n\n"))),
        ]) {
            let answer = send_as(caller, Form::Plain, media_type, &body).await;
            let request_id = answer.header("x-request-id").unwrap();
            let mut results = results(&answer);
            for result in &mut results {
                // What belongs to this request alone.
                if result["problem"].is_object() {
                    assert_eq!(result["problem"]["request_id"].take(), request_id);
                } else {
                    assert!(result["event_id"].take().is_string() && result["received_at"].take().is_string());
                }
            }
            answers.push(results);
        }
        let words: Vec<&str> = answers[0].iter().map(word).collect();
        assert_eq!(words, ["ACCEPTED", "ACCEPTED", "idempotency_key_mismatch", "DUPLICATE", "validation_failed",
            "malformed_json"]);
        assert!(answers.iter().all(|other| *other == answers[0]), "{answers:?}");
    }

    async fn an_unreadable_line_is_rejected_and_the_others_go_on(backend: Backend) {
        let service = Service::start(backend).await;
        let mut body = Vec::new();
        for line in [lead("L-0").as_bytes(), b"{\"client_row_id\":\"r1\"", b"{} {}", b"\xff", b"null", b"}{",
            b"\"\\ud800\"", lead("L-7").as_bytes()] {
            body.extend_from_slice(line);
            body.push(b'\n');
        }
        let mut headers = service.caller.headers(Form::Plain, "POST", PATH, &body);
        headers.push(("Content-Type".to_owned(), NDJSON.to_owned()));
        let answer = service.caller.send("POST", PATH, &body, &headers).await;
        let malformed = "malformed_json";
        assert_eq!(words(&answer), ["ACCEPTED", malformed, malformed, malformed, "validation_failed", malformed,
            malformed, "ACCEPTED"]);
        assert_eq!(service.count_events(), 2);
    }

    async fn what_is_no_bulk_request_is_refused_whole(backend: Backend) {
        let service = Service::start(backend).await;
        let caller = &service.caller;
        let too_many = leads(1_001);
        for (body, errors) in [
            (bulk_of(&[]), ["/rows too_few"]),
            (bulk_of(&too_many), ["/rows too_many"]),
            ("{}".to_owned(), ["/rows required"]),
            (r#"{"row":[]}"#.to_owned(), ["/rows required"]),
            (r#"{"rows":{}}"#.to_owned(), ["/rows wrong_type"]),
            (r#"{"rows":"[]"}"#.to_owned(), ["/rows wrong_type"]),
            (format!("[{}]", lead("L-1")), [" wrong_type"]),
            ("7".to_owned(), [" wrong_type"]),
        ] {
            send_as(caller, Form::Plain, JSON, &body).await.expect_errors(&errors);
        }
        for (body, error) in [("\n \r\n".to_owned(), " too_few"), (too_many.join("\n"), " too_many")] {
            send_as(caller, Form::Plain, NDJSON, &body).await.expect_errors(&[error]);
        }
        for body in ["{", "rows", r#"{"rows":[}"#, r#"{"rows":[],"rows":[]}"#, "{\"rows\":[{\"a\":\"\u{1}\"}]}",
            r#"{"rows":[]}{}"#] {
            send_as(caller, Form::Plain, JSON, body).await.expect_problem(400, "malformed_json");
        }
        send_as(caller, Form::Bound, JSON, "").await.expect_problem(400, "malformed_request");
        for media_type in ["text/plain", "application/ndjson", "application/json-seq", ""] {
            let answer = send_as(caller, Form::Plain, media_type, &bulk_of(&[lead("L-1")])).await;
            answer.expect_problem(415, "unsupported_media_type");
        }
        caller.get(PATH).await.expect_problem(405, "method_not_allowed");
        assert_eq!(service.count_events(), 0);
    }

    async fn a_bulk_body_may_have_a_mebibyte_and_a_single_one_64_kibibytes(backend: Backend) {
        let service = Service::start(backend).await;
        let row = |id: &str, padding: usize| {
            json!({"event_name": "lead", "external_id": id, "unknown": "x".repeat(padding)}).to_string()
        };
        let exactly = |id: &str, size: usize| row(id, size - row(id, 0).len());
        let frame = bulk_of(&[]).len();
        let bulk = async |size: usize| send(&service.caller, &[exactly("L-1", size - frame)]).await;
        assert_eq!(words(&bulk(1024 * 1024).await), ["ACCEPTED"]);
        bulk(1024 * 1024 + 1).await.expect_problem(413, "body_too_large");
        let single = async |size: usize| service.caller.post_text(&exactly("L-2", size)).await;
        assert_eq!(single(64 * 1024).await.word(), "ACCEPTED");
        single(64 * 1024 + 1).await.expect_problem(413, "body_too_large");
        assert_eq!(service.count_events(), 2);
    }

    async fn a_bulk_request_costs_one_token(backend: Backend) {
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        let merchant = setup.merchant();
        setup.change(merchant, &Changes { own_limit: Some(RateLimit::of(1, 3)), ..Changes::default() });
        let limited = setup.key(KeyKind::Live, Some(merchant));
        drop(setup);
        let service = Service::start_at(database, "", Arc::new(TestClock::standing())).await;
        let limited = Caller { base: service.caller.base.clone(), ..limited };
        for left in ["2", "1"] {
            let answer = send(&limited, &leads(500)).await;
            assert_eq!((results(&answer).len(), answer.header("x-ratelimit-remaining")), (500, Some(left)));
        }
        let refused = send(&limited, &[]).await;
        assert_eq!((refused.status, refused.header("x-ratelimit-remaining")), (422, Some("0")));
        send(&limited, &leads(1)).await.expect_problem(429, "rate_limited");
        assert_eq!(service.count_events(), 500);
    }

    async fn every_form_signs_a_bulk_request(backend: Backend) {
        let service = Service::start(backend).await;
        for (number, form) in [Form::Plain, Form::Bound, Form::StandardWebhooks].into_iter().enumerate() {
            let body = bulk_of(&[lead(&format!("L-{number}"))]);
            let headers = service.caller.headers(form, "POST", PATH, body.as_bytes());
            let first = service.caller.send("POST", PATH, body.as_bytes(), &headers).await;
            assert_eq!(words(&first), ["ACCEPTED"]);
            let again = service.caller.send("POST", PATH, body.as_bytes(), &headers).await;
            // A webhook-id is the request's key.
            let replayed = form == Form::StandardWebhooks;
            assert_eq!(again.header("idempotent-replayed").is_some(), replayed);
            assert_eq!((again.text == first.text, words(&again).concat() == "DUPLICATE"), (replayed, !replayed));
            let other = bulk_of(&[lead("L-other")]);
            service.caller.send("POST", PATH, other.as_bytes(), &headers).await.expect_problem(401, "unauthorized");
        }
        assert_eq!(service.count_events(), 3);
    }

    async fn bulk_requests_of_test_mode_never_meet_live_ones(backend: Backend) {
        let service = Service::start(backend).await;
        let test = service.setup().key(KeyKind::Test, Some(service.merchant));
        eventually("the key is known", async || test.get("/api/v1/conversions").await.status == 200).await;
        let rows = texts(&[json!({"idempotency_key": "k", "event_name": "lead", "external_id": "L-1"}),
            json!({"externalOrderId": "O-1", "amount": "1", "currency": "EUR", "orderStatus": "cancelled"})]);
        let mut events = Vec::new();
        for (caller, mode) in [(&service.caller, "live"), (&test, "test")] {
            let first = send_under(caller, "import", JSON, &bulk_of(&rows)).await;
            assert_eq!(words(&first), ["ACCEPTED", "ACCEPTED"]);
            for result in results(&first) {
                assert_eq!(result["mode"], mode);
                events.push(result["event_id"].to_string());
            }
            assert_eq!(words(&send(caller, &rows).await), ["replayed", "DUPLICATE"]);
        }
        events.sort();
        events.dedup();
        assert_eq!((events.len(), service.count_events()), (4, 6));
    }

    async fn a_row_that_the_database_refuses_costs_the_whole_answer_and_leaves_nothing(backend: Backend) {
        let service = Service::start(backend).await;
        let mut setup = service.setup();
        setup.connection.batch_execute(match backend {
            // Only COMMIT finds it.
            Backend::Postgres => "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN RAISE EXCEPTION 'no'; END $$; \
                CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW \
                WHEN (NEW.order_id = 'L-7') EXECUTE FUNCTION refuse()",
            Backend::Sqlite => "CREATE TRIGGER refuse AFTER INSERT ON events WHEN NEW.order_id = 'L-7' \
                BEGIN SELECT RAISE(ABORT, 'no'); END",
        }).unwrap();
        let body = bulk_of(&leads(12));
        let (refused, other) = tokio::join!(
            send_under(&service.caller, "import", JSON, &body),
            service.caller.post_text(r#"{"event_name":"lead","external_id":"other"}"#),
        );
        refused.expect_problem(503, "storage_unavailable");
        assert_eq!((other.word().as_str(), service.count_events()), ("ACCEPTED", 1));
        setup.connection.batch_execute(match backend {
            Backend::Postgres => "DROP TRIGGER refuse ON events",
            Backend::Sqlite => "DROP TRIGGER refuse",
        }).unwrap();
        let again = send_under(&service.caller, "import", JSON, &body).await;
        assert_eq!((words(&again), again.header("idempotent-replayed")), (vec!["ACCEPTED".to_owned(); 12], None));
        assert_eq!(service.count_events(), 13);
    }
}
