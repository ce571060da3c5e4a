//! Examples of reports.

use serde_json::{Value, json};

use super::{Example, example};

const LINK: &str = "5894e3c0-4c60-468a-8b29-93495f1f9dcb";

/// As JSON.
pub fn bodies() -> Vec<Example> {
    let figures = json!({
        "clicks": 640,
        "leads": 12,
        "sales": 20,
        "cancelled": 1,
        "reversed": 0,
        "refunds": 2,
        "amounts": [
            { "currency": "EUR", "sold": "2598.00", "refunded": "45.50", "net": "2422.60" },
            { "currency": "JPY", "sold": "1580", "refunded": "0", "net": "1580" },
        ],
        "conversion_rate": "0.031250",
    });
    let mut row = json!({ "url_id": LINK, "day": "2026-01-15" });
    if let (Some(row), Some(figures)) = (row.as_object_mut(), figures.as_object()) {
        row.extend(figures.clone());
    }
    let report = |rows: Vec<Value>| {
        json!({
            "from": "2026-01-14T23:00:00Z",
            "to": "2026-01-15T23:00:00Z",
            "tz": "Europe/Paris",
            "basis": "sale",
            "currency": null,
            "group_by": ["url_id", "day"],
            "rows": rows,
            "totals": figures,
        })
    };
    vec![example("by_link_and_day", "A link's day", report(vec![row]))]
}

/// As CSV.
pub fn texts() -> Vec<Example> {
    let text = format!(
        "url_id,day,clicks,leads,sales,cancelled,reversed,refunds,conversion_rate,currency,sold,refunded,net\n\
         {LINK},2026-01-15,640,12,20,1,0,2,0.031250,EUR,2598.00,45.50,2422.60\n\
         {LINK},2026-01-15,,,,,,,,JPY,1580,0,1580\n"
    );
    vec![example("by_link_and_day", "A link's day, in two currencies", text.into())]
}
