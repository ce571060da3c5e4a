//! What a run of the service writes to its log.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::shell::{caller, key, merchant};
use crate::support::process::{ServeProcess, command};
use crate::support::service::MASTER_KEY;
use crate::support::{Backend, Caller, on_both_databases};

/// Good and bad callbacks, all under a request id of the caller's.
async fn converse(caller: &Caller) {
    let good = json!({"event_name": "sale",
                      "custom_data": {"order_id": "ORD-1001", "value": "1.00", "currency": "USD"}});
    for (body, status) in [(good, 202), (json!({"event_name": "sale"}), 422)] {
        let body = body.to_string();
        for (flip, expected) in [(false, status), (true, 401)] {
            let target = "/api/v1/conversions";
            let form = conversiond::domain::signature::Form::Plain;
            let mut headers = caller.headers(form, "POST", target, body.as_bytes());
            headers.push(("X-Request-ID".to_owned(), format!("asked-{status}-{flip}")));
            if flip {
                headers[2].1 = format!("v1={}", "0".repeat(64));
            }
            let answer = caller.send("POST", target, body.as_bytes(), &headers).await;
            assert_eq!(answer.status, expected, "{}", answer.text);
            assert_eq!(answer.header("x-request-id"), Some(format!("asked-{status}-{flip}").as_str()));
        }
    }
}

on_both_databases! {
    async fn every_line_is_json_holds_the_request_id_and_never_a_secret(backend: Backend) {
        let database = backend.database();
        let shop = merchant(&database);
        let (key_id, secret) = key(&database, &["--merchant", &shop]);
        let mut serve = command(&database, &["serve"]);
        serve.env("CONVERSIOND__TELEMETRY__LOG_LEVEL", "trace");
        let service = ServeProcess::start_command(serve);
        converse(&caller(&service.base, (key_id, secret.clone()))).await;
        let (code, log) = service.terminate();
        assert_eq!(code, Some(0));
        let lines: Vec<Value> = log
            .iter()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect();
        for line in &lines {
            assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
        }
        for id in ["asked-202-false", "asked-202-true", "asked-422-false", "asked-422-true"] {
            let answered = |line: &&Value| line["message"] == "answered" && line["span"]["request_id"] == id;
            assert_eq!(lines.iter().filter(answered).count(), 1, "{id}");
        }
        let text = log.join("\n");
        let encoded = MASTER_KEY.trim_start_matches("1:");
        let bytes = STANDARD.decode(encoded).unwrap();
        for hidden in [
            "whsec_",
            secret.trim_start_matches("whsec_"),
            encoded,
            &hex::encode(&bytes),
            &format!("{bytes:?}"),
        ] {
            assert!(!text.contains(hidden), "{hidden} is in the log");
        }
    }

    async fn a_line_about_a_refusal_names_the_exact_reason(backend: Backend) {
        let database = backend.database();
        let shop = merchant(&database);
        let (key_id, secret) = key(&database, &["--merchant", &shop]);
        let service = ServeProcess::start(&database);
        converse(&caller(&service.base, (key_id.clone(), secret))).await;
        let (_, log) = service.terminate();
        let lines: Vec<Value> = log.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let refused = lines.iter().find(|line| line["span"]["request_id"] == "asked-202-true").unwrap();
        assert_eq!((&refused["status"], &refused["reason"]), (&json!(401), &json!("SIG_BAD_SIGNATURE")));
        assert_eq!((&refused["method"], &refused["path"]), (&json!("POST"), &json!("/api/v1/conversions")));
        let invalid = lines.iter().find(|line| line["span"]["request_id"] == "asked-422-false").unwrap();
        assert_eq!((&invalid["status"], &invalid["reason"]), (&json!(422), &json!("validation_failed")));
        assert_eq!((&invalid["key_id"], &invalid["merchant_id"]), (&json!(key_id), &json!(shop)));
    }
}

/// A started process that is ended whatever becomes of the test.
struct Started(std::process::Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_are_for_people_when_that_is_set() {
    let database = Backend::Sqlite.database();
    let shop = merchant(&database);
    let issued = key(&database, &["--merchant", &shop]);
    let mut serve = command(&database, &["serve"]);
    serve
        .env("CONVERSIOND__TELEMETRY__LOG_FORMAT", "human")
        .env("CONVERSIOND__TELEMETRY__LOG_LEVEL", "debug");
    let mut child = Started(serve.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
    let (sender, receiver) = std::sync::mpsc::channel();
    let stderr = BufReader::new(child.0.stderr.take().unwrap());
    std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let mut log = Vec::new();
    let base = loop {
        let line = receiver.recv_timeout(Duration::from_secs(30)).expect("the service listens");
        let address = line.split_once(" api_address=").map(|(_, rest)| rest.split(' ').next().unwrap());
        let base = address.map(|address| format!("http://{address}"));
        log.push(line);
        if let Some(base) = base {
            break base;
        }
    };
    converse(&caller(&base, issued)).await;
    kill(Pid::from_raw(i32::try_from(child.0.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
    log.extend(receiver.iter());
    assert!(log.iter().all(|line| serde_json::from_str::<Value>(line).is_err()), "{log:?}");
    let text = log.join("\n");
    assert!(!text.contains("whsec_") && !text.contains('\u{1b}'), "{text}");
    assert!(
        log.iter().any(|line| line.contains("asked-422-false") && line.contains("validation_failed")),
        "{text}"
    );
}
