//! Random business, told to the service and to the model.

use chrono::{DateTime, TimeDelta, Utc};
use conversiond::domain::ids::ClickId;
use conversiond::domain::instant;
use conversiond::domain::money::{Money, Total};
use conversiond::system::SystemEntropy;
use serde_json::{Value, json};
use uuid::Uuid;

use super::model::{Happening, Lead, Order, World};
use crate::bulk;
use crate::support::Service;

/// Numbers that look random and are the same every time (`SplitMix64`).
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len().try_into().unwrap())).unwrap()]
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Between the middle of October and that of November: the clocks are set meanwhile. Often on the hour.
    fn instant(&mut self) -> DateTime<Utc> {
        let begin = instant::parse("2026-10-15T00:00:00Z").unwrap();
        let hours = i64::try_from(self.below(31 * 24)).unwrap();
        let micros = if self.chance(40) { 0 } else { i64::try_from(self.below(3_600_000_000)).unwrap() };
        begin + TimeDelta::hours(hours) + TimeDelta::microseconds(micros)
    }

    fn value(&mut self, currency: &'static str) -> (i128, &'static str) {
        (i128::from(self.below(30)) * 100, currency)
    }
}

/// What is yet to be told to the service.
#[derive(Default)]
struct Told {
    events: Vec<Value>,
    statuses: Vec<Value>,
}

/// Orders and leads of these dice, told in a random order.
pub async fn tell(service: &Service, seed: u64, orders: u64) -> World {
    let mut dice = Dice(seed);
    let (one, other) = (Uuid::from_u128(0xd1), Uuid::from_u128(0xd2));
    let links = [(Uuid::from_u128(0xa1), one), (Uuid::from_u128(0xa2), one), (Uuid::from_u128(0xa3), other)];
    let mut world = World {
        links: links.map(|(url, domain)| (url.to_string(), domain.to_string())).to_vec(),
        ..World::default()
    };
    let token = |link: usize, at: DateTime<Utc>| {
        let click = ClickId::generate(at - TimeDelta::hours(5), &SystemEntropy);
        service.tokens.mint(service.merchant, links[link].1, links[link].0, click).unwrap()
    };
    let mut told = Told::default();
    for number in 0..orders {
        let link = dice.chance(70).then(|| usize::try_from(dice.below(3)).unwrap());
        if dice.chance(20) {
            let at = dice.instant();
            let mut event = json!({"event_name": "lead", "external_id": format!("L-{number}"), "event_time": instant::format(at)});
            link.into_iter().for_each(|link| event["nim_ct"] = token(link, at).into());
            told.events.push(event);
            world.leads.push(Lead { at, link });
            continue;
        }
        let order = random_order(&mut dice, &format!("O-{number}"), &mut told, |event, at| {
            link.into_iter().for_each(|link| event["nim_ct"] = token(link, at).into());
        });
        world.orders.push(Order { link, ..order });
    }
    send(service, &mut dice, told).await;
    world
}

fn random_order(
    dice: &mut Dice,
    id: &str,
    told: &mut Told,
    credit: impl FnOnce(&mut Value, DateTime<Utc>),
) -> Order {
    let mut order = Order::default();
    let currency = dice.pick(&["EUR", "EUR", "JPY", "KWD"]);
    if dice.chance(90) {
        let (at, value) = (dice.instant(), dice.value(currency));
        let mut event = json!({"event_name": "sale", "event_time": instant::format(at),
            "custom_data": {"order_id": id, "value": text(value), "currency": currency}});
        credit(&mut event, at);
        told.events.push(event);
        order.sale = Some(Happening { name: "sale", at, value: Some(value) });
    }
    for refund in 0..dice.pick(&[0, 0, 0, 1, 1, 2, 4]) {
        let at = dice.instant();
        let currency = if dice.chance(10) { "USD" } else { currency };
        let value = dice.chance(75).then(|| dice.value(currency));
        let mut event = json!({"event_name": "refund", "external_id": format!("{id}-{refund}"),
            "event_time": instant::format(at), "custom_data": {"related_order_id": id}});
        if let Some(value) = value {
            event["custom_data"]["value"] = text(value).into();
            event["custom_data"]["currency"] = currency.into();
        }
        told.events.push(event);
        order.others.push(Happening { name: "refund", at, value });
    }
    for name in ["cancellation", "reversal"] {
        if dice.chance(8) {
            let at = dice.instant();
            told.events.push(json!({"event_name": name, "event_time": instant::format(at),
                "custom_data": {"related_order_id": id}}));
            order.others.push(Happening { name, at, value: None });
        }
    }
    let mut earliest: Option<DateTime<Utc>> = None;
    for status in ["returned", "refunded", "delivered"] {
        if dice.chance(12) {
            let at = dice.instant();
            told.statuses.push(
                json!({"externalOrderId": id, "status": status, "statusUpdatedAt": instant::format(at)}),
            );
            if status != "delivered" {
                earliest = Some(earliest.map_or(at, |known| known.min(at)));
            }
        }
    }
    // One that tells no time: it is the others' that counts.
    if earliest.is_some() && dice.chance(30) {
        told.statuses.push(json!({"externalOrderId": id, "status": "returned"}));
    }
    order.others.extend(earliest.map(|at| Happening { name: "status_refund", at, value: None }));
    order
}

fn text((minor, currency): (i128, &str)) -> String {
    Total { minor, currency: currency.parse().unwrap() }.to_string()
}

/// Shuffled: the order of arrival makes no difference.
async fn send(service: &Service, dice: &mut Dice, told: Told) {
    let Told { mut events, mut statuses } = told;
    for list in [&mut events, &mut statuses] {
        for index in (1..list.len()).rev() {
            let other = usize::try_from(dice.below(u64::try_from(index).unwrap() + 1)).unwrap();
            list.swap(index, other);
        }
    }
    for rows in events.chunks(400) {
        let answer = bulk::send(&service.caller, &bulk::texts(rows)).await;
        assert_eq!(answer.at("/summary/accepted"), rows.len(), "{}", answer.text);
    }
    for status in &statuses {
        tell_status(service, status).await;
    }
}

/// Reports an order's status.
pub async fn tell_status(service: &Service, status: &Value) {
    let body = status.to_string();
    let path = "/api/v1/order-status";
    let headers =
        service.caller.headers(conversiond::domain::signature::Form::Bound, "POST", path, body.as_bytes());
    let answer = service.caller.send("POST", path, body.as_bytes(), &headers).await;
    assert_eq!(answer.status, 202, "{body}: {}", answer.text);
}

/// The largest amount there is.
pub const MOST: i64 = Money::MINOR_MAX;
