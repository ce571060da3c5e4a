//! A page of a list looks at a bounded number of rows, whatever its filter (contract section 9).

use serde_json::Value;

use crate::support::{Backend, Caller, Service, on_both_databases};

/// More than one page looks at.
const MANY: usize = 12_000;

/// The pages of a list: each one's items.
async fn pages(caller: &Caller, target: &str) -> Vec<Vec<Value>> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = caller.get(&format!("{target}{cursor}")).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text);
        pages.push(answer.at("/data").as_array().unwrap().clone());
        match answer.at("/next_cursor").as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return pages,
        }
    }
}

fn orders(pages: &[Vec<Value>]) -> Vec<String> {
    pages.iter().flatten().map(|item| item["order_id"].as_str().unwrap().to_owned()).collect()
}

on_both_databases! {
    async fn a_filter_that_fits_nothing_is_answered_by_empty_pages_that_lead_on(backend: Backend) {
        let service = Service::start(backend).await;
        service.setup().fill_events(service.merchant, MANY, 1);
        service.setup().fill_journal(service.merchant, MANY);
        for target in [
            "conversions?limit=5&attribution=attributed",
            "conversions?limit=5&event_name=refund",
            "conversions?limit=5&url_id=019a65f1-c2a3-7b3e-9d6a-4f0e8c7b5a21",
            "conversions?limit=5&occurred_to=2001-01-01T00:00:00Z",
            "conversions?limit=5&received_from=2001-01-01T00:00:00Z&attribution=inherited",
            "attempts?limit=5&reason=SIG_BAD_SIGNATURE",
            "attempts?limit=5&outcome=replayed",
            "attempts?limit=5&order_id=nothing",
            "orders?limit=5&url_id=019a65f1-c2a3-7b3e-9d6a-4f0e8c7b5a21",
        ] {
            let pages = pages(&service.caller, &format!("/api/v1/{target}")).await;
            assert_eq!(pages, vec![Vec::<Value>::new(); 2], "{target}");
        }
    }

    async fn an_orders_events_are_found_on_one_page_however_many_others_there_are(backend: Backend) {
        let service = Service::start(backend).await;
        let mut setup = service.setup();
        setup.fill_events(service.merchant, MANY, 1);
        setup.execute("UPDATE events SET external_id = 'X-1' WHERE order_id = 'F-1'");
        for filter in ["order_id=F-1", "external_id=X-1", "order_id=F-1&attribution=unattributed"] {
            let pages = pages(&service.caller, &format!("/api/v1/conversions?limit=5&{filter}")).await;
            assert_eq!((pages.len(), orders(&pages)), (1, vec!["F-1".to_owned()]), "{filter}");
        }
    }

    async fn all_pages_together_hold_what_fits_once_and_in_order(backend: Backend) {
        let service = Service::start(backend).await;
        let mut setup = service.setup();
        setup.fill_events(service.merchant, MANY, 1);
        setup.fill_journal(service.merchant, MANY);
        let wanted = [1, 2, 1_999, 2_000, 2_001, 9_500, 11_498, 11_499, 11_500, 12_000];
        let ids: Vec<String> = wanted.iter().rev().map(|n| format!("F-{n}")).collect();
        let list = format!("('{}')", ids.join("', '"));
        setup.execute(&format!("UPDATE events SET attribution = 'inherited' WHERE order_id IN {list}"));
        setup.execute(&format!("UPDATE attempts SET reason = 'ODD', outcome = 'refused' WHERE order_id IN {list}"));
        for limit in [1, 3, 500] {
            for target in ["conversions?attribution=inherited", "attempts?reason=ODD", "attempts?outcome=refused"] {
                let pages = pages(&service.caller, &format!("/api/v1/{target}&limit={limit}")).await;
                assert!(pages.iter().all(|page| page.len() <= limit), "{target} {limit}");
                assert_eq!(orders(&pages), ids, "{target} {limit}");
            }
        }
    }

    async fn refunds_of_one_order_are_passed_page_by_page(backend: Backend) {
        let service = Service::start(backend).await;
        let mut setup = service.setup();
        setup.fill_events(service.merchant, MANY, 1);
        // One order, whose place is that of its first refund.
        setup.execute("UPDATE events SET event_name = 'refund', own_id = order_id, order_id = 'hot', currency = NULL, value_minor = NULL");
        let pages = pages(&service.caller, "/api/v1/orders?limit=5&state=awaiting_sale").await;
        assert!(pages.len() > 1 && pages[0].is_empty(), "{} pages", pages.len());
        assert_eq!(orders(&pages), ["hot"]);
    }
}
