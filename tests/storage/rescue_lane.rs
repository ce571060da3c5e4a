//! What another instance has locked goes its own way, against stores that are blocked as told.

use std::time::Duration;

use conversiond::domain::submission::Submission;
use conversiond::storage::StoreError;
use conversiond::storage::error::Failure;
use conversiond::storage::writer::BatchFailure;
use tokio::task::JoinHandle;

use crate::scripted::{
    Bench, Wanted, Written, event, event_of, event_under, is_accepted, queue, send, start_wanted,
    start_with_rescue,
};
use crate::support::eventually;

fn block(bench: &Bench, orders: impl IntoIterator<Item = usize>) {
    bench.script.blocked.lock().unwrap().extend(orders.into_iter().map(|order| format!("O-{order}")));
}

fn block_key(bench: &Bench, key: &str) {
    bench.script.blocked_keys.lock().unwrap().push(key.to_owned());
}

/// Sends one that will wait, and waits until it is known.
async fn wait_for(bench: &Bench, submission: Submission) -> JoinHandle<Written> {
    let order = crate::scripted::order(&submission);
    let call = send(&bench.writer, submission);
    // Its second try is the first of those that show whether its way is free.
    eventually("it waits in the rescue lane", async || bench.rescue.tries_of(&order) >= 2).await;
    assert!(!call.is_finished());
    call
}

async fn expect_accepted(calls: impl IntoIterator<Item = JoinHandle<Written>>) {
    for call in calls {
        let written = call.await.unwrap();
        assert!(is_accepted(&written), "{written:?}");
    }
}

fn finished(calls: &[JoinHandle<Written>]) -> usize {
    calls.iter().filter(|call| call.is_finished()).count()
}

#[tokio::test]
async fn a_blocked_batch_is_handed_over_and_its_lane_goes_on() {
    let wanted = Wanted { gated: true, rescue: true, rescue_gated: true };
    let mut bench = start_wanted(wanted, 60_000, |_| {});
    block(&bench, [2]);
    let mut calls = queue(&bench, (0..4).map(event)).await;
    drop(bench.gate.take());
    expect_accepted([calls.remove(0)]).await;
    eventually("the lane has tried the others", async || bench.script.tries_of("O-2") == 1).await;
    // While the rescue lane has not even begun.
    for order in 10..20 {
        assert!(is_accepted(&bench.writer.write(event(order)).await));
    }
    assert_eq!(finished(&calls), 0);
    assert_eq!(bench.script.tried.lock().unwrap()[..2], [1, 4]);
    assert_eq!(bench.script.tries_of("O-2"), 1);
    drop(bench.rescue_gate.take());
    let blocked = calls.remove(2);
    expect_accepted(calls).await;
    assert!(!blocked.is_finished());
    bench.script.unblock();
    expect_accepted([blocked]).await;
    assert_eq!(bench.script.tries_of("O-2"), 1, "the lane did not try it again");
}

#[tokio::test]
async fn those_in_one_batch_with_a_blocked_one_are_committed_after_few_tries() {
    let mut bench = start_with_rescue(true, |_| {});
    block(&bench, [47]);
    let mut calls = queue(&bench, (0..64).map(event)).await;
    drop(bench.gate.take());
    let blocked = calls.remove(48);
    expect_accepted(calls).await;
    assert!(!blocked.is_finished());
    let tries = bench.rescue.orders.lock().unwrap().iter().filter(|orders| orders.len() > 1).count();
    assert!(tries <= 1 + 4 + 4 + 4, "{tries} commits for 63 events beside a blocked one");
    bench.script.unblock();
    expect_accepted([blocked]).await;
}

#[tokio::test]
async fn what_is_known_to_be_blocked_goes_straight_to_the_rescue_lane() {
    let bench = start_with_rescue(false, |_| {});
    block(&bench, [2]);
    block_key(&bench, "held");
    let mut calls = vec![wait_for(&bench, event(2)).await, wait_for(&bench, event_under("held", 3)).await];
    let lane_tries = bench.script.orders.lock().unwrap().len();
    calls.push(send(&bench.writer, event(2)));
    calls.push(send(&bench.writer, event_under("free", 2)));
    calls.push(send(&bench.writer, event_under("held", 4)));
    // Whoever only has something else in common with them goes the usual way.
    assert!(is_accepted(&bench.writer.write(event(3)).await));
    assert!(is_accepted(&bench.writer.write(event_under("free", 4)).await));
    assert_eq!(finished(&calls), 0);
    assert_eq!(bench.script.orders.lock().unwrap()[lane_tries..], [["O-3"], ["O-4"]]);
    bench.script.unblock();
    expect_accepted(calls).await;
    eventually("the usual way is free again", async || {
        assert!(is_accepted(&bench.writer.write(event(2)).await));
        bench.script.tries_of("O-2") > 1
    })
    .await;
}

#[tokio::test]
async fn what_was_queued_before_it_was_known_to_be_blocked_is_not_run_into_again() {
    let wanted = Wanted { gated: true, rescue: true, rescue_gated: false };
    let mut bench = start_wanted(wanted, 60_000, |limits| limits.batch_events = 1);
    block(&bench, [2]);
    let mut calls = queue(&bench, [event(2), event(5), event(2)]).await;
    let gate = bench.gate.take().unwrap();
    // The first and the blocked one; the third's commit is held back, and behind it waits the fourth.
    gate.send(()).unwrap();
    gate.send(()).unwrap();
    eventually("it waits in the rescue lane", async || bench.rescue.tries_of("O-2") >= 2).await;
    drop(gate);
    expect_accepted([calls.remove(0), calls.remove(1)]).await;
    // The lane is through with all it had.
    assert!(is_accepted(&bench.writer.write(event(6)).await));
    assert_eq!((bench.script.tries_of("O-2"), finished(&calls)), (1, 0));
    bench.script.unblock();
    expect_accepted(calls).await;
}

#[tokio::test]
async fn who_has_waited_long_enough_is_told_what_was_in_the_way() {
    let bench = start_with_rescue(false, |limits| limits.answer_timeout_s = 120);
    block(&bench, [2]);
    block_key(&bench, "held");
    let row = wait_for(&bench, event(2)).await;
    let key = wait_for(&bench, event_under("held", 3)).await;
    let (row_too, key_too) = (send(&bench.writer, event(2)), send(&bench.writer, event_under("held", 2)));
    tokio::task::yield_now().await;
    bench.clock.advance(chrono::TimeDelta::seconds(61));
    for call in [row, row_too] {
        let written = call.await.unwrap();
        assert!(matches!(written, Err(StoreError::Failed(Failure::Blocked, _))), "{written:?}");
    }
    for call in [key, key_too] {
        let written = call.await.unwrap();
        assert!(matches!(written, Err(StoreError::Failed(Failure::KeyBlocked, _))), "{written:?}");
    }
    // Nobody waits for it any more: whether it is still locked is found out anew.
    let tries = bench.script.tries_of("O-2");
    let again = send(&bench.writer, event(2));
    eventually("the lane tries it", async || bench.script.tries_of("O-2") > tries).await;
    bench.script.unblock();
    expect_accepted([again]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_so_many_may_wait_and_those_beyond_are_told_to_come_back() {
    let bench = start_with_rescue(false, |_| {});
    block_key(&bench, "held");
    let mut calls = vec![wait_for(&bench, event_under("held", 0)).await];
    calls.extend((1..600).map(|order| send(&bench.writer, event_under("held", order))));
    // A merchant alone has half of the 1,024 places.
    eventually("those beyond are told", async || finished(&calls) == 600 - 512).await;
    assert!(is_accepted(&bench.writer.write(event(1)).await));
    assert_eq!(finished(&calls), 600 - 512);
    bench.script.unblock();
    let mut refused = 0;
    for call in calls {
        match call.await.unwrap() {
            Err(StoreError::Overloaded(_)) => refused += 1,
            written => assert!(is_accepted(&written), "{written:?}"),
        }
    }
    assert_eq!(refused, 600 - 512);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_that_wait_leave_half_of_the_queues_bytes_to_the_others() {
    let weight = event_under("held", 10).weight();
    let bench = start_with_rescue(false, |limits| limits.queue_bytes = 20 * weight);
    block_key(&bench, "held");
    let mut calls = vec![wait_for(&bench, event_under("held", 10)).await];
    calls.extend((11..25).map(|order| send(&bench.writer, event_under("held", order))));
    eventually("those beyond are told", async || finished(&calls) == 5).await;
    let others: Vec<_> = (30..35).map(|order| send(&bench.writer, event_of(2, order))).collect();
    expect_accepted(others).await;
    assert_eq!(finished(&calls), 5);
    bench.script.unblock();
    for call in calls {
        let written = call.await.unwrap();
        assert!(is_accepted(&written) || matches!(written, Err(StoreError::Overloaded(_))), "{written:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whose_way_is_free_again_does_not_wait_for_hundreds_whose_way_is_not() {
    let bench = start_with_rescue(false, |_| {});
    block(&bench, [1]);
    block_key(&bench, "held");
    let hundreds: Vec<_> = (100..300).map(|order| send(&bench.writer, event_under("held", order))).collect();
    eventually("they wait", async || bench.rescue.entered.load(std::sync::atomic::Ordering::SeqCst) > 50)
        .await;
    let one = wait_for(&bench, event(1)).await;
    let before = bench.rescue.orders.lock().unwrap().len();
    bench.script.blocked.lock().unwrap().clear();
    expect_accepted([one]).await;
    let tries = bench.rescue.orders.lock().unwrap().len() - before;
    assert!(tries < 20, "{tries} tries of others before its turn");
    assert_eq!(finished(&hundreds), 0);
    bench.script.unblock();
    expect_accepted(hundreds).await;
}

#[tokio::test]
async fn what_may_have_been_written_already_is_not_written_at_another_time() {
    let bench = start_with_rescue(false, |_| {});
    block(&bench, [2]);
    for failure in [BatchFailure::Lost("reset".to_owned()), BatchFailure::Unknown("57P01".to_owned())] {
        bench.script.failures.lock().unwrap().push_back(failure);
        let written = bench.writer.write(event(2)).await;
        assert!(matches!(written, Err(StoreError::Unavailable(_))), "{written:?}");
    }
    assert_eq!((bench.script.tries_of("O-2"), bench.rescue.tries_of("O-2")), (4, 0));
}

#[tokio::test]
async fn half_of_what_may_have_been_written_already_is_not_written_at_another_time_either() {
    let wanted = Wanted { gated: true, rescue: true, rescue_gated: false };
    let mut bench = start_wanted(wanted, 60_000, |_| {});
    block(&bench, [2]);
    let mut calls = queue(&bench, [event(2), event(3)]).await;
    // Two for the first, which is alone, and two for the others.
    bench.script.failures.lock().unwrap().extend((0..4).map(|_| BatchFailure::Unknown("57P01".to_owned())));
    drop(bench.gate.take());
    expect_accepted([calls.remove(2)]).await;
    let written = calls.remove(1).await.unwrap();
    assert!(matches!(written, Err(StoreError::Unavailable(_))), "{written:?}");
    assert_eq!((bench.script.tries_of("O-2"), bench.rescue.tries_of("O-2")), (3, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rescue_lane_that_lost_its_connection_tells_its_callers_and_goes_on() {
    let bench = start_with_rescue(false, |_| {});
    block(&bench, [2]);
    let call = wait_for(&bench, event(2)).await;
    *bench.rescue.unreachable.lock().unwrap() = 1;
    bench.rescue.failures.lock().unwrap().push_back(BatchFailure::Lost("gone".to_owned()));
    assert!(matches!(call.await.unwrap(), Err(StoreError::Unavailable(_))));
    let call = wait_for(&bench, event(2)).await;
    bench.script.unblock();
    expect_accepted([call]).await;
    assert!(bench.writer.is_available());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_still_waits_when_no_caller_is_left_does_not_keep_the_service_from_ending() {
    let bench = start_with_rescue(false, |_| {});
    block(&bench, [2]);
    let call = wait_for(&bench, event(2)).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    drop(bench.writer);
    let threads = bench.threads;
    let joining = tokio::task::spawn_blocking(move || threads.join());
    // Half of what it would still wait for.
    tokio::time::timeout(Duration::from_secs(30), joining).await.expect("the threads end").unwrap();
}
