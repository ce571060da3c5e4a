//! What callers want recorded, and the requests that they make of it.

use std::sync::Arc;
use std::time::Duration;

use conversiond::domain::attempt::Attempt;
use conversiond::domain::attribution::TokenVerdict;
use conversiond::domain::event::{Outcome, ParseContext, Recording, parse};
use conversiond::domain::fingerprint::Fingerprint;
use conversiond::domain::ids::{AttemptId, EventId, KeyId, KeyKind, MerchantId};
use conversiond::domain::merchant::{Merchant, Mode};
use conversiond::domain::signature::{Form, IdempotencyKey};
use conversiond::domain::submission::{
    Claim, Content, Entry, EntryOutcome, Render, Row, RowContent, RowOutcome, StoredAnswer, Submission,
};
use conversiond::domain::time::{Clock as _, Entropy};
use fastrand::Rng;
use serde_json::json;
use uuid::Uuid;

use crate::disk::Identity;
use crate::stage::{SeededEntropy, StageClock};

/// Something that a caller will not rest over until it is recorded.
#[derive(Debug, Clone)]
pub struct Wish {
    pub merchant: usize,
    /// One order is one request; more are a bulk request.
    pub orders: Vec<String>,
    pub amount: u32,
    pub key: Option<String>,
    /// Whether another wish has the same key and other content.
    pub conflicts: bool,
}

impl Wish {
    /// Whether the database refuses it, and nobody else is to blame.
    pub fn is_poison(&self) -> bool {
        self.orders.iter().any(|order| order.starts_with("POISON"))
    }
}

/// The merchants of a run, and where requests get their ids from.
pub struct Shop {
    pub merchants: Vec<Arc<Merchant>>,
    pub clock: StageClock,
    pub entropy: SeededEntropy,
    key_id: KeyId,
}

impl Shop {
    pub fn new(merchants: usize, clock: StageClock, entropy: SeededEntropy) -> Self {
        let ids = (0..merchants).map(|_| MerchantId::generate(clock.now(), &entropy));
        let currency = "USD".parse().ok();
        let merchants = ids.map(|id| Arc::new(Merchant { currency, ..Merchant::new(id) })).collect();
        let key_id = KeyId::generate(KeyKind::Live, &entropy);
        Self { merchants, clock, entropy, key_id }
    }

    /// The lists of so many callers. Orders, and here and there whole wishes, are several callers'.
    pub fn wishes(&self, random: &mut Rng, callers: usize) -> Vec<Vec<Wish>> {
        let orders = random.usize(2..40);
        let (poison, bulk) = (random.bool(), random.bool());
        let mut lists: Vec<Vec<Wish>> = Vec::with_capacity(callers);
        for caller in 0..callers {
            let mut list = Vec::new();
            for number in 0..random.usize(1..10) {
                let from = random.usize(0..orders);
                let count = if bulk && random.u8(0..5) == 0 { random.usize(2..6) } else { 1 };
                let mut named: Vec<String> = (from..from + count).map(|n| format!("O-{n}")).collect();
                if poison && random.u8(0..12) == 0 {
                    let at = random.usize(0..count);
                    named[at] = format!("POISON-{from}");
                }
                let key = random.bool().then(|| format!("k-{caller}-{number}"));
                let wish = Wish {
                    merchant: random.usize(0..self.merchants.len()),
                    orders: named,
                    amount: random.u32(1..3),
                    key,
                    conflicts: false,
                };
                let known = lists.iter_mut().flatten().filter(|wish: &&mut Wish| wish.key.is_some());
                let mut known: Vec<&mut Wish> = known.collect();
                list.push(match random.choice(known.iter_mut()) {
                    // The same once more, as a gateway repeats it while the first attempt still runs.
                    Some(known) if random.u8(0..4) == 0 => known.clone(),
                    Some(known) if random.u8(0..20) == 0 => {
                        known.conflicts = true;
                        let (merchant, key) = (known.merchant, known.key.clone());
                        Wish { merchant, key, conflicts: true, ..wish }
                    }
                    _ => wish,
                });
            }
            lists.push(list);
        }
        // Whoever has such a key may be the one that comes second.
        let conflicting: Vec<(usize, Option<String>)> = lists
            .iter()
            .flatten()
            .filter(|wish| wish.conflicts)
            .map(|wish| (wish.merchant, wish.key.clone()))
            .collect();
        for wish in lists.iter_mut().flatten() {
            wish.conflicts |= wish.key.is_some() && conflicting.contains(&(wish.merchant, wish.key.clone()));
        }
        lists
    }

    /// What the database knows an order of this wish by.
    pub fn identity(&self, wish: &Wish, order: &str) -> Identity {
        (self.merchants[wish.merchant].id, order.to_owned())
    }

    /// A request, with ids of its own. One that comes late has been on its way for longer than its
    /// ids may be old.
    pub fn request(&self, wish: &Wish, is_late: bool) -> Submission {
        let merchant = &self.merchants[wish.merchant];
        let attempt_id = AttemptId::generate(self.clock.now(), &self.entropy);
        let key = wish.key.as_deref().map(|key| IdempotencyKey::parse(key).unwrap());
        let entries: Vec<Entry> = wish
            .orders
            .iter()
            .map(|order| self.recording(merchant, attempt_id, key.clone(), (order, wish.amount), is_late))
            .map(|recording| Entry { event: Some(recording), status: None })
            .collect();
        let whole = wish.orders.join(",") + &wish.amount.to_string();
        let fingerprint = Fingerprint::of_request("conversions", "application/json", None, whole.as_bytes());
        let content = match <[Entry; 1]>::try_from(entries) {
            Ok([entry]) => Content::One(entry),
            Err(entries) => Content::Bulk(
                entries
                    .into_iter()
                    .map(|entry| Row {
                        client_row_id: None,
                        content: RowContent::Entry { claim: None, entry },
                    })
                    .collect(),
            ),
        };
        Submission {
            merchant: merchant.id,
            mode: Mode::Live,
            attempt: self.attempt(attempt_id, merchant.id),
            claim: key.map(|key| Claim { key, fingerprint, id: attempt_id.to_string(), bound: true }),
            delivery: None,
            content: Arc::new(content),
            metered: false,
            render: Arc::new(Words),
        }
    }

    fn recording(
        &self,
        merchant: &Arc<Merchant>,
        attempt_id: AttemptId,
        idempotency_key: Option<IdempotencyKey>,
        (order, amount): (&str, u32),
        is_late: bool,
    ) -> Recording {
        let body = json!({"externalOrderId": order, "amount": amount}).to_string();
        let made_at = self.clock.now() - chrono::TimeDelta::seconds(if is_late { 100 } else { 0 });
        let context = ParseContext { now: self.clock.now(), default_currency: merchant.currency };
        Recording {
            event_id: EventId::generate(made_at, &self.entropy),
            attempt_id,
            merchant: merchant.clone(),
            mode: Mode::Live,
            key_id: self.key_id.clone(),
            form: Form::Plain,
            idempotency_key,
            token: TokenVerdict::None,
            callback: parse(body.as_bytes(), &context).unwrap(),
            body,
        }
    }

    fn attempt(&self, id: AttemptId, merchant: MerchantId) -> Attempt {
        Attempt {
            id,
            started_at: self.clock.now(),
            started: Duration::ZERO,
            endpoint: "conversions",
            request_id: "r".to_owned(),
            peer: None,
            key_id: None,
            merchant: Some(merchant),
            mode: Some(Mode::Live),
            body_sha256: None,
            body_bytes: 0,
            authenticated: true,
        }
    }

    /// A name that no other run of this seed's draws.
    pub fn fresh_order(&self) -> String {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        format!("PROBE-{}", Uuid::from_bytes(bytes))
    }
}

/// An answer says which events it is about.
struct Words;

/// The ids in a stored answer.
pub fn ids_in(answer: &StoredAnswer) -> Vec<String> {
    answer.body.split(' ').map(str::to_owned).collect()
}

fn id_of(outcome: &EntryOutcome) -> String {
    match &outcome.event {
        Some(Outcome::Accepted(event) | Outcome::Duplicate { original: event, .. }) => {
            event.event_id.to_string()
        }
        other => format!("{other:?}"),
    }
}

impl Render for Words {
    fn entry(&self, _: &Entry, outcome: &EntryOutcome) -> Option<StoredAnswer> {
        Some(StoredAnswer { status: 202, body: id_of(outcome) })
    }

    fn bulk(&self, _: &str, _: &[Row], outcomes: &[RowOutcome]) -> StoredAnswer {
        let ids = outcomes.iter().map(|outcome| match outcome {
            RowOutcome::Done(outcome) => id_of(outcome),
            other => format!("{other:?}"),
        });
        StoredAnswer { status: 200, body: ids.collect::<Vec<_>>().join(" ") }
    }
}
