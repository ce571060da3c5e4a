use proptest::prelude::*;

use super::*;

fn money(text: &str, code: &str) -> Option<Money> {
    Some(Money::parse(text, code.parse().unwrap()).unwrap())
}

fn fact(name: EventName, value: Option<Money>) -> Fact {
    Fact { name, value, differed: false }
}

fn sale(value: &str) -> Fact {
    fact(EventName::Sale, money(value, "EUR"))
}

fn refund(value: &str) -> Fact {
    fact(EventName::Refund, money(value, "EUR"))
}

const WHOLE: Fact = Fact { name: EventName::Refund, value: None, differed: false };
const STATUS: Fact = Fact { name: EventName::StatusRefund, value: None, differed: false };
const CANCELLED: Fact = Fact { name: EventName::Cancellation, value: None, differed: false };
const REVERSED: Fact = Fact { name: EventName::Reversal, value: None, differed: false };

/// sold, refunded, net, state, flags
fn figures(facts: &[Fact]) -> (String, String, String, &'static str, Vec<&'static str>) {
    let figures = Ledger::of(facts.iter().copied()).figures();
    let text = |total: Option<Total>| total.map_or("null".to_owned(), |total| total.to_string());
    let flags = figures.flags.iter().map(|flag| flag.as_str()).collect();
    (text(figures.sold), text(figures.refunded), text(figures.net), figures.state.as_str(), flags)
}

fn expect(
    facts: &[Fact],
    (sold, refunded, net): (&str, &str, &str),
    state: &'static str,
    flags: &[&'static str],
) {
    let expected = (sold.to_owned(), refunded.to_owned(), net.to_owned(), state, flags.to_vec());
    assert_eq!(figures(facts), expected, "{facts:?}");
}

#[test]
fn a_sale_alone_is_open() {
    expect(&[sale("10.00")], ("10.00", "0.00", "10.00"), "open", &[]);
    expect(&[sale("0")], ("0.00", "0.00", "0.00"), "open", &[]);
}

#[test]
fn refunds_with_a_value_add_up() {
    expect(&[sale("10"), refund("4")], ("10.00", "4.00", "6.00"), "partially_refunded", &[]);
    expect(&[sale("10"), refund("4"), refund("6")], ("10.00", "10.00", "0.00"), "refunded", &[]);
    expect(
        &[sale("10"), refund("4"), refund("7")],
        ("10.00", "11.00", "0.00"),
        "refunded",
        &["over_refunded"],
    );
    expect(&[sale("10"), refund("0")], ("10.00", "0.00", "10.00"), "open", &[]);
}

#[test]
fn a_refund_without_a_value_gives_everything_back_and_no_more() {
    expect(&[sale("10"), WHOLE], ("10.00", "10.00", "0.00"), "refunded", &[]);
    expect(&[sale("10"), refund("3"), refund("4"), WHOLE], ("10.00", "10.00", "0.00"), "refunded", &[]);
    expect(&[sale("10"), refund("12"), WHOLE], ("10.00", "12.00", "0.00"), "refunded", &["over_refunded"]);
}

#[test]
fn a_status_refund_counts_only_where_no_value_was_told() {
    expect(&[sale("10"), STATUS], ("10.00", "10.00", "0.00"), "refunded", &[]);
    expect(&[sale("10"), STATUS, refund("4")], ("10.00", "4.00", "6.00"), "partially_refunded", &[]);
    expect(&[sale("10"), STATUS, refund("0")], ("10.00", "10.00", "0.00"), "refunded", &[]);
    expect(&[sale("10"), STATUS, WHOLE], ("10.00", "10.00", "0.00"), "refunded", &[]);
}

#[test]
fn cancelled_and_reversed_orders_have_no_net_and_keep_their_figures() {
    expect(&[sale("10"), refund("4"), CANCELLED], ("10.00", "4.00", "0.00"), "cancelled", &[]);
    expect(&[sale("10"), CANCELLED, REVERSED], ("10.00", "0.00", "0.00"), "reversed", &[]);
}

#[test]
fn a_sale_of_nothing_is_refunded_only_by_a_refund() {
    expect(&[sale("0"), WHOLE], ("0.00", "0.00", "0.00"), "refunded", &[]);
    expect(&[sale("0"), refund("0")], ("0.00", "0.00", "0.00"), "refunded", &[]);
}

#[test]
fn a_refund_in_another_currency_enters_no_figure() {
    let facts = [sale("10"), fact(EventName::Refund, money("500", "JPY")), refund("1")];
    let found = Ledger::of(facts).figures();
    assert_eq!(found.refunded.unwrap().to_string(), "1.00");
    assert_eq!(found.flags, [Flag::CurrencyMismatch]);
    let others: Vec<_> = found.other_refunds.iter().map(|t| (t.to_string(), t.currency.code())).collect();
    assert_eq!(others, [("500".to_owned(), "JPY")]);
}

#[test]
fn without_a_sale_there_are_no_figures_and_every_refund_is_another() {
    let facts = [refund("2"), fact(EventName::Refund, money("1.500", "KWD")), CANCELLED, STATUS];
    expect(&facts, ("null", "null", "null"), "awaiting_sale", &[]);
    let others: Vec<_> = Ledger::of(facts).figures().other_refunds.iter().map(Total::to_string).collect();
    assert_eq!(others, ["2.00", "1.500"]);
}

#[test]
fn leads_alone_make_no_order() {
    let lead = Fact { name: EventName::Lead, value: None, differed: true };
    assert!(!Ledger::of([lead, lead]).is_order());
    assert!(Ledger::of([lead, CANCELLED]).is_order());
    expect(&[lead, sale("1")], ("1.00", "0.00", "1.00"), "open", &[]);
}

#[test]
fn a_conflicting_repeat_of_any_event_is_flagged() {
    let conflicting = Fact { differed: true, ..refund("1") };
    expect(
        &[sale("3"), conflicting],
        ("3.00", "1.00", "2.00"),
        "partially_refunded",
        &["conflicting_repeat"],
    );
    expect(&[conflicting], ("null", "null", "null"), "awaiting_sale", &["conflicting_repeat"]);
}

fn any_fact() -> impl Strategy<Value = Fact> {
    let value = prop_oneof![Just("EUR"), Just("JPY"), Just("KWD")]
        .prop_flat_map(|code| (0..=Money::MINOR_MAX).prop_map(move |minor| (minor, code)))
        .prop_map(|(minor, code)| Money::from_minor(minor, code.parse().unwrap()).unwrap());
    let name = proptest::sample::select(EventName::ALL.as_slice());
    (name, proptest::option::of(value), any::<bool>())
        .prop_filter_map("one sale", |(name, value, differed)| {
            (name != EventName::Sale).then_some(Fact { name, value, differed })
        })
}

proptest! {
    #[test]
    fn any_order_of_the_same_events_gives_the_same_figures(
        facts in proptest::collection::vec(any_fact(), 0..12),
        sold in proptest::option::of(0..=Money::MINOR_MAX),
        seed in any::<u64>(),
    ) {
        let mut facts = facts;
        facts.extend(sold.map(|minor| {
            fact(EventName::Sale, Some(Money::from_minor(minor, "EUR".parse().unwrap()).unwrap()))
        }));
        let before = Ledger::of(facts.iter().copied()).figures();
        let mut shuffled = facts;
        let mut state = seed | 1;
        for index in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(index, usize::try_from(state >> 33).unwrap() % (index + 1));
        }
        prop_assert_eq!(Ledger::of(shuffled).figures(), before);
    }

    #[test]
    fn net_is_between_nothing_and_what_was_sold(facts in proptest::collection::vec(any_fact(), 0..12), sold in 0..=Money::MINOR_MAX) {
        let sale = fact(EventName::Sale, Some(Money::from_minor(sold, "EUR".parse().unwrap()).unwrap()));
        let figures = Ledger::of(facts.into_iter().chain([sale])).figures();
        let net = figures.net.unwrap().minor;
        prop_assert!((0..=i128::from(sold)).contains(&net));
        prop_assert!(figures.refunded.unwrap().minor >= 0);
    }
}
