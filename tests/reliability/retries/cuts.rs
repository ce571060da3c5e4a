//! Connections break at every point of a request's way, several times in a row.

use super::ledger::{assert_kept, assert_recorded, stored_answers};
use super::program::{Program, tools};
use super::shop::Shop;
use crate::support::proxy::{At, Fault};
use crate::support::{Backend, eventually, on_both_databases};

const WAY: [Fault; 6] = [
    Fault::Reset,
    Fault::Cut(At::Head),
    Fault::Cut(At::Body),
    Fault::Cut(At::Request),
    Fault::Cut(At::Answer),
    Fault::Cut(At::AnswerHead),
];

on_both_databases! {
    async fn the_javascript_loop_gets_through_four_cuts_in_a_row_wherever_they_are(backend: Backend) {
        if !tools() { return; }
        let shop = Shop::open(backend).await;
        let mut orders = Vec::new();
        for (number, fault) in WAY.into_iter().enumerate() {
            for keyed in [true, false] {
                let order = format!("ORD-{number}-{keyed}");
                let key = if keyed { format!("{order}-conversion") } else { String::new() };
                let heard = shop.proxy.answers().len();
                shop.proxy.plan([fault; 4]);
                let ended = Program::new("loop.mjs", &shop).order(&order, &key).set("SCALE", "0.01").run().await;
                assert!(ended.success, "{fault:?}: {ended:?}");
                assert_eq!(ended.statuses(), [0, 0, 0, 0, 202], "{fault:?}: {ended:?}");
                assert_kept(&shop.database, ended.only(), &key);
                if matches!(fault, Fault::Cut(At::Answer | At::AnswerHead)) {
                    // The first answer, which nobody saw whole, was the truth.
                    let answers = &shop.proxy.answers()[heard..];
                    assert_eq!((answers.len(), answers[0].word().as_str()), (5, "ACCEPTED"), "{answers:?}");
                    if keyed {
                        assert!(answers.iter().all(|answer| answer.text == answers[0].text), "{answers:?}");
                        assert!(ended.only().replayed, "{ended:?}");
                    } else {
                        assert!(answers[1..].iter().all(|answer| answer.word() == "DUPLICATE"), "{answers:?}");
                        assert_eq!(ended.only().json()["event_id"], answers[0].at("/event_id"));
                    }
                }
                orders.push(order);
            }
        }
        assert_eq!(shop.proxy.planned(), 0);
        assert_recorded(&shop.database, orders.iter().map(String::as_str));
        assert_eq!(shop.manners().len(), 0);
    }

    async fn a_refused_connection_and_a_late_answer_are_tried_again(backend: Backend) {
        if !tools() { return; }
        let mut shop = Shop::open(backend).await;
        shop.proxy.refuse().await;
        let program = Program::new("loop.mjs", &shop).order("ORD-1", "ORD-1-conversion").set("SCALE", "0.3").start();
        eventually("it is refused twice", async || program.count(0) >= 2).await;
        shop.proxy.accept().await;
        let ended = program.end().await;
        assert!(ended.success, "{ended:?}");
        assert_kept(&shop.database, ended.only(), "ORD-1-conversion");
        // Node 20 may wait for ever on a connection that is closed as soon as it is there.
        for (order, key, fault) in [
            ("ORD-2", "ORD-2-conversion", Fault::Silent),
            ("ORD-3", "", Fault::Silent),
            ("ORD-4", "", Fault::HangUp),
        ] {
            shop.proxy.plan([fault; 2]);
            let program = Program::new("loop.mjs", &shop).order(order, key).set("SCALE", "0.01");
            let ended = program.set("TIMEOUT_MS", "500").run().await;
            assert!(ended.success && ended.statuses().starts_with(&[0, 0]), "{ended:?}");
            assert_kept(&shop.database, ended.only(), key);
            assert_eq!(ended.only().replayed, !key.is_empty(), "{ended:?}");
            let repeated = ended.only().json()["status"] == "DUPLICATE";
            assert_eq!(repeated, key.is_empty() && fault == Fault::Silent, "{ended:?}");
        }
        assert_recorded(&shop.database, ["ORD-1", "ORD-2", "ORD-3", "ORD-4"]);
        assert_eq!(shop.manners().len(), 0);
    }

    async fn an_answer_that_breaks_off_in_its_body_was_a_yes_and_can_be_had_again(backend: Backend) {
        if !tools() { return; }
        let shop = Shop::open(backend).await;
        for (order, program) in [("ORD-1", "loop.mjs"), ("ORD-2", "loop.sh"), ("ORD-3", "backoff.mjs")] {
            let run = async || Program::new(program, &shop).order(order, order).set("SCALE", "0.01").run().await;
            shop.proxy.plan([Fault::Cut(At::AnswerBody)]);
            let ended = run().await;
            // Its head said 202: that alone is the promise.
            assert_eq!((ended.success, ended.statuses()), (true, vec![202]), "{ended:?}");
            let stored = stored_answers(&shop.database)[order].clone();
            assert_ne!(ended.only().body.as_deref(), Some(&*stored), "{ended:?}");
            let again = run().await;
            assert!(again.success, "{again:?}");
            assert_kept(&shop.database, again.only(), order);
        }
        assert_recorded(&shop.database, ["ORD-1", "ORD-2", "ORD-3"]);
    }

    async fn a_job_whose_program_gives_up_on_a_lost_answer_is_told_when_it_is_run_again(backend: Backend) {
        if !tools() { return; }
        let shop = Shop::open(backend).await;
        let mut orders = Vec::new();
        // None of these tries again where there was no answer: their queue delivers the job again.
        for program in ["loop.sh", "backoff.mjs", "with_retry.mjs"] {
            for keyed in [true, false] {
                let order = format!("{program}-{keyed}");
                let key = if keyed { format!("order-{order}-link") } else { String::new() };
                let run = async || Program::new(program, &shop).order(&order, &key).set("SCALE", "0.01").run().await;
                for fault in [Fault::Cut(At::Request), Fault::Cut(At::Answer)] {
                    shop.proxy.plan([fault]);
                    let ended = run().await;
                    assert_eq!((ended.success, ended.statuses()), (false, vec![0]), "{ended:?}");
                }
                let ended = run().await;
                assert!(ended.success, "{ended:?}");
                assert_kept(&shop.database, ended.only(), &key);
                orders.push(order);
            }
        }
        assert_recorded(&shop.database, orders.iter().map(String::as_str));
        assert_eq!(shop.manners().len(), 0);
    }
}
