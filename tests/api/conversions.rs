//! Recording and repeating.

use serde_json::json;

use crate::support::{Backend, Service, on_both_databases};

on_both_databases! {
    async fn a_sale_is_accepted_once_and_its_repeat_is_a_duplicate(backend: Backend) {
        let service = Service::start(backend).await;
        let sale = json!({
            "event_name": "sale",
            "event_time": "2026-01-02T03:04:05Z",
            "custom_data": {"order_id": "ORD-1001", "value": "129.90", "currency": "usd"},
            "metadata": {"a": 1},
        });
        let first = service.caller.post(&sale).await;
        assert_eq!((first.status, first.word().as_str()), (202, "ACCEPTED"), "{}", first.text);
        assert_eq!(first.at("/attribution"), json!({"status": "unattributed", "reason": "no_token"}));
        let second = service.caller.post(&sale).await;
        assert_eq!((second.status, second.word().as_str()), (202, "DUPLICATE"), "{}", second.text);
        for member in ["/event_id", "/received_at", "/attribution", "/order_id", "/event_name", "/mode"] {
            assert_eq!(first.at(member), second.at(member), "{member}");
        }
        assert_eq!(second.at("/differs"), json!(null));
        let id = first.at("/event_id");
        let read = service.caller.get(&format!("/api/v1/conversions/{}", id.as_str().unwrap())).await;
        assert_eq!(read.status, 200, "{}", read.text);
        assert_eq!(read.at("/value"), "129.90");
        assert_eq!(read.at("/currency"), "USD");
        assert_eq!(read.at("/occurred_at"), "2026-01-02T03:04:05Z");
        assert_eq!(read.at("/times_received"), 2);
        assert_eq!(read.at("/times_differed"), 0);
        assert_eq!(read.at("/metadata"), json!({"a": 1}));
        assert_eq!(service.count_events(), 1);
    }
}
