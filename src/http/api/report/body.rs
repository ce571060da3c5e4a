//! A report as callers read it.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::instant;
use crate::domain::merchant::Mode;
use crate::domain::money::{Currency, Total};
use crate::domain::report::{Amounts, Dimension, Key, Part, Report, ReportQuery, Row, Unit, conversion_rate};
use crate::http::openapi::values;

/// What events come to, by time and by link.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Report")]
pub struct ReportBody {
    /// The beginning of its time.
    #[schemars(with = "values::UtcInstant")]
    pub from: String,
    /// The end: what happens at it is not in the report.
    #[schemars(with = "values::UtcInstant")]
    pub to: String,
    /// The zone whose days, weeks and months they are.
    pub tz: &'static str,
    /// When what happens to an order counts.
    #[schemars(with = "values::ReportBasis")]
    pub basis: &'static str,
    /// The currency of all sales in it; `null` = of every currency.
    #[schemars(with = "Option<values::CurrencyCode>")]
    pub currency: Option<&'static str>,
    /// What rows are told apart by, in the order in which they are sorted.
    #[schemars(with = "Vec<values::ReportDimension>", length(min = 1, max = 2))]
    pub group_by: Vec<&'static str>,
    /// The rows. By time alone there is one of every period; else of what there is something to tell of.
    pub rows: Vec<RowBody>,
    /// All rows together.
    pub totals: FiguresBody,
}

/// A row of a report: what it is of, and its figures.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReportRow")]
pub struct RowBody {
    #[serde(flatten)]
    keys: KeysBody,
    #[serde(flatten)]
    pub figures: FiguresBody,
}

/// What a row is of: a member for each of `group_by`.
#[derive(Default, Serialize, JsonSchema)]
#[schemars(inline)]
struct KeysBody {
    /// The day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::Date")]
    day: Option<String>,
    /// The ISO week, by its Monday.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::Date")]
    week: Option<String>,
    /// The month.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::Month")]
    month: Option<String>,
    /// The short link that the sales are credited to; `null` = none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<values::LinkId>")]
    url_id: Option<Option<String>>,
    /// Its domain; `null` = none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<values::LinkId>")]
    domain_id: Option<Option<String>>,
    /// Whether they are credited to a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::CreditStatus")]
    attribution: Option<&'static str>,
}

/// What is counted and added up.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReportFigures")]
pub struct FiguresBody {
    /// Recorded clicks; `null` of test keys, which have none, and by attribution.
    pub clicks: Option<u64>,
    /// Leads.
    pub leads: u64,
    /// Sales.
    pub sales: u64,
    /// Cancellations of orders that were sold.
    pub cancelled: u64,
    /// Reversals of orders that were sold.
    pub reversed: u64,
    /// Refunds of orders that were sold. What a returned or refunded order says of itself is one where no
    /// other is told.
    pub refunds: u64,
    /// Amounts by currency; different ones are never added.
    pub amounts: Vec<AmountsBody>,
    /// Sales per click, to six decimals; `null` where there are no clicks, and where `currency` leaves sales
    /// out: clicks have none.
    #[schemars(with = "Option<values::Rate>")]
    pub conversion_rate: Option<String>,
}

/// Amounts of one currency. With the basis `event` they are changes, which may be negative.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReportAmounts")]
pub struct AmountsBody {
    /// The currency of the amounts.
    #[schemars(with = "values::CurrencyCode")]
    pub currency: &'static str,
    /// What was sold.
    #[schemars(with = "values::Sum")]
    pub sold: String,
    /// What was given back.
    #[schemars(with = "values::Sum")]
    pub refunded: String,
    /// What remains.
    #[schemars(with = "values::Sum")]
    pub net: String,
}

impl ReportBody {
    /// The report of a merchant's keys of this mode.
    pub fn of(query: &ReportQuery, report: &Report, mode: Mode) -> Self {
        let with_clicks = mode == Mode::Live && !query.group_by.has(Dimension::Attribution);
        let with_rate = query.currency.is_none();
        let figures = |row: &Row| FiguresBody::of(row, with_clicks, with_rate);
        let row =
            |(key, row): &(Key, Row)| RowBody { keys: KeysBody::of(query, *key), figures: figures(row) };
        Self {
            from: instant::format(query.periods.from()),
            to: instant::format(query.periods.to()),
            tz: query.zone.name(),
            basis: query.basis.as_str(),
            currency: query.currency.map(Currency::code),
            group_by: query.group_by.dimensions().map(Dimension::as_str).collect(),
            rows: report.rows.iter().map(row).collect(),
            totals: figures(&report.totals),
        }
    }
}

impl RowBody {
    /// What it is of, by the name of a dimension; empty = no link.
    pub fn key(&self, dimension: &str) -> &str {
        let keys = &self.keys;
        let of_time = keys.day.as_deref().or(keys.week.as_deref()).or(keys.month.as_deref());
        let link = |id| Option::as_ref(id).and_then(Option::as_deref);
        match dimension {
            "url_id" => link(&keys.url_id),
            "domain_id" => link(&keys.domain_id),
            "attribution" => keys.attribution,
            _ => of_time,
        }
        .unwrap_or("")
    }
}

impl KeysBody {
    fn of(query: &ReportQuery, key: Key) -> Self {
        let mut keys = Self::default();
        for (dimension, part) in query.group_by.dimensions().zip(key.parts()) {
            let link = match part {
                Part::Link(id) => Some(id.to_string()),
                _ => None,
            };
            let name = match part {
                Part::Period(period) => Some(query.periods.name(period)),
                _ => None,
            };
            match dimension {
                Dimension::Time(Unit::Day) => keys.day = name,
                Dimension::Time(Unit::Week) => keys.week = name,
                Dimension::Time(Unit::Month) => keys.month = name,
                Dimension::UrlId => keys.url_id = Some(link),
                Dimension::DomainId => keys.domain_id = Some(link),
                Dimension::Attribution => {
                    let attributed = part == Part::Attributed;
                    keys.attribution = Some(if attributed { "attributed" } else { "unattributed" });
                }
            }
        }
        keys
    }
}

impl FiguresBody {
    fn of(row: &Row, with_clicks: bool, with_rate: bool) -> Self {
        let counts = &row.counts;
        let clicks = Some(counts.clicks).filter(|_| with_clicks);
        Self {
            clicks,
            leads: counts.leads,
            sales: counts.sales,
            cancelled: counts.cancelled,
            reversed: counts.reversed,
            refunds: counts.refunds,
            amounts: row
                .amounts
                .iter()
                .map(|(currency, amounts)| AmountsBody::of(*currency, amounts))
                .collect(),
            conversion_rate: clicks
                .filter(|_| with_rate)
                .and_then(|clicks| conversion_rate(counts.sales, clicks)),
        }
    }
}

impl AmountsBody {
    fn of(currency: Currency, amounts: &Amounts) -> Self {
        let text = |minor| Total { minor, currency }.to_string();
        Self {
            currency: currency.code(),
            sold: text(amounts.sold),
            refunded: text(amounts.refunded),
            net: text(amounts.net),
        }
    }
}
