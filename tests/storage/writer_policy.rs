//! The writer's policy against a store that fails as told.

use std::sync::atomic::Ordering;

use conversiond::domain::submission::{Conflict, SubmissionOutcome};
use conversiond::storage::StoreError;
use conversiond::storage::error::Failure;
use conversiond::storage::writer::BatchFailure;

use crate::scripted::{event, event_of, is_accepted, queue, send, start};
use crate::support::eventually;

#[tokio::test]
async fn what_waits_during_a_commit_is_written_together() {
    let mut bench = start(true, |_| {});
    let calls = queue(&bench, (0..20).map(event)).await;
    drop(bench.gate.take());
    for call in calls {
        assert!(is_accepted(&call.await.unwrap()));
    }
    assert_eq!(*bench.script.tried.lock().unwrap(), [1, 20]);
}

#[tokio::test]
async fn a_poison_event_fails_alone_after_log_n_splits() {
    let mut bench = start(true, |_| {});
    bench.script.poison.lock().unwrap().push("O-13".to_owned());
    let calls = queue(&bench, (0..32).map(event)).await;
    drop(bench.gate.take());
    for (number, call) in calls.into_iter().enumerate() {
        let result = call.await.unwrap();
        // The first call is the one that held the gate.
        if number == 14 {
            assert!(matches!(result, Err(StoreError::Refused(_))), "{result:?}");
        } else {
            assert!(is_accepted(&result), "{number}: {result:?}");
        }
    }
    let tried = bench.script.tried.lock().unwrap().len();
    assert!(tried <= 1 + 3 * 6, "{tried} commits for one poison event of 32");
}

#[tokio::test]
async fn contention_and_a_lost_connection_are_tried_again() {
    let bench = start(false, |_| {});
    for failure in [BatchFailure::Contended("40001".into()), BatchFailure::Lost("reset".into())] {
        bench.script.failures.lock().unwrap().push_back(failure);
        assert!(is_accepted(&bench.writer.write(event(1)).await));
    }
    assert!(bench.writer.is_available());
}

#[tokio::test]
async fn what_may_be_on_one_machine_alone_is_written_again_and_is_no_2xx_until_it_is_sure() {
    let bench = start(false, |_| {});
    let unsure = || BatchFailure::Unconfirmed("COMMIT took long".into());
    let plan = |times| bench.script.failures.lock().unwrap().extend((0..times).map(|_| unsure()));
    plan(3);
    assert!(is_accepted(&bench.writer.write(event(1)).await));
    plan(4);
    assert!(matches!(bench.writer.write(event(2)).await, Err(StoreError::Unavailable(_))));
    // However long the first took, it has its second try.
    bench.script.slow_s.store(10, Ordering::SeqCst);
    plan(1);
    assert!(is_accepted(&bench.writer.write(event(3)).await));
    plan(2);
    assert!(matches!(bench.writer.write(event(4)).await, Err(StoreError::Unavailable(_))));
    assert_eq!(bench.script.tried.lock().unwrap().len(), 4 + 4 + 2 + 2);
    assert!(bench.writer.is_available());
}

#[tokio::test]
async fn a_full_disk_is_told_at_once_and_nothing_is_halved() {
    let mut bench = start(true, |_| {});
    let calls = queue(&bench, (0..8).map(event)).await;
    bench
        .script
        .failures
        .lock()
        .unwrap()
        .extend([BatchFailure::Exhausted("full".into()), BatchFailure::Exhausted("full".into())]);
    drop(bench.gate.take());
    for call in calls {
        assert!(matches!(call.await.unwrap(), Err(StoreError::Unavailable(_))));
    }
    assert_eq!(*bench.script.tried.lock().unwrap(), [1, 8]);
}

#[tokio::test]
async fn an_event_that_comes_too_late_is_told_to_come_back_and_no_other() {
    let mut bench = start(true, |_| {});
    bench.script.late.lock().unwrap().push("O-13".to_owned());
    // Nothing is wrong with the connection.
    *bench.script.unreachable.lock().unwrap() = 1;
    let calls = queue(&bench, (0..32).map(event)).await;
    drop(bench.gate.take());
    for (number, call) in calls.into_iter().skip(1).enumerate() {
        let written = call.await.unwrap();
        let is_late = matches!(&written, Err(StoreError::Unavailable(why)) if why.contains("id is old"));
        assert_eq!((is_accepted(&written), is_late), (number != 13, number == 13), "{number}: {written:?}");
    }
    assert_eq!(bench.script.tries_of("O-13"), 6);
    assert_eq!(*bench.script.unreachable.lock().unwrap(), 1);
}

#[tokio::test]
async fn while_the_database_is_away_callers_are_told_at_once_and_service_resumes_by_itself() {
    let bench = start(false, |_| {});
    *bench.script.unreachable.lock().unwrap() = 4;
    bench.script.failures.lock().unwrap().push_back(BatchFailure::Lost("gone".into()));
    assert!(matches!(bench.writer.write(event(1)).await, Err(StoreError::Unavailable(_))));
    eventually("the writer says so", async || !bench.writer.is_available()).await;
    assert!(matches!(bench.writer.write(event(2)).await, Err(StoreError::Unavailable(_))));
    eventually("the writer is back", async || bench.writer.is_available()).await;
    assert!(is_accepted(&bench.writer.write(event(3)).await));
}

#[tokio::test]
async fn a_full_queue_refuses_and_takes_nothing() {
    // A merchant may have as much as it leaves free.
    let mut bench = start(true, |limits| limits.queue_events = 8);
    let calls = queue(&bench, (0..4).map(event)).await;
    let refused = bench.writer.write(event(5)).await;
    assert!(matches!(refused, Err(StoreError::Overloaded(_))), "{refused:?}");
    drop(bench.gate.take());
    for call in calls {
        assert!(is_accepted(&call.await.unwrap()));
    }
    assert_eq!(*bench.script.tried.lock().unwrap(), [1, 4]);
}

#[tokio::test]
async fn what_a_merchant_may_not_have_waiting_stays_for_the_others() {
    let mut bench = start(true, |limits| limits.queue_events = 8);
    let mut calls = queue(&bench, (0..4).map(event)).await;
    let refused = bench.writer.write(event(5)).await;
    assert!(matches!(refused, Err(StoreError::Overloaded(_))), "{refused:?}");
    calls.extend((10..12).map(|order| send(&bench.writer, event_of(2, order))));
    eventually("both are in the queue", async || bench.metrics.writer.queue_depth.get() == 6).await;
    let text = bench.metrics.render((0, 0), 0.0);
    let told = |line: &str| assert!(text.lines().any(|found| found == line), "{line}: {text}");
    told("conversiond_waiting_merchants{lane=\"0\"} 2");
    told("conversiond_share_refused_total{reason=\"merchant_rows\"} 1");
    drop(bench.gate.take());
    for call in calls {
        assert!(is_accepted(&call.await.unwrap()));
    }
    // They take turns: nobody is behind all that the other one has.
    let orders = bench.script.orders.lock().unwrap();
    assert_eq!(orders[1], ["O-0", "O-10", "O-1", "O-11", "O-2", "O-3"]);
}

#[tokio::test]
async fn the_queue_is_bounded_in_bytes_too() {
    let mut bench = start(true, |limits| limits.queue_bytes = 4_000);
    let fit = 4_000 / 2 / event(1).weight();
    let calls = queue(&bench, (1..fit).map(event)).await;
    let refused = bench.writer.write(event(99)).await;
    assert!(matches!(refused, Err(StoreError::Overloaded(_))), "{refused:?}");
    drop(bench.gate.take());
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn who_waited_too_long_is_not_written_after_being_told_so() {
    let mut bench = start(true, |_| {});
    let calls = queue(&bench, (0..3).map(event)).await;
    bench.clock.advance(chrono::TimeDelta::seconds(11));
    drop(bench.gate.take());
    let mut calls = calls.into_iter();
    // Its transaction was open already.
    assert!(calls.next().unwrap().await.unwrap().is_ok());
    for call in calls {
        assert!(matches!(call.await.unwrap(), Err(StoreError::Unavailable(_))));
    }
    assert_eq!(*bench.script.tried.lock().unwrap(), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_writes_everything_taken() {
    let mut bench = start(true, |_| {});
    let calls = queue(&bench, (0..50).map(event)).await;
    drop(bench.writer);
    drop(bench.gate.take());
    for call in calls {
        assert!(is_accepted(&call.await.unwrap()));
    }
    let threads = bench.threads;
    tokio::task::spawn_blocking(move || threads.join()).await.unwrap();
    assert_eq!(bench.script.tried.lock().unwrap().iter().sum::<usize>(), 51);
}

#[tokio::test]
async fn a_blocked_batch_is_halved_at_once_and_the_blocked_event_may_be_sent_again() {
    let mut bench = start(true, |_| {});
    bench.script.blocked.lock().unwrap().push("O-2".to_owned());
    let calls = queue(&bench, (0..4).map(event)).await;
    drop(bench.gate.take());
    let mut results = Vec::new();
    for call in calls {
        results.push(call.await.unwrap());
    }
    // The first call is the one that held the gate.
    assert!(matches!(results.remove(3), Err(StoreError::Failed(Failure::Blocked, _))), "{results:?}");
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(*bench.script.tried.lock().unwrap(), [1, 4, 2, 2, 1, 1]);
}

#[tokio::test]
async fn a_batch_that_is_blocked_all_over_does_not_hold_up_those_behind_it_for_long() {
    let mut bench = start(true, |_| {});
    let orders = (0..32).map(|order| format!("O-{order}"));
    bench.script.blocked.lock().unwrap().extend(orders);
    // Each try costs a second, as lock time-outs would.
    bench.script.slow_s.store(1, Ordering::SeqCst);
    let calls = queue(&bench, (0..32).map(event)).await;
    drop(bench.gate.take());
    for (number, call) in calls.into_iter().enumerate() {
        let result = call.await.unwrap();
        assert_eq!(result.is_ok(), number == 0, "{number}: {result:?}");
    }
    let tried = bench.script.tried.lock().unwrap().len();
    assert!(tried < 16, "{tried} tries");
}

#[tokio::test]
async fn who_found_its_key_taken_by_one_that_was_refused_has_its_turn_in_the_next_transaction() {
    let mut bench = start(true, |_| {});
    bench.script.after_refused.lock().unwrap().push("O-2".to_owned());
    let calls = queue(&bench, (0..4).map(event)).await;
    drop(bench.gate.take());
    for call in calls {
        assert!(is_accepted(&call.await.unwrap()));
    }
    assert_eq!(*bench.script.tried.lock().unwrap(), [1, 4, 1]);
}

#[tokio::test]
async fn those_whose_turns_never_end_are_told_to_come_back() {
    let mut bench = start(true, |_| {});
    bench.script.after_refused.lock().unwrap().extend(["O-1".to_owned(), "O-2".to_owned()]);
    let calls = queue(&bench, (0..4).map(event)).await;
    drop(bench.gate.take());
    let mut results = Vec::new();
    for call in calls {
        results.push(call.await.unwrap());
    }
    // The first call is the one that held the gate.
    for (number, result) in results.iter().enumerate() {
        let refused = matches!(result, Ok(SubmissionOutcome::Refused(Conflict::KeyInUse)));
        assert_eq!(refused, [2, 3].contains(&number), "{number}: {result:?}");
    }
    assert_eq!(*bench.script.tried.lock().unwrap(), [1, 4, 2]);
}
