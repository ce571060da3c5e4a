//! Money: literal digits, a currency's own scale, never rounded (contract section 2).

use conversiond::domain::ids::KeyKind;
use conversiond::storage::merchants::Changes;
use serde_json::{Value, json};

use crate::support::service::Setup;
use crate::support::{Backend, Caller, Service, on_both_databases};

const ORDER_ID: &str = "O-1";

/// A sale whose amount and currency are these JSON texts; an empty one is left out.
fn sale(order: &str, value: &str, currency: &str) -> String {
    let member = |name: &str, text: &str| match text {
        "" => String::new(),
        text => format!(r#","{name}":{text}"#),
    };
    let (value, currency) = (member("value", value), member("currency", currency));
    format!(r#"{{"event_name":"sale","custom_data":{{"order_id":"{order}"{value}{currency}}}}}"#)
}

/// What a recorded event is read back as.
async fn read(caller: &Caller, event_id: &Value) -> (String, String) {
    let answer = caller.get(&format!("/api/v1/conversions/{}", event_id.as_str().unwrap())).await;
    let text = |pointer: &str| answer.at(pointer).as_str().unwrap_or_default().to_owned();
    (text("/value"), text("/currency"))
}

on_both_databases! {
    async fn amounts_are_kept_to_the_last_minor_unit_and_read_back_at_full_scale(backend: Backend) {
        let service = Service::start(backend).await;
        for (number, (value, currency, read_back, code)) in [
            (r#""1580""#, r#""JPY""#, "1580", "JPY"),
            ("1580", r#""jpy""#, "1580", "JPY"),
            (r#""129.90""#, r#""USD""#, "129.90", "USD"),
            (r#""129.9""#, r#""uSd""#, "129.90", "USD"),
            ("129.9", r#""USD""#, "129.90", "USD"),
            ("129", r#""EUR""#, "129.00", "EUR"),
            (r#""0.001""#, r#""KWD""#, "0.001", "KWD"),
            ("12.5", r#""kwd""#, "12.500", "KWD"),
            (r#""1.2345""#, r#""CLF""#, "1.2345", "CLF"),
            ("0", r#""USD""#, "0.00", "USD"),
            (r#""0.00""#, r#""USD""#, "0.00", "USD"),
            ("0.1", r#""USD""#, "0.10", "USD"),
            (r#""1000000000000000""#, r#""JPY""#, "1000000000000000", "JPY"),
            ("10000000000000.00", r#""USD""#, "10000000000000.00", "USD"),
            ("9999999999999.99", r#""USD""#, "9999999999999.99", "USD"),
            (r#""1000000000000.000""#, r#""KWD""#, "1000000000000.000", "KWD"),
            // Digits that a float would lose.
            ("4503599627370.49", r#""USD""#, "4503599627370.49", "USD"),
            ("0.29", r#""USD""#, "0.29", "USD"),
        ].into_iter().enumerate() {
            let answer = service.caller.post_text(&sale(&format!("O-{number}"), value, currency)).await;
            assert_eq!(answer.word(), "ACCEPTED", "{value} {currency}: {}", answer.text);
            let read = read(&service.caller, &answer.at("/event_id")).await;
            assert_eq!(read, (read_back.to_owned(), code.to_owned()), "{value} {currency}");
        }
    }

    async fn a_number_and_a_string_of_one_amount_are_one_sale(backend: Backend) {
        let service = Service::start(backend).await;
        assert_eq!(service.caller.post_text(&sale(ORDER_ID, r#""129.90""#, r#""USD""#)).await.word(), "ACCEPTED");
        for value in ["129.90", "129.9", r#""129.9""#, r#""129.90""#] {
            let again = service.caller.post_text(&sale(ORDER_ID, value, r#""usd""#)).await;
            assert_eq!((again.word().as_str(), again.at("/differs")), ("DUPLICATE", Value::Null), "{value}");
        }
        let other = service.caller.post_text(&sale(ORDER_ID, "129.91", r#""USD""#)).await;
        assert_eq!(other.at("/differs"), json!(["/custom_data/value"]));
        assert_eq!(service.count_events(), 1);
    }

    async fn the_order_dialect_falls_back_on_the_merchants_currency(backend: Backend) {
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        let merchant = setup.merchant();
        setup.change(merchant, &Changes { currency: "KWD".parse().ok(), ..Changes::default() });
        let mut caller = setup.key(KeyKind::Live, Some(merchant));
        drop(setup);
        let service = Service::start_with(database, "").await;
        caller.base.clone_from(&service.caller.base);
        let order = json!({"externalOrderId": "O-1", "orderAmount": "1.5"});
        let answer = caller.post(&order).await;
        assert_eq!(answer.word(), "ACCEPTED", "{}", answer.text);
        assert_eq!(read(&caller, &answer.at("/event_id")).await, ("1.500".to_owned(), "KWD".to_owned()));
        // One that is named wins; the canonical dialect has no default.
        let named = caller.post(&json!({"externalOrderId": "O-2", "amount": 1.5, "currency": "USD"})).await;
        assert_eq!(read(&caller, &named.at("/event_id")).await, ("1.50".to_owned(), "USD".to_owned()));
        let canonical = caller.post_text(&sale("O-3", r#""1.5""#, "")).await;
        canonical.expect_errors(&["/custom_data/currency required"]);
        // Without a default it must be named.
        service.caller.post(&order).await.expect_errors(&["/currency required"]);
        assert_eq!(service.count_events(), 2);
    }

    async fn an_amount_that_is_none_is_refused_and_nothing_is_written(backend: Backend) {
        let service = Service::start(backend).await;
        let many_digits = "9".repeat(5_000);
        let many_decimals = format!("0.{}", "1".repeat(5_000));
        for value in [
            "-1", "-0", "1e3", "1E3", "1e400", "1.0e2", "-0.01", "1.001", "129.900", "10000000000000.01",
            "1000000000000000000000000000000", &many_digits, &many_decimals,
            r#""""#, r#""-1""#, r#""+1""#, r#""01""#, r#""1.""#, r#"".5""#, r#""1e3""#, r#""NaN""#, r#""Infinity""#,
            r#""1,000""#, r#""1 000""#, r#"" 1""#, r#""1 ""#, r#""1\n""#, r#""$1""#, r#""0x10""#, r#""1_0""#,
            r#""٣""#, r#""１""#, r#""1.2.3""#, r#""1.-2""#, r#""one""#,
        ] {
            let answer = service.caller.post_text(&sale(ORDER_ID, value, r#""USD""#)).await;
            answer.expect_errors(&["/custom_data/value invalid_amount"]);
        }
        for (value, currency) in [
            (r#""1580.50""#, "JPY"), ("1580.0", "JPY"), (r#""1.0001""#, "KWD"), (r#""1.00001""#, "CLF"),
            (r#""1000000000000001""#, "JPY"), ("1000000000000.001", "KWD"), (r#""0.5""#, "KRW"),
        ] {
            let answer = service.caller.post_text(&sale(ORDER_ID, value, &format!("{currency:?}"))).await;
            answer.expect_errors(&["/custom_data/value invalid_amount"]);
        }
        assert_eq!(service.count_events(), 0);
    }

    async fn a_currency_that_is_none_is_refused_and_nothing_is_written(backend: Backend) {
        let service = Service::start(backend).await;
        for currency in [
            "XAU", "XAG", "XPT", "XPD", "XXX", "XTS", "XDR", "XSU", "XUA", "XBA", "ABC", "", "US", "USDT",
            "USD ", " USD", "U$D", "ÜSD", "ＵＳＤ", "840", "BTC",
        ] {
            let answer = service.caller.post_text(&sale(ORDER_ID, "1", &format!("{currency:?}"))).await;
            answer.expect_errors(&["/custom_data/currency invalid_currency"]);
        }
        assert_eq!(service.count_events(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn value_and_currency_come_together() {
    let service = Service::start(Backend::Sqlite).await;
    let refused: &[(Value, &[&str])] = &[
        (
            json!({"event_name": "lead", "external_id": "1", "custom_data": {"value": "1"}}),
            &["/custom_data/currency required"],
        ),
        (
            json!({"event_name": "lead", "external_id": "1", "custom_data": {"currency": "USD"}}),
            &["/custom_data/value required"],
        ),
        (
            json!({"event_name": "refund", "custom_data": {"related_order_id": "1", "value": 1}}),
            &["/custom_data/currency required"],
        ),
        (
            json!({"event_name": "refund", "custom_data": {"related_order_id": "1", "currency": "USD", "value": null}}),
            &["/custom_data/value required"],
        ),
        (
            json!({"event_name": "sale", "external_id": "1", "custom_data": {}}),
            &["/custom_data/currency required", "/custom_data/value required"],
        ),
        (
            json!({"event_name": "sale", "external_id": "1", "custom_data": {"value": "x", "currency": "XAU"}}),
            &["/custom_data/currency invalid_currency", "/custom_data/value invalid_amount"],
        ),
    ];
    for (event, errors) in refused {
        service.caller.post(event).await.expect_errors(errors);
    }
    assert_eq!(service.count_events(), 0);
    let lead =
        json!({"event_name": "lead", "external_id": "1", "custom_data": {"value": "1", "currency": "USD"}});
    assert_eq!(service.caller.post(&lead).await.word(), "ACCEPTED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_amount_and_its_alias_must_agree() {
    let service = Service::start(Backend::Sqlite).await;
    let order =
        |id: &str, members: &str| format!(r#"{{"externalOrderId":"{id}","currency":"USD",{members}}}"#);
    for (number, members) in
        [r#""orderAmount":"10.00""#, r#""amount":10.00"#, r#""orderAmount":10.00,"amount":"10.00""#]
            .iter()
            .enumerate()
    {
        let answer = service.caller.post_text(&order(&format!("O-{number}"), members)).await;
        assert_eq!(answer.word(), "ACCEPTED", "{members}: {}", answer.text);
        let read = read(&service.caller, &answer.at("/event_id")).await;
        assert_eq!(read, ("10.00".to_owned(), "USD".to_owned()), "{members}");
    }
    for (members, errors) in [
        (r#""orderAmount":"10.00","amount":"10.01""#, &["/amount conflict"][..]),
        (r#""orderAmount":"10.00","amount":"10.000""#, &["/amount invalid_amount"]),
        (r#""orderAmount":"-1""#, &["/orderAmount invalid_amount"]),
        (r#""amount":1.001"#, &["/amount invalid_amount"]),
        (r#""couponCode":"X""#, &["/orderAmount required"]),
    ] {
        service.caller.post_text(&order("O-9", members)).await.expect_errors(errors);
    }
    assert_eq!(service.count_events(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_amount_and_its_alias_agree_when_they_are_one_amount_in_two_writings() {
    let service = Service::start(Backend::Sqlite).await;
    for (number, (order_amount, amount)) in
        [(json!("129.90"), json!(129.9)), (json!(10), json!("10.00"))].into_iter().enumerate()
    {
        let order = json!({"externalOrderId": format!("O-{number}"), "currency": "USD",
            "orderAmount": order_amount, "amount": amount});
        let answer = service.caller.post(&order).await;
        assert_eq!(answer.word(), "ACCEPTED", "{order}: {}", answer.text);
    }
}
