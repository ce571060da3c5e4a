//! What a merchant has to tell of some orders, made up by chance.

use chrono::{DateTime, TimeDelta, Utc};

use super::numbers::Numbers;

/// The currencies, and how many decimals they have.
pub const CURRENCIES: [(&str, u32); 3] = [("EUR", 2), ("JPY", 0), ("KWD", 3)];

/// How many links the clicks are on.
pub const LINKS: usize = 3;

/// An amount in its currency's smallest unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    pub minor: i64,
    pub currency: &'static str,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A lead with an id of its own, or with the order's alone.
    Lead(Option<String>),
    Sale(Amount),
    Refund {
        id: Option<String>,
        value: Option<Amount>,
    },
    Cancellation,
    Reversal,
    /// The order came to a state.
    Status(&'static str),
}

/// Something to tell of an order. It may be told often, in other words, and always says the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its place in the history.
    pub number: usize,
    pub order: String,
    pub what: What,
    pub at: DateTime<Utc>,
    /// What stands in its metadata.
    pub note: Option<usize>,
    /// The link that its click was on; of sales and leads alone.
    pub link: Option<usize>,
}

/// An instant of November 2025.
pub fn november(day: usize, minute: usize) -> DateTime<Utc> {
    let first = DateTime::from_timestamp(1_761_955_200, 0).unwrap();
    first + TimeDelta::days(i64::try_from(day).unwrap()) + TimeDelta::minutes(i64::try_from(minute).unwrap())
}

/// A history of so many orders.
pub fn of(orders: usize, numbers: &mut Numbers) -> Vec<Told> {
    let mut maker = Maker { numbers, history: Vec::new(), order: String::new() };
    for order in 0..orders {
        maker.order = format!("O-{order}");
        maker.order();
    }
    maker.history
}

/// The same with contradictions: some of it once more, otherwise.
pub fn contradicted(orders: usize, numbers: &mut Numbers) -> Vec<Told> {
    let mut history = of(orders, numbers);
    for told in history.clone() {
        let may_differ = !matches!(told.what, What::Lead(_) | What::Status(_));
        if may_differ && numbers.one_in(2) {
            let number = history.len();
            history.push(Told { number, link: None, ..otherwise(told, numbers) });
        }
    }
    history
}

/// The same event with other content.
fn otherwise(mut told: Told, numbers: &mut Numbers) -> Told {
    let change = numbers.below(4);
    match (&mut told.what, change) {
        (What::Sale(value) | What::Refund { value: Some(value), .. }, 0) => value.minor += 1,
        (What::Sale(value) | What::Refund { value: Some(value), .. }, 1) => {
            let others = CURRENCIES.map(|(code, _)| code).into_iter().filter(|code| *code != value.currency);
            value.currency = numbers.pick(&others.collect::<Vec<_>>());
        }
        (_, 2) => told.note = Some(told.note.map_or(0, |note| note + 1)),
        _ => told.at += TimeDelta::seconds(1),
    }
    told
}

struct Maker<'a> {
    numbers: &'a mut Numbers,
    history: Vec<Told>,
    order: String,
}

impl Maker<'_> {
    fn tell(&mut self, what: What, at: DateTime<Utc>) {
        let may_have = matches!(what, What::Lead(_) | What::Sale(_));
        let link = (may_have && self.numbers.one_in(2)).then(|| self.numbers.below(LINKS));
        // A state has none, and the event that it may be must not contradict it.
        let noted = !matches!(what, What::Status(_) | What::Cancellation) && self.numbers.one_in(3);
        let note = noted.then(|| self.numbers.below(9));
        let (number, order) = (self.history.len(), self.order.clone());
        self.history.push(Told { number, order, what, at, note, link });
    }

    fn some_time(&mut self) -> DateTime<Utc> {
        november(self.numbers.below(30), self.numbers.below(24 * 60))
    }

    /// Everything of one order.
    fn order(&mut self) {
        let currency = self.numbers.pick(&CURRENCIES).0;
        let minor = if self.numbers.one_in(8) { 0 } else { self.some_minor() };
        let sold = Amount { minor, currency };
        if !self.numbers.one_in(6) {
            let at = self.some_time();
            self.tell(What::Sale(sold), at);
        }
        for (id, often) in [(Some(format!("L-{}", self.order)), 3), (None, 4)] {
            if self.numbers.one_in(often) {
                let at = self.some_time();
                self.tell(What::Lead(id), at);
            }
        }
        self.refunds(sold);
        self.endings();
    }

    fn some_minor(&mut self) -> i64 {
        1 + i64::try_from(self.numbers.below(20_000)).unwrap()
    }

    fn refunds(&mut self, sold: Amount) {
        let mut ids: Vec<_> = (0..self.numbers.below(4)).map(|n| Some(format!("R-{n}"))).collect();
        if self.numbers.one_in(3) {
            ids.push(None);
        }
        for id in ids {
            let whole = self.numbers.one_in(if id.is_none() { 2 } else { 8 });
            let minor = match self.numbers.below(5) {
                0 => 0,
                1 => sold.minor,
                2 => sold.minor / 2,
                3 => sold.minor / 5,
                _ => self.some_minor(),
            };
            let others = CURRENCIES.map(|(code, _)| code);
            let currency = if self.numbers.one_in(4) { self.numbers.pick(&others) } else { sold.currency };
            let value = (!whole).then_some(Amount { minor, currency });
            let at = self.some_time();
            self.tell(What::Refund { id, value }, at);
        }
    }

    /// What takes an order back as a whole, and its states.
    ///
    /// A cancelled order tells the time of its cancellation, a returned or refunded one that of its
    /// status refund; the first told stands. They lie within a day, so that no report by days can tell
    /// which came first.
    fn endings(&mut self) {
        let (cancelled, given_back) = (self.numbers.below(30), self.numbers.below(30));
        let minute = self.numbers.below(24 * 60);
        if self.numbers.one_in(5) {
            self.tell(What::Cancellation, november(cancelled, minute));
        }
        if self.numbers.one_in(6) {
            let at = self.some_time();
            self.tell(What::Reversal, at);
        }
        for _ in 0..self.numbers.below(4) {
            let status = self.numbers.pick(&[
                "returned",
                "refunded",
                "cancelled",
                "pending",
                "paid",
                "delivered",
                "commission_approved",
            ]);
            let minute = if self.numbers.one_in(2) { minute } else { self.numbers.below(24 * 60) };
            let at = match status {
                "cancelled" => november(cancelled, minute),
                "returned" | "refunded" => november(given_back, minute),
                _ => self.some_time(),
            };
            self.tell(What::Status(status), at);
        }
    }
}
