//! A second opinion on reports: simple, in memory, and sharing nothing with the service's own way.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, NaiveDate, TimeDelta, Utc};
use conversiond::domain::instant;
use serde_json::Value;

/// What happened to an order, in the store's words.
#[derive(Debug, Clone)]
pub struct Happening {
    pub name: &'static str,
    pub at: DateTime<Utc>,
    /// In minor units, and the currency.
    pub value: Option<(i128, &'static str)>,
}

/// An order; without a sale it is in no report.
#[derive(Debug, Clone, Default)]
pub struct Order {
    pub sale: Option<Happening>,
    /// Its link's number.
    pub link: Option<usize>,
    pub others: Vec<Happening>,
}

/// A lead, and its link's number.
#[derive(Debug, Clone)]
pub struct Lead {
    pub at: DateTime<Utc>,
    pub link: Option<usize>,
}

/// Everything that was told.
#[derive(Debug, Default)]
pub struct World {
    pub orders: Vec<Order>,
    pub leads: Vec<Lead>,
    /// `(url_id, domain_id)` by number.
    pub links: Vec<(String, String)>,
}

/// A row: leads, sales, cancelled, reversed, refunds, and (sold, refunded, net) by currency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    pub counts: [i128; 5],
    pub amounts: BTreeMap<String, [i128; 3]>,
}

pub type Rows = BTreeMap<Vec<String>, Row>;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub group_by: &'static str,
    pub basis: &'static str,
    pub zone: &'static str,
    pub currency: Option<&'static str>,
    pub from: &'static str,
    pub to: &'static str,
}

/// The clock's distance from UTC in the three zones and the weeks that are asked about here.
fn offset(zone: &str, at: DateTime<Utc>) -> TimeDelta {
    let after = |text: &str| at >= instant::parse(text).unwrap();
    TimeDelta::hours(match zone {
        "UTC" => 0,
        "Europe/Paris" if after("2026-10-25T01:00:00Z") => 1,
        "Europe/Paris" => 2,
        "America/New_York" if after("2026-11-01T06:00:00Z") => -5,
        "America/New_York" => -4,
        _ => panic!("{zone}"),
    })
}

impl Asked {
    fn date(&self, at: DateTime<Utc>) -> NaiveDate {
        (at + offset(self.zone, at)).date_naive()
    }

    /// Dates are of the zone: their midnights are none of those that clocks are set at.
    fn holds(&self, at: DateTime<Utc>) -> bool {
        let (from, to): (NaiveDate, NaiveDate) = (self.from.parse().unwrap(), self.to.parse().unwrap());
        (from..to).contains(&self.date(at))
    }

    fn key(&self, world: &World, at: DateTime<Utc>, link: Option<usize>) -> Vec<String> {
        let date = self.date(at);
        let (url, domain) = link.map(|link| world.links[link].clone()).unwrap_or_default();
        let part = |name: &str| match name {
            "day" => date.to_string(),
            "week" => (date - TimeDelta::days(date.weekday().num_days_from_monday().into())).to_string(),
            "month" => date.to_string()[..7].to_owned(),
            "url_id" => url.clone(),
            "domain_id" => domain.clone(),
            "attribution" if link.is_some() => "attributed".to_owned(),
            "attribution" => "unattributed".to_owned(),
            _ => panic!("{name}"),
        };
        self.group_by.split(',').map(part).collect()
    }

    fn target(&self) -> String {
        let Self { group_by, basis, zone, currency, from, to } = self;
        let currency = currency.map(|code| format!("&currency={code}")).unwrap_or_default();
        format!(
            "/api/v1/reports/attribution?group_by={group_by}&basis={basis}&tz={zone}&from={from}&to={to}{currency}"
        )
    }

    /// The report as the service tells it: rows with something in them, and the totals.
    pub async fn ask(&self, caller: &crate::support::Caller) -> (Rows, Row) {
        let answer = caller.get(&self.target()).await;
        assert_eq!(answer.status, 200, "{self:?}: {}", answer.text);
        let report = answer.json();
        let mut rows = Rows::new();
        let mut keys = Vec::new();
        for row in report["rows"].as_array().unwrap() {
            let key: Vec<String> =
                self.group_by.split(',').map(|name| row[name].as_str().unwrap_or("").to_owned()).collect();
            // Without a link stands last.
            keys.push(key.iter().map(|part| (part.is_empty(), part.clone())).collect::<Vec<_>>());
            let figures = read(row);
            if figures != Row::default() {
                assert!(rows.insert(key, figures).is_none(), "a row twice: {row}");
            }
        }
        assert!(keys.is_sorted(), "{self:?}: {keys:?}");
        (rows, read(&report["totals"]))
    }

    /// The report as it has to be.
    pub fn expect(&self, world: &World) -> (Rows, Row) {
        let mut rows = Rows::new();
        for lead in world.leads.iter().filter(|lead| self.holds(lead.at)) {
            rows.entry(self.key(world, lead.at, lead.link)).or_default().counts[0] += 1;
        }
        for order in &world.orders {
            self.add(world, order, &mut rows);
        }
        rows.retain(|_, row| *row != Row::default());
        let mut totals = Row::default();
        for row in rows.values() {
            totals.counts.iter_mut().zip(row.counts).for_each(|(sum, more)| *sum += more);
            for (currency, amounts) in &row.amounts {
                let sums = totals.amounts.entry(currency.clone()).or_default();
                sums.iter_mut().zip(amounts).for_each(|(sum, more)| *sum += more);
            }
        }
        (rows, totals)
    }

    fn add(&self, world: &World, order: &Order, rows: &mut Rows) {
        let Some(sale) = &order.sale else { return };
        let (_, currency) = sale.value.unwrap();
        if self.currency.is_some_and(|wanted| wanted != currency) {
            return;
        }
        let mut happened: Vec<Happening> = order.others.clone();
        happened.push(sale.clone());
        for one in &mut happened {
            one.at = if self.basis == "sale" { sale.at } else { one.at.max(sale.at) };
        }
        happened.sort_by_key(|one| one.at);
        let any_refund = order.others.iter().any(|one| one.name == "refund");
        let mut before = [0; 3];
        // One instant after the other: what of the order's figures it changes.
        let mut instants: Vec<DateTime<Utc>> = happened.iter().map(|one| one.at).collect();
        instants.dedup();
        for at in instants {
            let so_far: Vec<&Happening> = happened.iter().filter(|one| one.at <= at).collect();
            let now = figures(&so_far);
            let change = [now[0] - before[0], now[1] - before[1], now[2] - before[2]];
            before = now;
            if !self.holds(at) {
                continue;
            }
            let mut counts = [0; 5];
            for one in happened.iter().filter(|one| one.at == at) {
                let place = match one.name {
                    "sale" => 1,
                    "cancellation" => 2,
                    "reversal" => 3,
                    "refund" => 4,
                    "status_refund" if !any_refund => 4,
                    _ => continue,
                };
                counts[place] += 1;
            }
            if (change, counts) == ([0; 3], [0; 5]) {
                continue;
            }
            let row = rows.entry(self.key(world, at, order.link)).or_default();
            row.counts.iter_mut().zip(counts).for_each(|(sum, more)| *sum += more);
            let amounts = row.amounts.entry(currency.to_owned()).or_default();
            amounts.iter_mut().zip(change).for_each(|(sum, more)| *sum += more);
        }
    }
}

/// sold, refunded, net after what happened so far, of which the sale is always one.
fn figures(happened: &[&Happening]) -> [i128; 3] {
    let sale = happened.iter().find(|one| one.name == "sale").unwrap();
    let (sold, currency) = sale.value.unwrap();
    let has = |name: &str| happened.iter().any(|one| one.name == name);
    let refunds = || happened.iter().filter(|one| one.name == "refund");
    let valued: i128 = refunds()
        .filter_map(|one| one.value)
        .filter(|(_, code)| *code == currency)
        .map(|(minor, _)| minor)
        .sum();
    let refunded = if refunds().any(|one| one.value.is_none()) {
        valued.max(sold)
    } else if valued > 0 {
        valued
    } else if has("status_refund") {
        sold
    } else {
        0
    };
    let gone = has("cancellation") || has("reversal");
    [sold, refunded, if gone { 0 } else { (sold - refunded).max(0) }]
}

/// A row's figures as they are told.
fn read(row: &Value) -> Row {
    let count = |name: &str| i128::from(row[name].as_i64().unwrap_or_else(|| panic!("{name}: {row}")));
    let amounts = row["amounts"].as_array().unwrap().iter().map(|amounts| {
        let minor = |name: &str| minor(amounts[name].as_str().unwrap());
        (amounts["currency"].as_str().unwrap().to_owned(), [minor("sold"), minor("refunded"), minor("net")])
    });
    Row {
        counts: ["leads", "sales", "cancelled", "reversed", "refunds"].map(count),
        amounts: amounts.collect(),
    }
}

/// An amount's digits as one number: scales are the currencies' own.
pub fn minor(text: &str) -> i128 {
    text.replace('.', "").parse().unwrap()
}
