//! Callers hang up in the head, in the body, or before the answer, many at once.

use std::collections::HashMap;
use std::sync::Arc;

use conversiond::domain::signature::Form;
use futures_util::future::join_all;

use crate::load::Promises;
use crate::support::caller::unix_now;
use crate::support::raw::{RawConnection, request};
use crate::support::{Backend, Caller, Service, eventually, on_both_databases};
use crate::trial::{Trial, times};

/// How many in CI, and how many of them at once.
const CALLERS: usize = 600;
const AT_ONCE: usize = 40;

const TARGET: &str = "/api/v1/conversions";

/// Where a caller leaves.
#[derive(Debug, Clone, Copy)]
enum Leave {
    InHead,
    InBody,
    BeforeAnswer,
    /// It hears the beginning of the answer.
    InAnswer,
}

/// An order's request, under its own key: the one that its retry has.
fn signed(caller: &Caller, order: &str) -> (Vec<u8>, usize) {
    let (key, body) = (key_of(order), Promises::event(order));
    let mut headers = caller.headers_at(Form::Bound, "POST", TARGET, body.as_bytes(), unix_now(), &key);
    headers.push(("Idempotency-Key".to_owned(), key));
    headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    headers.push(("Content-Length".to_owned(), body.len().to_string()));
    (request("POST", TARGET, &headers, body.as_bytes()), body.len())
}

/// Its number ends with an odd digit, so that it is sent again under this key.
fn key_of(order: &str) -> String {
    Promises::idempotency_key(order).unwrap()
}

async fn send_and_leave(service: &Service, order: &str, leave: Leave, random: &mut fastrand::Rng) {
    let (bytes, body) = signed(&service.caller, order);
    let head = bytes.len() - body;
    let count = match leave {
        Leave::InHead => random.usize(1..head),
        Leave::InBody => random.usize(head..bytes.len()),
        Leave::BeforeAnswer | Leave::InAnswer => bytes.len(),
    };
    let mut connection = RawConnection::open(service.api).await;
    connection.send(&bytes[..count]).await;
    match leave {
        Leave::InAnswer => drop(connection.answer().await),
        // Now, or when it has perhaps been read.
        _ if random.bool() => tokio::task::yield_now().await,
        _ => tokio::time::sleep(std::time::Duration::from_millis(random.u64(..5))).await,
    }
    if random.bool() { connection.reset() } else { drop(connection) }
}

/// A figure of `/metrics`, all its labels together.
async fn figure(service: &Service, name: &str) -> f64 {
    let (_, text) = service.admin("/metrics").await;
    let lines =
        text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

on_both_databases! {
    async fn what_callers_that_left_had_reported_is_there_at_most_once_and_their_retry_tells(backend: Backend) {
        let mut trial = Trial::new(&format!("{backend:?}-callers-that-leave").to_lowercase());
        let service = Service::start(backend).await;
        let orders: Vec<String> = (0..times(CALLERS)).map(|n| format!("O-{n}1")).collect();
        let mut left = HashMap::new();
        for some in orders.chunks(AT_ONCE) {
            let leaving = some.iter().map(|order| {
                let leave = match trial.random.u8(..4) {
                    0 => Leave::InHead,
                    1 => Leave::InBody,
                    2 => Leave::BeforeAnswer,
                    _ => Leave::InAnswer,
                };
                left.insert(order.clone(), leave);
                trial.fault_done();
                let (service, mut random) = (&service, trial.random.fork());
                async move { send_and_leave(service, order, leave, &mut random).await }
            });
            join_all(leaving.collect::<Vec<_>>()).await;
        }
        trial.answers_again(&service.caller).await;
        // Nothing is held for those who have gone, and each of them was counted.
        eventually("nothing waits", async || figure(&service, "conversiond_queue_depth").await == 0.0).await;
        eventually("every request has its outcome", async || {
            figure(&service, "conversiond_requests_total").await == figure(&service, "conversiond_outcomes_total").await
        })
        .await;
        let promises = Arc::new(Promises::default());
        for order in &orders {
            let answer = service.caller.post_to(TARGET, &key_of(order), &Promises::event(order), unix_now()).await;
            assert_eq!((answer.status, answer.word().as_str()), (202, "ACCEPTED"), "{order}: {}", answer.text);
            match left[order] {
                // What had not come whole had not come.
                Leave::InHead | Leave::InBody => assert!(!answer.is_replayed(), "{order}"),
                Leave::InAnswer => assert!(answer.is_replayed(), "{order}"),
                Leave::BeforeAnswer => {}
            }
            let id = answer.at("/event_id").as_str().unwrap().to_owned();
            promises.acknowledged.lock().unwrap().insert(order.clone(), id);
        }
        trial.check(&service.database, &promises);
        trial.replays(&service.caller, &promises).await;
        // Without its key it is a duplicate all the same.
        for order in orders.iter().step_by(10) {
            assert_eq!(service.caller.post_text(&Promises::event(order)).await.word(), "DUPLICATE");
        }
        trial.passed();
    }
}
