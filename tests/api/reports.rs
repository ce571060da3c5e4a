//! Reports: what events come to, by time and by link (contract section 12).

mod model;
mod world;

use std::collections::BTreeMap;

use conversiond::domain::ids::KeyKind;
use serde_json::{Value, json};

use crate::bulk;
use crate::support::caller::Answer;
use crate::support::{Backend, Caller, Service, eventually, on_both_databases};
use model::Asked;

const PATH: &str = "/api/v1/reports/attribution";

/// All that is told here happens in October and November 2026.
const AUTUMN: Asked = Asked {
    group_by: "day",
    basis: "sale",
    zone: "UTC",
    currency: None,
    from: "2026-10-01",
    to: "2026-12-01",
};

async fn report(caller: &Caller, query: &str) -> Answer {
    let answer = caller.get(&format!("{PATH}{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    answer
}

async fn tell(service: &Service, events: &[Value]) {
    let answer = bulk::send(&service.caller, &bulk::texts(events)).await;
    assert_eq!(answer.at("/summary/rejected"), 0, "{}", answer.text);
}

fn sale(order: &str, at: &str, value: &str, currency: &str) -> Value {
    json!({"event_name": "sale", "event_time": at,
        "custom_data": {"order_id": order, "value": value, "currency": currency}})
}

fn refund(order: &str, id: &str, at: &str, value: &str, currency: &str) -> Value {
    json!({"event_name": "refund", "external_id": id, "event_time": at,
        "custom_data": {"related_order_id": order, "value": value, "currency": currency}})
}

/// What changed, day by day, of the days on which something did: `day refunded net refunds`.
fn changes(answer: &Answer) -> Vec<String> {
    let rows = answer.at("/rows");
    let told = rows.as_array().unwrap().iter().flat_map(|row| {
        let of = move |amounts: &Value| {
            let text = |name: &str| amounts[name].as_str().unwrap().to_owned();
            format!(
                "{} {} {} {}",
                row["day"].as_str().unwrap(),
                text("refunded"),
                text("net"),
                row["refunds"]
            )
        };
        row["amounts"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    });
    told.collect()
}

/// The figures of all orders that were sold, added up by currency.
async fn sums_of_orders(caller: &Caller) -> BTreeMap<String, [i128; 3]> {
    let answer = caller.get("/api/v1/orders?limit=500").await;
    assert_eq!(answer.at("/next_cursor"), Value::Null, "{}", answer.text);
    let mut sums = BTreeMap::new();
    for order in answer.at("/data").as_array().unwrap() {
        let Some(currency) = order["currency"].as_str() else { continue };
        let sum: &mut [i128; 3] = sums.entry(currency.to_owned()).or_default();
        for (sum, name) in sum.iter_mut().zip(["sold", "refunded", "net"]) {
            *sum += model::minor(order[name].as_str().unwrap());
        }
    }
    sums
}

on_both_databases! {
    async fn whatever_is_asked_of_random_business_is_what_a_simple_model_says(backend: Backend) {
        let service = Service::start(backend).await;
        let world = world::tell(&service, 1, 260).await;
        let (paris, new_york) = ("Europe/Paris", "America/New_York");
        for asked in [
            AUTUMN,
            Asked { basis: "event", zone: paris, ..AUTUMN },
            Asked { basis: "event", zone: new_york, from: "2026-10-24", to: "2026-11-03", ..AUTUMN },
            Asked { zone: new_york, from: "2026-10-24", to: "2026-11-03", ..AUTUMN },
            Asked { group_by: "week", basis: "event", zone: new_york, from: "2026-10-28", ..AUTUMN },
            Asked { group_by: "month,url_id", zone: paris, ..AUTUMN },
            Asked { group_by: "url_id,day", basis: "event", zone: paris, from: "2026-10-25", to: "2026-10-26", ..AUTUMN },
            Asked { group_by: "url_id,day", basis: "event", zone: new_york, from: "2026-11-01", to: "2026-11-02", ..AUTUMN },
            Asked { group_by: "domain_id", basis: "event", from: "2026-11-01", to: "2026-11-08", ..AUTUMN },
            Asked { group_by: "domain_id,url_id", ..AUTUMN },
            Asked { group_by: "attribution,day", basis: "event", zone: paris, from: "2026-11-02", ..AUTUMN },
            Asked { group_by: "attribution", ..AUTUMN },
            Asked { basis: "event", currency: Some("JPY"), from: "2026-10-20", to: "2026-11-10", ..AUTUMN },
            Asked { group_by: "url_id", currency: Some("KWD"), ..AUTUMN },
            Asked { currency: Some("CHF"), ..AUTUMN },
        ] {
            assert_eq!(asked.ask(&service.caller).await, asked.expect(&world), "{asked:?}");
        }
    }

    async fn both_bases_and_all_groupings_sum_to_the_orders(backend: Backend) {
        let service = Service::start(backend).await;
        let world = world::tell(&service, 2, 150).await;
        let (_, expected) = AUTUMN.expect(&world);
        assert!(expected.amounts["EUR"][1] > 0 && expected.counts.iter().all(|count| *count > 0), "{expected:?}");
        assert_eq!(sums_of_orders(&service.caller).await, expected.amounts);
        for group_by in ["day", "week", "month", "url_id", "domain_id,month", "attribution", "day,url_id"] {
            for basis in ["sale", "event"] {
                let (_, totals) = Asked { group_by, basis, ..AUTUMN }.ask(&service.caller).await;
                assert_eq!(totals, expected, "{group_by} {basis}");
            }
        }
    }

    async fn refunds_count_with_their_sale_or_when_they_happen(backend: Backend) {
        let service = Service::start(backend).await;
        tell(&service, &[
            sale("A", "2026-11-02T10:00:00Z", "10", "EUR"),
            refund("A", "1", "2026-11-04T10:00:00Z", "4", "EUR"),
            refund("A", "2", "2026-11-06T10:00:00Z", "1", "EUR"),
            // Before its sale: it takes effect with it.
            refund("B", "1", "2026-11-01T10:00:00Z", "500", "JPY"),
            sale("B", "2026-11-03T10:00:00Z", "1580", "JPY"),
            // No sale, no row.
            refund("C", "1", "2026-11-03T10:00:00Z", "7", "EUR"),
        ]).await;
        let by_sale = report(&service.caller, "?from=2026-11-01&to=2026-11-10").await;
        assert_eq!(changes(&by_sale), ["2026-11-02 5.00 5.00 2", "2026-11-03 500 1080 1"]);
        let by_event = report(&service.caller, "?from=2026-11-01&to=2026-11-10&basis=event").await;
        let expected = [
            "2026-11-02 0.00 10.00 0", "2026-11-03 500 1080 1", "2026-11-04 4.00 -4.00 1", "2026-11-06 1.00 -1.00 1",
        ];
        assert_eq!(changes(&by_event), expected);
        assert_eq!(by_sale.at("/totals"), by_event.at("/totals"));
        // A time without the sale has no more than what changed in it.
        let later = report(&service.caller, "?from=2026-11-04&to=2026-11-06&basis=event").await;
        assert_eq!(changes(&later), ["2026-11-04 4.00 -4.00 1"]);
        assert_eq!((later.at("/totals/sales"), later.at("/rows/1/amounts")), (json!(0), json!([])));
        let later = report(&service.caller, "?from=2026-11-04&to=2026-11-06").await;
        assert_eq!(changes(&later), [""; 0]);
    }

    async fn a_status_refund_counts_at_the_earliest_time_told_whichever_came_first(backend: Backend) {
        let service = Service::start(backend).await;
        let status = |order: &str, status: &str, at: Option<&str>| {
            let mut body = json!({"externalOrderId": order, "status": status});
            at.into_iter().for_each(|at| body["statusUpdatedAt"] = at.into());
            body
        };
        let (early, late) = ("2026-11-04T10:00:00Z", "2026-11-06T10:00:00Z");
        for (order, first, second) in [
            ("A", Some(early), Some(late)),
            ("B", Some(late), Some(early)),
            ("C", None, Some(early)),
            // Text sorts these two the other way round.
            ("D", Some("2026-11-04T10:00:00.5Z"), Some(early)),
        ] {
            tell(&service, &[sale(order, "2026-11-02T10:00:00Z", "10", "EUR")]).await;
            world::tell_status(&service, &status(order, "returned", first)).await;
            world::tell_status(&service, &status(order, "refunded", second)).await;
        }
        let whole = report(&service.caller, "?from=2026-11-01&to=2026-11-10&basis=event").await;
        assert_eq!(changes(&whole), ["2026-11-02 0.00 40.00 0", "2026-11-04 40.00 -40.00 4"]);
        // Also where the event itself, which the first to come made, lies elsewhere.
        let day = report(&service.caller, "?from=2026-11-04&to=2026-11-05&basis=event").await;
        assert_eq!(changes(&day), ["2026-11-04 40.00 -40.00 4"]);
        let day = report(&service.caller, "?from=2026-11-06&to=2026-11-07&basis=event").await;
        assert_eq!(changes(&day), [""; 0]);
        let exact = "?from=2026-11-04T10:00:00Z&to=2026-11-04T10:00:00.000001Z&basis=event";
        assert_eq!(changes(&report(&service.caller, exact).await), ["2026-11-04 40.00 -40.00 4"]);
        // With a refund it is no further one.
        tell(&service, &[refund("A", "1", "2026-11-08T10:00:00Z", "3", "EUR")]).await;
        let day = report(&service.caller, "?from=2026-11-08&to=2026-11-09&basis=event").await;
        assert_eq!(changes(&day), ["2026-11-08 -7.00 7.00 1"]);
        let whole = report(&service.caller, "?from=2026-11-01&to=2026-11-10").await;
        assert_eq!(changes(&whole), ["2026-11-02 33.00 7.00 4"]);
    }

    async fn only_the_merchants_own_events_of_the_keys_mode_are_in_a_report(backend: Backend) {
        let service = Service::start(backend).await;
        let mut setup = service.setup();
        let stranger = setup.merchant();
        let stranger = setup.key(KeyKind::Live, Some(stranger));
        let test = setup.key(KeyKind::Test, Some(service.merchant));
        let query = "?from=2026-11-01&to=2026-11-10&basis=event&group_by=attribution";
        for (caller, value) in [(&stranger, "7"), (&test, "5"), (&service.caller, "3")] {
            eventually("the key is known", async || caller.get(&format!("{PATH}{query}")).await.status == 200).await;
            for event in [
                sale("A", "2026-11-02T10:00:00Z", value, "EUR"),
                refund("A", "1", "2026-11-03T10:00:00Z", "1", "EUR"),
            ] {
                assert_eq!(caller.post(&event).await.word(), "ACCEPTED");
            }
        }
        for (caller, sold) in [(&stranger, "7.00"), (&test, "5.00"), (&service.caller, "3.00")] {
            let answer = report(caller, query).await;
            assert_eq!((answer.at("/totals/sales"), answer.at("/totals/refunds")), (json!(1), json!(1)));
            assert_eq!(answer.at("/totals/amounts/0/sold"), json!(sold));
            assert_eq!(answer.at("/rows").as_array().unwrap().len(), 1);
        }
        assert_eq!(report(&test, "").await.at("/totals/clicks"), Value::Null);
    }

    async fn amounts_whose_sum_no_database_integer_holds_add_up_exactly(backend: Backend) {
        let service = Service::start(backend).await;
        let most = world::MOST.to_string();
        for request in 0..10 {
            let rows: Vec<Value> = (0..1_000)
                .map(|row| sale(&format!("O-{request}-{row}"), "2026-11-02T10:00:00Z", &most, "JPY"))
                .collect();
            tell(&service, &rows).await;
        }
        tell(&service, &[refund("O-0-0", "1", "2026-11-03T10:00:00Z", "1", "JPY")]).await;
        let answer = report(&service.caller, "?from=2026-11-01&to=2026-11-10&group_by=url_id").await;
        let expected = json!([{"currency": "JPY", "sold": "10000000000000000000", "refunded": "1",
            "net": "9999999999999999999"}]);
        assert_eq!((answer.at("/rows/0/amounts"), answer.at("/totals/amounts")), (expected.clone(), expected));
    }

    async fn clicks_count_when_and_where_they_were_clicked(backend: Backend) {
        let (service, operator) = crate::clicks::start(backend, "").await;
        let (one, other) = ("00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000a2");
        let mut setup = service.setup();
        let stranger = setup.merchant();
        eventually("the merchant is known", async || {
            let mut click = crate::clicks::click(stranger);
            click["clicked_at"] = json!("2026-11-02T10:00:00Z");
            crate::clicks::post(&operator, &click).await.status == 201
        }).await;
        for (link, at) in [
            (one, "2026-11-01T22:59:59.999Z"),
            (one, "2026-11-01T23:00:00Z"),
            (one, "2026-11-02T22:59:59.999Z"),
            (other, "2026-11-02T12:00:00Z"),
            (one, "2026-11-02T23:00:00Z"),
        ] {
            let mut click = crate::clicks::click(service.merchant);
            click["url_id"] = json!(link);
            click["clicked_at"] = json!(at);
            let answer = crate::clicks::post(&operator, &click).await;
            assert_eq!(answer.status, 201, "{}", answer.text);
            if at.starts_with("2026-11-02T12") {
                let mut event = sale("A", "2026-11-02T13:00:00Z", "10", "EUR");
                event["nim_ct"] = answer.at("/nim_ct");
                tell(&service, &[event, sale("B", "2026-11-02T13:00:00Z", "10", "EUR")]).await;
            }
        }
        let query = "?from=2026-11-01&to=2026-11-04&tz=Europe/Paris";
        let figures = async |group_by: &str| {
            let answer = report(&service.caller, &format!("{query}&group_by={group_by}")).await;
            let rows = answer.at("/rows");
            let figure = |row: &Value| (row["clicks"].as_i64(), row["sales"].as_i64(), row["conversion_rate"].as_str().map(str::to_owned));
            let mut figures: Vec<_> = rows.as_array().unwrap().iter().map(figure).collect();
            figures.push(figure(&answer.at("/totals")));
            figures
        };
        let rate = |text: &str| Some(text.to_owned());
        let total = (Some(5), Some(2), rate("0.400000"));
        let days = [(Some(1), Some(0), rate("0.000000")), (Some(3), Some(2), rate("0.666667")), (Some(1), Some(0), rate("0.000000"))];
        assert_eq!(figures("day").await, [days.as_slice(), std::slice::from_ref(&total)].concat());
        let links = [(Some(4), Some(0), rate("0.000000")), (Some(1), Some(1), rate("1.000000")), (Some(0), Some(1), None)];
        assert_eq!(figures("url_id").await, [links.as_slice(), std::slice::from_ref(&total)].concat());
        assert_eq!(figures("attribution").await, [(None, Some(1), None), (None, Some(1), None), (None, Some(2), None)]);
        // Sales of one currency over clicks of all would be no rate.
        assert_eq!(figures("day&currency=EUR").await.pop(), Some((Some(5), Some(2), None)));
        let csv = report(&service.caller, &format!("{query}&group_by=month&format=csv")).await;
        assert!(csv.text.ends_with("\n2026-11,5,0,2,0,0,0,0.400000,EUR,20.00,0.00,20.00\n"), "{}", csv.text);
    }

    async fn a_report_of_more_rows_than_it_may_have_says_what_to_do(backend: Backend) {
        let service = Service::start(backend).await;
        // Leads of as many links as there may be rows, and one more.
        let mut setup = service.setup();
        let inserted = setup.execute(&format!(
            "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 20000) \
             INSERT INTO events (merchant_id, mode, event_id, event_name, order_id, own_id, occurred_at, occurred_given, \
             received_at, attribution, url_id, key_id, signature_form, times_received, times_differed) \
             SELECT '{}', 'live', 'evt_' || n, 'lead', 'L-' || n, '', '2026-11-02 10:00:00', true, \
             '2026-11-02 10:00:00', 'attributed', '00000000-0000-4000-8000-' || (100000000000 + n), 'k', 'v1', 1, 0 FROM n",
            service.merchant
        ));
        assert_eq!(inserted, 20_001);
        let time = "?from=2026-11-01&to=2026-11-10";
        let answer = service.caller.get(&format!("{PATH}{time}&group_by=url_id,day")).await;
        assert_eq!((answer.status, answer.error_pointers()), (422, vec!["/group_by".to_owned()]));
        assert_eq!(answer.at("/errors/0/code"), "too_many_rows");
        assert!(answer.text.contains("group by less"), "{}", answer.text);
        assert_eq!(report(&service.caller, time).await.at("/totals/leads"), 20_001);
    }

    async fn a_report_is_csv_by_format_or_by_what_the_caller_accepts(backend: Backend) {
        let service = Service::start(backend).await;
        tell(&service, &[
            sale("A", "2026-11-02T23:30:00Z", "10", "EUR"),
            sale("B", "2026-11-02T23:40:00Z", "1580", "JPY"),
            refund("A", "1", "2026-11-04T10:00:00Z", "4.5", "EUR"),
        ]).await;
        let query = "?from=2026-11-02&to=2026-11-04&tz=Europe/Paris&group_by=day,url_id";
        let text = "day,url_id,clicks,leads,sales,cancelled,reversed,refunds,conversion_rate,currency,sold,refunded,net\n\
            2026-11-03,,0,0,2,0,0,1,,EUR,10.00,4.50,5.50\n2026-11-03,,,,,,,,,JPY,1580,0,1580\n";
        let csv = report(&service.caller, &format!("{query}&format=csv")).await;
        assert_eq!((csv.header("content-type"), csv.text.as_str()), (Some("text/csv; charset=utf-8"), text));
        let target = format!("{PATH}{query}");
        for (accept, is_csv) in [
            ("text/csv", true),
            ("text/csv, application/json;q=0.9", true),
            ("application/json, text/csv;q=0.9", false),
            ("text/html, */*", false),
            ("*/*", false),
            ("nonsense", false),
        ] {
            let mut headers = service.caller.headers(conversiond::domain::signature::Form::Bound, "GET", &target, b"");
            headers.push(("Accept".to_owned(), accept.to_owned()));
            let answer = service.caller.send("GET", &target, b"", &headers).await;
            assert_eq!(answer.text.starts_with("day,url_id"), is_csv, "{accept}: {}", answer.text);
        }
        // A day without anything has its line, too.
        let csv = report(&service.caller, "?from=2026-11-01&to=2026-11-02&format=csv").await;
        assert_eq!(csv.text.lines().nth(1), Some("2026-11-01,0,0,0,0,0,0,,,,,"));
    }

    async fn without_parameters_it_is_of_thirty_days_by_day(backend: Backend) {
        let service = Service::start(backend).await;
        assert_eq!(service.caller.post(&json!({"externalOrderId": "A", "amount": "1", "currency": "USD"})).await.word(), "ACCEPTED");
        service.clock.advance(chrono::TimeDelta::seconds(1));
        let answer = report(&service.caller, "").await;
        let rows = answer.at("/rows");
        assert_eq!(rows.as_array().unwrap().len(), 30);
        let expected = [json!("UTC"), json!("sale"), Value::Null, json!(["day"]), json!(1)];
        let told = ["/tz", "/basis", "/currency", "/group_by", "/totals/sales"].map(|pointer| answer.at(pointer));
        assert_eq!(told, expected);
    }

    async fn a_wrong_query_is_told_everything_that_is_wrong_with_it(backend: Backend) {
        let service = Service::start(backend).await;
        for (query, pointers) in [
            ("?group_by=day,week&from=yesterday&to=2026-02-30&tz=Paris&basis=net&currency=XXX&format=xml&colour=red",
             vec!["/basis", "/colour", "/currency", "/format", "/from", "/group_by", "/to", "/tz"]),
            ("?from=2026-11-02&to=2026-11-02", vec!["/to"]),
            ("?from=2026-11-02&to=2026-11-01&limit=5", vec!["/limit", "/to"]),
            ("?from=2999-01-01", vec!["/from"]),
            ("?from=2020-01-01&to=2026-01-01", vec!["/group_by"]),
            ("?group_by=url_id,url_id", vec!["/group_by"]),
            ("?tz=UTC&tz=UTC", vec!["/tz"]),
        ] {
            let answer = service.caller.get(&format!("{PATH}{query}")).await;
            assert_eq!((answer.status, answer.word().as_str()), (422, "validation_failed"), "{query}");
            assert_eq!(answer.error_pointers(), pointers, "{query}");
        }
        let answer = service.caller.get(&format!("{PATH}?from=2020-01-01&to=2026-01-01")).await;
        assert!(answer.text.contains("shorter time"), "{}", answer.text);
        assert_eq!(report(&service.caller, "?from=2020-01-01&to=2026-01-01&group_by=month").await.at("/rows").as_array().unwrap().len(), 72);
    }
}
