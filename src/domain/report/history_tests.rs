use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::domain::money::Currency;
use crate::domain::order::Figures;
use crate::domain::report::{GroupBy, Periods, Unit, Zone};

fn day(number: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(number)
}

fn money(minor: i64, code: &str) -> Money {
    Money::from_minor(minor, code.parse::<Currency>().unwrap()).unwrap()
}

/// Days 0 to 9.
fn query(basis: Basis) -> ReportQuery {
    let periods = Periods::between((day(0), day(10)), Some(Unit::Day), Zone::UTC).unwrap();
    ReportQuery { zone: Zone::UTC, group_by: GroupBy::default(), periods, basis, currency: None }
}

fn fact(name: EventName, value: Option<Money>) -> Fact {
    Fact { name, value, differed: false }
}

fn refund(minor: i64) -> Fact {
    fact(EventName::Refund, Some(money(minor, "EUR")))
}

const WHOLE: Fact = Fact { name: EventName::Refund, value: None, differed: false };
const STATUS: Fact = Fact { name: EventName::StatusRefund, value: None, differed: false };
const CANCELLED: Fact = Fact { name: EventName::Cancellation, value: None, differed: false };
const REVERSED: Fact = Fact { name: EventName::Reversal, value: None, differed: false };

fn changes(basis: Basis, value: Money, sold_on: i64, facts: &[(Fact, i64)]) -> Vec<(usize, Change)> {
    let query = query(basis);
    let mut history = History::new(&query, Sale { at: day(sold_on), value, credit: Credit::default() });
    facts.iter().for_each(|(fact, on)| history.add(*fact, day(*on)));
    history.changes().collect()
}

/// A sale of 10.00 on day 2: (day, refunded, net, cancelled, reversed, refunds) each.
fn expect(facts: &[(Fact, i64)], expected: &[(usize, i128, i128, u64, u64, u64)]) {
    let found = changes(Basis::Event, money(1_000, "EUR"), 2, facts);
    let found: Vec<_> =
        found.iter().map(|(on, c)| (*on, c.refunded, c.net, c.cancelled, c.reversed, c.refunds)).collect();
    assert_eq!(found, expected, "{facts:?}");
}

#[test]
fn what_happens_to_an_order_counts_when_it_happens() {
    expect(&[], &[]);
    expect(&[(refund(400), 3)], &[(3, 400, -400, 0, 0, 1)]);
    expect(&[(refund(400), 3), (refund(100), 3)], &[(3, 500, -500, 0, 0, 2)]);
    expect(&[(CANCELLED, 5)], &[(5, 0, -1_000, 1, 0, 0)]);
    expect(&[(refund(400), 12)], &[]);
}

#[test]
fn what_lies_before_the_sale_takes_effect_with_it() {
    expect(&[(refund(400), 1), (CANCELLED, 0)], &[(2, 400, -1_000, 1, 0, 1)]);
    expect(&[(WHOLE, -5)], &[(2, 1_000, -1_000, 0, 0, 1)]);
}

#[test]
fn a_refund_without_a_value_gives_back_what_is_left() {
    expect(
        &[(refund(300), 3), (refund(200), 4), (WHOLE, 5)],
        &[(3, 300, -300, 0, 0, 1), (4, 200, -200, 0, 0, 1), (5, 500, -500, 0, 0, 1)],
    );
    expect(&[(WHOLE, 3), (refund(300), 4)], &[(3, 1_000, -1_000, 0, 0, 1), (4, 0, 0, 0, 0, 1)]);
}

#[test]
fn a_cancelled_or_reversed_order_has_nothing_left_to_lose() {
    expect(&[(CANCELLED, 3), (refund(400), 4)], &[(3, 0, -1_000, 1, 0, 0), (4, 400, 0, 0, 0, 1)]);
    expect(&[(refund(400), 3), (REVERSED, 4)], &[(3, 400, -400, 0, 0, 1), (4, 0, -600, 0, 1, 0)]);
    expect(&[(CANCELLED, 3), (REVERSED, 4)], &[(3, 0, -1_000, 1, 0, 0), (4, 0, 0, 0, 1, 0)]);
}

#[test]
fn more_given_back_than_sold_leaves_nothing_and_no_less() {
    expect(&[(refund(800), 3), (refund(800), 4)], &[(3, 800, -800, 0, 0, 1), (4, 800, -200, 0, 0, 1)]);
}

#[test]
fn a_status_refund_steps_back_when_a_value_is_told_and_counts_where_there_is_no_refund() {
    expect(&[(STATUS, 3)], &[(3, 1_000, -1_000, 0, 0, 1)]);
    // Everything is taken for given back until it is told how much.
    expect(&[(STATUS, 3), (refund(400), 5)], &[(3, 1_000, -1_000, 0, 0, 0), (5, -600, 600, 0, 0, 1)]);
    expect(&[(refund(400), 3), (STATUS, 5)], &[(3, 400, -400, 0, 0, 1)]);
    expect(&[(refund(0), 3), (STATUS, 5)], &[(3, 0, 0, 0, 0, 1), (5, 1_000, -1_000, 0, 0, 0)]);
}

#[test]
fn a_status_refunds_time_is_the_earliest_told() {
    assert_eq!(status_refund_at(day(5), None), day(5));
    assert_eq!(status_refund_at(day(5), Some(day(3))), day(3));
    assert_eq!(status_refund_at(day(5), Some(day(8))), day(8));
}

#[test]
fn a_refund_in_another_currency_is_counted_and_takes_nothing_back() {
    expect(&[(fact(EventName::Refund, Some(money(500, "JPY"))), 3)], &[(3, 0, 0, 0, 0, 1)]);
    for (code, minor) in [("JPY", 1_580), ("KWD", 1_234_567)] {
        let facts = [(fact(EventName::Refund, Some(money(minor, code))), 3)];
        let found = changes(Basis::Event, money(2 * minor, code), 2, &facts);
        let all = i128::from(minor);
        assert_eq!(found, [(3, Change { refunded: all, net: -all, refunds: 1, ..Change::default() })]);
    }
}

#[test]
fn a_sale_of_nothing_can_be_refunded() {
    let found = changes(Basis::Event, money(0, "EUR"), 2, &[(WHOLE, 3), (CANCELLED, 4)]);
    let counted =
        [(3, Change { refunds: 1, ..Change::default() }), (4, Change { cancelled: 1, ..Change::default() })];
    assert_eq!(found, counted);
}

#[test]
fn by_the_sale_everything_counts_with_the_sale_whenever_it_happens() {
    let facts = [(refund(400), 30), (CANCELLED, -1), (refund(100), 5)];
    let all = Change { refunded: 500, net: -1_000, cancelled: 1, refunds: 2, ..Change::default() };
    assert_eq!(changes(Basis::Sale, money(1_000, "EUR"), 2, &facts), [(2, all)]);
    assert_eq!(changes(Basis::Sale, money(1_000, "EUR"), 12, &facts), []);
}

fn any_fact() -> impl Strategy<Value = (Fact, i64)> {
    let value = prop_oneof![4 => Just("EUR"), 1 => Just("JPY")]
        .prop_flat_map(|code| (0..600i64).prop_map(move |minor| money(minor, code)));
    let name = proptest::sample::select(vec![
        EventName::Refund,
        EventName::Refund,
        EventName::Refund,
        EventName::StatusRefund,
        EventName::Cancellation,
        EventName::Reversal,
    ]);
    (name, proptest::option::weighted(0.8, value), -40..40i64).prop_map(|(name, value, quarter)| {
        let value = value.filter(|_| name == EventName::Refund);
        (fact(name, value), quarter)
    })
}

/// Quarters of days.
fn quarter(number: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::hours(6 * number)
}

/// The figures of what has taken effect before an instant.
fn figures_before(sale: &Sale, facts: &[(Fact, i64)], end: DateTime<Utc>) -> Option<Figures> {
    let told = fact(EventName::Sale, Some(sale.value));
    let done = facts.iter().filter(|(_, at)| quarter(*at).max(sale.at) < end).map(|(fact, _)| *fact);
    (sale.at < end).then(|| Ledger::of(done.chain([told])).figures())
}

proptest! {
    #[test]
    fn a_periods_change_is_the_difference_of_the_figures_at_its_ends(
        facts in proptest::collection::vec(any_fact(), 0..10),
        sold in 0..1_000i64,
        sold_at in -8..44i64,
    ) {
        let query = query(Basis::Event);
        let sale = Sale { at: quarter(sold_at), value: money(sold, "EUR"), credit: Credit::default() };
        let mut history = History::new(&query, sale);
        facts.iter().for_each(|(fact, at)| history.add(*fact, quarter(*at)));
        let found: BTreeMap<usize, Change> = history.changes().collect();
        for (number, (from, to)) in query.periods.iter().enumerate() {
            let minor = |end| figures_before(&sale, &facts, end).map_or((0, 0), |figures| {
                (figures.refunded.unwrap().minor, figures.net.unwrap().minor)
            });
            let (before, after) = (minor(from), minor(to));
            let whole = if (from..to).contains(&sale.at) { i128::from(sold) } else { 0 };
            let change = found.get(&number).copied().unwrap_or_default();
            prop_assert_eq!((change.refunded, change.net + whole), (after.0 - before.0, after.1 - before.1));
        }
    }

    #[test]
    fn both_bases_sum_to_the_orders_figures(
        facts in proptest::collection::vec(any_fact(), 0..10),
        sold in 0..1_000i64,
        sold_at in 0..40i64,
    ) {
        let sale = Sale { at: quarter(sold_at), value: money(sold, "EUR"), credit: Credit::default() };
        let told = fact(EventName::Sale, Some(sale.value));
        let figures = Ledger::of(facts.iter().map(|(fact, _)| *fact).chain([told])).figures();
        for basis in Basis::ALL {
            let query = query(basis);
            let mut history = History::new(&query, sale);
            facts.iter().for_each(|(fact, at)| history.add(*fact, quarter(*at)));
            let mut sum = Change::default();
            for (_, change) in history.changes() {
                sum.refunded += change.refunded;
                sum.net += change.net;
                sum.refunds += change.refunds;
            }
            prop_assert_eq!(sum.refunded, figures.refunded.unwrap().minor);
            prop_assert_eq!(sum.net + i128::from(sold), figures.net.unwrap().minor);
            let own = facts.iter().filter(|(fact, _)| fact.name == EventName::Refund).count();
            let status = facts.iter().any(|(fact, _)| fact.name == EventName::StatusRefund);
            let expected = if own == 0 { usize::from(status) } else { own };
            prop_assert_eq!(usize::try_from(sum.refunds).unwrap(), expected);
        }
    }
}
