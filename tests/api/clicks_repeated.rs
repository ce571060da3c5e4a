//! Clicks that are told of again, and at once (contract 6.1).

use conversiond::domain::signature::Form;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::clicks::{CLICKS, click, click_to, post, post_under, sale, start};
use crate::support::caller::unix_now;
use crate::support::{Backend, eventually, on_both_databases};

on_both_databases! {
    async fn a_repeat_under_its_key_is_the_same_click_byte_for_byte(backend: Backend) {
        let (service, operator) = start(backend, "").await;
        let body = click_to(service.merchant, "https://shop.example/");
        let first = post_under(&operator, "k", &body).await;
        assert_eq!((first.status, first.is_replayed()), (201, false), "{}", first.text);
        for _ in 0..2 {
            let again = post_under(&operator, "k", &body).await;
            assert_eq!((again.status, &again.text, again.is_replayed()), (201, &first.text, true));
        }
        post_under(&operator, "k", &click(service.merchant)).await.expect_problem(422, "idempotency_key_mismatch");
        assert_eq!(service.count("clicks"), 1);
        // Under another key it is another click.
        for other in [post(&operator, &body).await, post_under(&operator, "k2", &body).await] {
            assert_eq!(other.status, 201);
            assert_ne!((other.at("/click_id"), other.at("/nim_ct")), (first.at("/click_id"), first.at("/nim_ct")));
        }
        // What was refused leaves its key.
        post_under(&operator, "k3", &json!({})).await.expect_problem(422, "validation_failed");
        assert_eq!(post_under(&operator, "k3", &body).await.status, 201);
        assert_eq!((service.count("clicks"), service.count("idempotency_keys")), (4, 4));
    }

    async fn an_operators_key_never_meets_a_merchants(backend: Backend) {
        let (service, operator) = start(backend, "").await;
        let other = service.setup().merchant();
        let (sale, body) = (sale("O-1", "none"), click(service.merchant));
        assert_eq!(service.caller.post_under("k", &sale).await.word(), "ACCEPTED");
        assert_eq!(post_under(&operator, "k", &body).await.status, 201);
        assert!(post_under(&operator, "k", &body).await.is_replayed());
        assert!(service.caller.post_under("k", &sale).await.is_replayed());
        // The longest key that there may be is kept whole.
        let longest = "k".repeat(255);
        assert_eq!(post_under(&operator, &longest, &body).await.status, 201);
        assert!(post_under(&operator, &longest, &body).await.is_replayed());
        // Of another merchant's click it is another key.
        eventually("the merchant is known", async || post(&operator, &click(other)).await.status == 201).await;
        let of_other = post_under(&operator, "k", &click(other)).await;
        assert_eq!((of_other.status, of_other.is_replayed()), (201, false));
    }

    async fn a_captured_request_sent_again_is_the_same_click(backend: Backend) {
        let (service, operator) = start(backend, "").await;
        let text = click(service.merchant).to_string();
        let mut headers = operator.headers_at(Form::Bound, "POST", CLICKS, text.as_bytes(), unix_now(), "k");
        headers.push(("Idempotency-Key".to_owned(), "k".to_owned()));
        let first = operator.send("POST", CLICKS, text.as_bytes(), &headers).await;
        for _ in 0..20 {
            let again = operator.send("POST", CLICKS, text.as_bytes(), &headers).await;
            assert_eq!((again.status, &again.text, again.is_replayed()), (201, &first.text, true));
        }
        assert_eq!(service.count("clicks"), 1);
        // The key is under the signature.
        headers.last_mut().unwrap().1 = "other".to_owned();
        operator.send("POST", CLICKS, text.as_bytes(), &headers).await.expect_problem(401, "unauthorized");
        assert_eq!(service.count("clicks"), 1);
    }

    async fn eight_at_once_under_one_key_are_one_click(backend: Backend) {
        let (service, operator) = start(backend, "").await;
        let body = click(service.merchant);
        for round in 0..12 {
            let key = format!("k-{round}");
            let answers = join_all((0..8).map(|_| post_under(&operator, &key, &body))).await;
            assert!(answers.iter().all(|answer| (answer.status, &answer.text) == (201, &answers[0].text)), "{answers:?}");
            assert_eq!(answers.iter().filter(|answer| answer.is_replayed()).count(), 7);
        }
        assert_eq!(service.count("clicks"), 12);
    }

    async fn clicks_and_events_at_once_are_each_recorded(backend: Backend) {
        let (service, operator) = start(backend, "").await;
        let body = click(service.merchant);
        let clicks = join_all((0..40).map(|_| post(&operator, &body)));
        let sales: Vec<Value> = (0..40).map(|n| sale(&format!("O-{n}"), "none")).collect();
        let sales = join_all(sales.iter().map(|sale| service.caller.post(sale)));
        let (clicks, sales) = tokio::join!(clicks, sales);
        assert!(clicks.iter().all(|answer| answer.status == 201) && sales.iter().all(|answer| answer.status == 202));
        assert_eq!((service.count("clicks"), service.count_events()), (40, 40));
    }
}

/// On SQLite nobody can hold a key alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_click_whose_key_another_instance_holds_is_in_use_and_then_runs() {
    let Some(backend) = Backend::postgres() else { return };
    let (service, operator) = start(backend, "[idempotency]\nwait_ms = 100\n").await;
    let mut setup = service.setup();
    setup.execute("BEGIN");
    setup.execute(&format!(
        "INSERT INTO idempotency_keys VALUES ('{}', 'live', 'clicks k', 'other', '', 201, '', now(), now(), 1)",
        service.merchant
    ));
    let body = click(service.merchant);
    post_under(&operator, "k", &body).await.expect_problem(409, "idempotency_key_in_use");
    // Nobody else waits for it.
    assert_eq!(post_under(&operator, "other", &body).await.status, 201);
    setup.execute("ROLLBACK");
    assert_eq!(post_under(&operator, "k", &body).await.status, 201);
    let lines = service.journal(3).await;
    let refused = lines.iter().find(|line| line.status == 409).unwrap();
    assert_eq!((refused.merchant, refused.mode), (Some(service.merchant), None));
}
