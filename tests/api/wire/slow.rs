//! Callers that take their time, and many of them.

use std::time::Duration;

use super::{BODY, PATH, accepted, signed};
use conversiond::domain::signature::Form;

use crate::support::raw::{RawConnection, exchange};
use crate::support::{Backend, Caller, Service, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_trickles_in_is_408_when_its_time_is_over() {
    let service = Service::start_with(Backend::Sqlite.database(), "[server]\nhead_timeout_s = 1\n").await;
    let head = accepted(&service);
    let mut connections = Vec::new();
    for sent in [1, 4, 40, 200] {
        let mut connection = RawConnection::open(service.api).await;
        connection.send(&head[..sent]).await;
        connections.push(connection);
    }
    // While they are waited for, others are answered.
    assert_eq!(service.caller.get(PATH).await.status, 200);
    for connection in &mut connections {
        assert_eq!(connection.answer().await.status, 408);
        assert!(connection.try_answer().await.is_none());
    }
    // Byte by byte it takes no longer.
    let mut connection = RawConnection::open(service.api).await;
    for byte in &head[..40] {
        connection.try_send(&[*byte]).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(connection.answer().await.status, 408);
    assert!(connection.try_answer().await.is_none());
    assert_eq!(service.count_events(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_trickle_in_hold_up_nobody_else() {
    let service = Service::start_with(Backend::Sqlite.database(), "[server]\nbody_timeout_s = 2\n").await;
    let length = BODY.len();
    let lines = signed(&service, BODY);
    let head = format!("POST {PATH} HTTP/1.1\r\nHost: test\r\n{lines}Content-Length: {length}\r\n\r\n");
    let mut connections = Vec::new();
    for _ in 0..100 {
        let mut connection = RawConnection::open(service.api).await;
        connection.send(head.as_bytes()).await;
        connection.send(&BODY[..1]).await;
        connections.push(connection);
    }
    let (answer, _) = exchange(service.api, &accepted(&service)).await;
    assert_eq!(answer.word(), "ACCEPTED");
    for connection in &mut connections {
        connection.answer().await.expect_problem(408, "request_timeout");
    }
    assert_eq!(service.count_events(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_no_answers_is_read_no_further() {
    let service = Service::start(Backend::Sqlite).await;
    let get = b"GET /openapi.json HTTP/1.1\r\nHost: test\r\n\r\n".repeat(100);
    let mut greedy = Vec::new();
    for _ in 0..2 {
        let mut connection = RawConnection::open(service.api).await;
        let mut sent = 0;
        // Each of these asks for more than a hundred times its length.
        while sent < 64 << 20 && connection.sends_within(&get, Duration::from_secs(1)).await {
            sent += get.len();
        }
        assert!(sent < 64 << 20, "{sent} bytes of requests were taken whose answers nobody reads");
        greedy.push(connection);
    }
    let (answer, _) = exchange(service.api, &accepted(&service)).await;
    assert_eq!(answer.word(), "ACCEPTED");
    // What was answered until then is whole.
    assert_eq!(greedy[0].answer().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_idle_connections_are_in_nobodys_way() {
    const IDLE: usize = 2_000;
    assert!(may_open(2 * IDLE + 500), "the system allows so many open files (ulimit -Hn)");
    let settings = "[server]\nhead_timeout_s = 60\nkeep_alive_s = 60\nconnections_per_address = 4096\n";
    let mut service = Service::start_with(Backend::Sqlite.database(), settings).await;
    let mut idle = Vec::with_capacity(IDLE);
    for number in 0..IDLE {
        let mut connection = RawConnection::open(service.api).await;
        match number % 4 {
            // Nothing sent; half a head sent; a request answered.
            0 | 1 => {}
            2 => connection.send(b"POST /api/v1/conv").await,
            _ => {
                connection.send(b"GET /nowhere HTTP/1.1\r\nHost: test\r\n\r\n").await;
                assert_eq!(connection.answer().await.status, 404);
            }
        }
        idle.push(connection);
    }
    for number in 0..200 {
        let event = serde_json::json!({"event_name": "lead", "external_id": format!("L-{number}")});
        assert_eq!(service.caller.post(&event).await.word(), "ACCEPTED");
    }
    assert_eq!(service.count_events(), 200);
    // Those that were answered before may still be used.
    for connection in idle.iter_mut().skip(3).step_by(400) {
        connection.send(b"GET /nowhere HTTP/1.1\r\nHost: test\r\n\r\n").await;
        assert_eq!(connection.answer().await.status, 404);
    }
    drop(idle);
    eventually("the service is as before", async || service.caller.get(PATH).await.status == 200).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_stalls_is_408_long_before_its_whole_time_is_over() {
    let service = Service::start_with(Backend::Sqlite.database(), "[server]\nbody_timeout_s = 60\n").await;
    let lines = signed(&service, BODY);
    let head = format!("POST {PATH} HTTP/1.1\r\nHost: test\r\n{lines}Content-Length: {}\r\n\r\n", BODY.len());
    let mut connection = RawConnection::open(service.api).await;
    connection.send(head.as_bytes()).await;
    connection.send(&BODY[..1]).await;
    let begun = tokio::time::Instant::now();
    connection.answer().await.expect_problem(408, "request_timeout");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(service.count_events(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_connection_gets_in_however_many_of_its_address_stall() {
    const STALLED: usize = 60;
    let settings = "[server]\nhead_timeout_s = 60\nconnections_per_address = 20\n";
    let service = Service::start_with(Backend::Sqlite.database(), settings).await;
    let mut stalled = Vec::new();
    for number in 0..STALLED {
        let mut connection = RawConnection::open(service.api).await;
        // Half a head, or a whole one whose body does not come.
        let whole = "POST /api/v1/conversions HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\n1";
        connection.try_send(if number % 2 == 0 { b"POST /api" } else { whole.as_bytes() }).await;
        stalled.push(connection);
        // On a connection of its own.
        let caller = Caller { http: reqwest::Client::new(), ..service.caller.clone() };
        let event = serde_json::json!({"event_name": "lead", "external_id": format!("L-{number}")});
        assert_eq!(caller.post(&event).await.word(), "ACCEPTED");
    }
    assert!(service.figure("conversiond_connections_open", &[]).await <= 21);
    let closed = service.figure("conversiond_connections_closed_total", &["address_limit"]).await;
    assert!(closed >= u64::try_from(STALLED - 20).unwrap(), "{closed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_bodies_give_their_memory_to_newer_ones_of_every_kind() {
    let settings = "[server]\nbody_timeout_s = 60\nbody_bytes_in_3s_min = 0\nbodies_in_flight_bytes_max = 131072\n\
                    body_bytes_max = 16384\nbulk_body_bytes_max = 16384\nreconciliation_body_bytes_max = 16384\n";
    let service = Service::start_with(Backend::Sqlite.database(), settings).await;
    for (path, known) in [
        ("/api/v1/conversions", false),
        ("/api/v1/conversions", true),
        ("/api/v1/conversions/bulk", true),
        ("/api/v1/reconciliations", true),
    ] {
        // Far more than there is memory for. A key's id is public: a forger may know it.
        let key = if known { service.caller.key_id.as_str() } else { "ak_live_000000000000000000000000" };
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: t\r\nX-API-Key: {key}\r\nContent-Length: 16384\r\n\r\n");
        let mut stalled = Vec::new();
        for _ in 0..16 {
            let mut connection = RawConnection::open(service.api).await;
            connection.try_send(head.as_bytes()).await;
            connection.try_send(&vec![b' '; 16_000]).await;
            stalled.push(connection);
        }
        let body = match path {
            "/api/v1/conversions" => BODY.to_vec(),
            "/api/v1/conversions/bulk" => [br#"{"rows":["#.as_slice(), BODY, b"]}"].concat(),
            _ => br#"{"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z","rows":[{"order_id":"a"}]}"#
                .to_vec(),
        };
        let send = async || {
            let headers = service.caller.headers(Form::Bound, "POST", path, &body);
            service.caller.send("POST", path, &body, &headers).await
        };
        eventually("the bodies count as stalled", async || send().await.status < 300).await;
        for _ in 0..5 {
            let answer = send().await;
            assert!((200..300).contains(&answer.status), "{path}: {}", answer.text);
        }
        drop(stalled);
    }
}

/// Raises the limit on open files, as far as the system allows.
fn may_open(files: usize) -> bool {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    let wanted = u64::try_from(files).unwrap();
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    soft >= wanted || (hard >= wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok())
}
