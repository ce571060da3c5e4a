//! Several instances on one PostgreSQL database, and one of them stopped in the middle of its work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::load::caller;
use crate::support::caller::{Answer, unix_now};
use crate::support::process::{ServeProcess, command};
use crate::support::service::Setup;
use crate::support::{Backend, Caller, Service, TestDatabase, eventually};

const CONVERSIONS: &str = "/api/v1/conversions";

fn sale(order: &str) -> String {
    json!({"externalOrderId": order, "amount": "1", "currency": "USD"}).to_string()
}

async fn post(service: &Service, key: &str, order: &str) -> Answer {
    service.caller.post_to(CONVERSIONS, key, &sale(order), unix_now()).await
}

/// Asserts that these are one request's answer and its replays.
#[track_caller]
fn expect_one_effect(answers: &[&Answer]) {
    assert!(
        answers.iter().all(|answer| (answer.status, &answer.text) == (202, &answers[0].text)),
        "{answers:?}"
    );
    assert_eq!(answers[0].word(), "ACCEPTED");
    assert_eq!(answers.iter().filter(|answer| !answer.is_replayed()).count(), 1, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_at_once_under_one_key_on_two_instances_are_one_event() {
    let Some(backend) = Backend::postgres() else { return };
    let one = Service::start(backend).await;
    let two = one.another("").await;
    let on = |n: usize| if n.is_multiple_of(2) { &one } else { &two };
    for round in 0..40 {
        let (key, order) = (format!("k-{round}"), format!("O-{round}"));
        let answers = join_all((0..8).map(|n| post(on(n), &key, &order))).await;
        expect_one_effect(&answers.iter().collect::<Vec<_>>());
    }
    assert_eq!((one.count_events(), one.count("events WHERE times_received = 1")), (40, 40));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_events_at_once_under_one_key_on_two_instances_only_one_happens() {
    let Some(backend) = Backend::postgres() else { return };
    let one = Service::start(backend).await;
    let two = one.another("").await;
    let on = |n: usize| if n.is_multiple_of(2) { &one } else { &two };
    for round in 0..40 {
        let key = format!("k-{round}");
        let orders: Vec<String> = (0..8).map(|n| format!("O-{round}-{}", n == round % 8)).collect();
        let calls = orders.iter().enumerate().map(|(n, order)| post(on(n), &key, order));
        let answers = join_all(calls).await;
        let (done, refused): (Vec<&Answer>, Vec<&Answer>) =
            answers.iter().partition(|answer| answer.status == 202);
        assert!(matches!((done.len(), refused.len()), (7, 1) | (1, 7)), "{answers:?}");
        expect_one_effect(&done);
        for answer in refused {
            answer.expect_problem(422, "idempotency_key_mismatch");
        }
    }
    assert_eq!((one.count_events(), one.count("events WHERE times_received = 1")), (40, 40));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_deliveries_under_many_keys_on_two_instances_end_with_one_event_each() {
    let Some(backend) = Backend::postgres() else { return };
    let one = Service::start(backend).await;
    let two = one.another("").await;
    for round in 0..5 {
        let names: Vec<String> = (0..32).map(|n| format!("{round}-{n}")).collect();
        // The instances meet the keys in opposite orders, so that their batches overlap.
        let forward = (0..6).flat_map(|_| names.iter()).map(|name| post(&one, name, name));
        let backward = (0..6).flat_map(|_| names.iter().rev()).map(|name| post(&two, name, name));
        let (left, mut right) = tokio::join!(join_all(forward), join_all(backward));
        right.reverse();
        for n in 0..names.len() {
            let of_one_key = left.iter().chain(&right).skip(n).step_by(names.len());
            expect_one_effect(&of_one_key.collect::<Vec<_>>());
        }
    }
    assert_eq!((one.count_events(), one.count("events WHERE times_received = 1")), (160, 160));
    assert_eq!(one.count("idempotency_keys"), 160);
}

/// Callers of the instance that is going to be stopped, each with one key and order after the other.
#[derive(Default)]
struct Crowd {
    next: AtomicU64,
    over: AtomicBool,
    in_flight: Mutex<BTreeSet<u64>>,
    /// The bodies of all 202s.
    told: Mutex<BTreeMap<u64, BTreeSet<String>>>,
}

impl Crowd {
    fn start(self: &Arc<Self>, callers: usize, caller: &Caller) -> Vec<JoinHandle<()>> {
        let work = |crowd: Arc<Self>, caller: Caller| async move {
            while !crowd.over.load(Ordering::SeqCst) {
                let number = crowd.next.fetch_add(1, Ordering::SeqCst);
                crowd.in_flight.lock().unwrap().insert(number);
                crowd.send(&caller, number).await;
                crowd.in_flight.lock().unwrap().remove(&number);
            }
        };
        (0..callers).map(|_| tokio::spawn(work(self.clone(), caller.clone()))).collect()
    }

    async fn send(&self, caller: &Caller, number: u64) -> Answer {
        let (key, text) = (format!("k-{number}"), sale(&format!("O-{number}")));
        let answer = caller.post_to(CONVERSIONS, &key, &text, unix_now()).await;
        match answer.status {
            202 => {
                self.told.lock().unwrap().entry(number).or_default().insert(answer.text.clone());
            }
            409 => answer.expect_problem(409, "idempotency_key_in_use"),
            _ => answer.expect_problem(503, "storage_unavailable"),
        }
        answer
    }

    fn told(&self) -> usize {
        self.told.lock().unwrap().len()
    }
}

fn start(database: &TestDatabase, name: &str) -> ServeProcess {
    let mut command = command(database, &["serve"]);
    command.env("CONVERSIOND__DATABASE__URL", format!("{}?application_name={name}", database.url));
    ServeProcess::start_command({
        command.env("CONVERSIOND__IDEMPOTENCY__WAIT_MS", "300");
        command
    })
}

/// An open transaction of the first instance, in which it has recorded events. Its housekeeping writes,
/// too, but nothing that a request needs.
const HELD: &str = "pg_stat_activity one WHERE application_name = 'one' AND state = 'idle in transaction' \
     AND backend_xid IS NOT NULL AND EXISTS (SELECT 1 FROM pg_locks held WHERE held.pid = one.pid \
     AND held.relation = 'events'::regclass AND held.mode = 'RowExclusiveLock')";

/// Stops an instance in the middle of a transaction, which PostgreSQL confirms, and another instance,
/// which waits for what that holds and is told to come back.
async fn stop_in_a_transaction(instance: &ServeProcess, crowd: &Crowd, other: &Caller, setup: &mut Setup) {
    let active = "pg_stat_activity WHERE application_name = 'one' AND state = 'active'";
    for _ in 0..200 {
        let told = crowd.told();
        eventually("load is on", async || crowd.told() > told + 20).await;
        instance.signal(Signal::SIGSTOP);
        eventually("PostgreSQL has nothing more to do for it", async || setup.count(active) == 0).await;
        if setup.count(HELD) > 0 {
            // Its next statement, even its COMMIT, may be on the way already: then nobody waits.
            let in_flight: Vec<u64> = crowd.in_flight.lock().unwrap().iter().copied().collect();
            let answers = join_all(in_flight.iter().map(|number| crowd.send(other, *number))).await;
            if answers.iter().any(|answer| answer.status == 409) {
                return;
            }
        }
        instance.signal(Signal::SIGCONT);
    }
    panic!("it never was in the middle of a transaction");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_stopped_in_the_middle_of_its_transaction_costs_the_others_nothing() {
    let Some(backend) = Backend::postgres() else { return };
    let database = backend.database();
    let mut to_one = caller(&database);
    let (one, two) = (start(&database, "one"), start(&database, "two"));
    let to_two = Caller { base: two.base.clone(), ..to_one.clone() };
    to_one.base = one.base.clone();
    let mut setup = Setup::new(&database, "");
    let crowd = Arc::new(Crowd::default());
    let tasks = crowd.start(24, &to_one);
    stop_in_a_transaction(&one, &crowd, &to_two, &mut setup).await;

    // Whoever needs what it holds is told to come back; everybody else is answered as ever.
    let in_flight: Vec<u64> = crowd.in_flight.lock().unwrap().iter().copied().collect();
    let others: Vec<u64> = (0..60).map(|_| crowd.next.fetch_add(1, Ordering::SeqCst)).collect();
    let to_hand = in_flight.iter().chain(&others).map(|number| crowd.send(&to_two, *number));
    let answers = join_all(to_hand).await;
    let (needing, free) = answers.split_at(in_flight.len());
    assert!(free.iter().all(|answer| answer.word() == "ACCEPTED"), "{free:?}");
    let in_use = needing.iter().filter(|answer| answer.status == 409).count();
    assert!(in_use > 0, "nobody needed what the stopped instance holds: {needing:?}");
    assert!(setup.count(HELD) > 0, "the transaction ended before the requests were answered");
    let readiness = to_two.http.get(format!("{}/readyz", two.admin)).send().await.unwrap();
    assert_eq!(readiness.status(), 200);

    // PostgreSQL ends that transaction, and with it ends the waiting.
    let mut left: BTreeSet<u64> = in_flight.iter().copied().collect();
    for _ in 0..300 {
        let calls = left.iter().map(|number| crowd.send(&to_two, *number));
        let statuses: Vec<u16> = join_all(calls).await.iter().map(|answer| answer.status).collect();
        let mut statuses = statuses.into_iter();
        left.retain(|_| statuses.next() != Some(202));
        if left.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(left.is_empty(), "{} still wait for the stopped instance", left.len());
    assert_eq!(setup.count(HELD), 0);

    // It goes on where it was stopped, and does nothing a second time.
    one.signal(Signal::SIGCONT);
    let told = crowd.told();
    eventually("it serves again", async || crowd.told() > told + 20).await;
    crowd.over.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
    let all: Vec<u64> = (0..crowd.next.load(Ordering::SeqCst)).collect();
    for some in all.chunks(64) {
        let answers = join_all(some.iter().map(|number| crowd.send(&to_two, *number))).await;
        assert!(answers.iter().all(|answer| answer.status == 202), "{answers:?}");
    }
    let told = crowd.told.lock().unwrap().clone();
    assert!(told.values().all(|bodies| bodies.len() == 1), "a key has two answers");
    let expected = i64::try_from(all.len()).unwrap();
    assert_eq!(setup.count("events WHERE times_received = 1"), expected);
    assert_eq!((setup.count("events"), setup.count("idempotency_keys")), (expected, expected));
    assert_eq!((one.terminate().0, two.terminate().0), (Some(0), Some(0)));
}
