//! Reports of merchants that were told the same: they are the same, and the sum of the model's orders.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::delivery::{Shop, link};
use super::history::{Told, What};
use super::model::{Model, Order, decimal};

const NOVEMBER: &str = "from=2025-11-01&to=2025-12-01";

/// `sold`, `refunded` and `net` by currency, as a report has them.
fn amounts<'a>(orders: impl Iterator<Item = &'a Order>) -> Value {
    let mut sums: BTreeMap<&str, [i64; 3]> = BTreeMap::new();
    for (currency, amounts) in orders.filter_map(Order::amounts) {
        let sum = sums.entry(currency).or_default();
        sum.iter_mut().zip(amounts).for_each(|(sum, amount)| *sum += amount);
    }
    let told = |(currency, sums): (&str, [i64; 3])| {
        let [sold, refunded, net] = sums.map(|minor| decimal(minor, currency));
        json!({"currency": currency, "sold": sold, "refunded": refunded, "net": net})
    };
    sums.into_iter().map(told).collect()
}

/// What of a report's row follows from the orders alone.
fn of_orders(row: &Value) -> Value {
    json!([row["sales"], row["cancelled"], row["reversed"], row["amounts"]])
}

fn expected<'a>(orders: impl Iterator<Item = &'a Order> + Clone) -> Value {
    let sold = orders.filter(|order| order.sale().is_some());
    let cancelled = sold.clone().filter(|order| order.is_cancelled()).count();
    let reversed = sold.clone().filter(|order| order.is_reversed()).count();
    json!([sold.clone().count(), cancelled, reversed, amounts(sold)])
}

/// The rows of the report by link and day of the sale.
fn by_link_and_day(model: &Model) -> BTreeMap<(String, String), Value> {
    let mut groups: BTreeMap<(String, String), Vec<&Order>> = BTreeMap::new();
    for order in model.orders.values() {
        if let Some((_, at)) = order.sale() {
            let url = order.link.map(|number| link(number).to_string()).unwrap_or_default();
            groups.entry((url, at.date_naive().to_string())).or_default().push(order);
        }
    }
    groups.into_iter().map(|(key, orders)| (key, expected(orders.into_iter()))).collect()
}

/// Compares the reports of all merchants with each other and with the model.
pub async fn compare(shops: &[Shop], history: &[Told], model: &Model, context: &str) {
    let leads = history.iter().filter(|told| matches!(told.what, What::Lead(_))).count();
    for basis in ["sale", "event"] {
        for group_by in ["day", "url_id,day", "attribution", "week,domain_id", "month"] {
            let target = format!("/api/v1/reports/attribution?group_by={group_by}&basis={basis}&{NOVEMBER}");
            let mut texts = Vec::new();
            for shop in shops {
                let answer = shop.instances[0].get(&target).await;
                assert_eq!(answer.status, 200, "{context}: {}", answer.text);
                texts.push(answer.text);
            }
            let report: Value = serde_json::from_str(&texts[0]).unwrap();
            for text in &texts {
                assert_eq!(serde_json::from_str::<Value>(text).unwrap(), report, "{context}: {target}");
            }
            assert_eq!(report["totals"]["leads"], leads, "{context}: {target}");
            assert_eq!(of_orders(&report["totals"]), expected(model.orders.values()), "{context}: {target}");
            if (basis, group_by) == ("sale", "url_id,day") {
                let key = |row: &Value| {
                    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
                    (text("url_id"), text("day"))
                };
                let rows = report["rows"].as_array().unwrap().iter();
                let with_sales = rows.filter(|row| row["sales"] != 0);
                let found: BTreeMap<_, _> = with_sales.map(|row| (key(row), of_orders(row))).collect();
                assert_eq!(found, by_link_and_day(model), "{context}: {target}");
            }
        }
    }
}
