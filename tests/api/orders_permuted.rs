//! An order is a function of the set of its events (contract section 10): histories made up by chance
//! are told to several merchants, each in another order, with other repeats, in other requests, by one
//! or two instances, and every merchant's orders must be those of a simple model, and its reports their sum.
//!
//! The histories are the same in every run. `CONVERSIOND_TEST_SEED=7` begins with another one and
//! `CONVERSIOND_TEST_ROUNDS=100` tells more of them; a failure names its seed.

mod delivery;
mod history;
mod model;
mod numbers;
mod reports;

use std::collections::BTreeSet;

use conversiond::domain::ids::{KeyKind, MerchantId};
use serde_json::{Value, json};

use crate::orders::figures;
use crate::orders_list::ids_of;
use crate::support::service::Setup;
use crate::support::{Backend, Caller, Service, on_both_databases};
use delivery::{Shop, link};
use history::Told;
use model::Model;
use numbers::Numbers;

const ORDERS: usize = 16;
const FIRST_SEED: u64 = 1;
const ROUNDS: u64 = 2;
const STATES: [&str; 6] =
    ["awaiting_sale", "reversed", "cancelled", "refunded", "partially_refunded", "open"];
const FLAGS: [&str; 3] = ["over_refunded", "currency_mismatch", "conflicting_repeat"];

/// The seeds of this run.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str, default| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")),
        Err(_) => default,
    };
    let first = number("CONVERSIOND_TEST_SEED", FIRST_SEED);
    first..first + number("CONVERSIOND_TEST_ROUNDS", ROUNDS)
}

/// The history of a seed.
fn history_of(seed: u64) -> Vec<Told> {
    history::of(ORDERS, &mut Numbers::of(seed, 0))
}

/// Merchants with a key each, a service that knows them, and on PostgreSQL a second one.
struct World {
    merchants: Vec<(MerchantId, Caller)>,
    services: Vec<Service>,
}

impl World {
    async fn start(backend: Backend, merchants: usize) -> Self {
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        let mut made = Vec::new();
        for _ in 0..merchants {
            let merchant = setup.merchant();
            made.push((merchant, setup.key(KeyKind::Live, Some(merchant))));
        }
        drop(setup);
        let mut services = vec![Service::start_with(database, "").await];
        if backend == Backend::Postgres {
            let second = services[0].another("").await;
            services.push(second);
        }
        Self { merchants: made, services }
    }

    /// The merchants, about to be told this.
    fn shops(&self, seed: u64, history: &[Told]) -> Vec<Shop> {
        let shop = |(part, (merchant, caller)): (u64, &(MerchantId, Caller))| {
            let at = |service: &Service| Caller { base: service.caller.base.clone(), ..caller.clone() };
            let instances = self.services.iter().map(at).collect();
            Shop::new(*merchant, instances, &self.services[0].tokens, history, Numbers::of(seed, part))
        };
        (1..).zip(&self.merchants).map(shop).collect()
    }
}

/// Compares every order and every list of them with the model.
async fn compare(caller: &Caller, model: &Model, context: &str) {
    for number in 0..ORDERS {
        let id = format!("O-{number}");
        let answer = caller.get(&format!("/api/v1/orders/{id}")).await;
        let Some(expected) = model.orders.get(&id) else {
            assert_eq!(
                answer.status, 404,
                "{context}: {id} has nothing that makes an order: {}",
                answer.text
            );
            continue;
        };
        let found = answer.json();
        assert_eq!(figures(&found), expected.figures(), "{context}: {found}");
        let credited = expected.sale().map(|_| expected.link.map(|link_id| link(link_id).to_string()));
        let attribution = match credited {
            None => Value::Null,
            Some(None) => json!(["unattributed", null]),
            Some(Some(url)) => json!(["attributed", url]),
        };
        let told = &found["attribution"];
        let told = if told.is_null() { Value::Null } else { json!([told["status"], told["url_id"]]) };
        assert_eq!(told, attribution, "{context}: {found}");
    }
    let states = STATES.map(|state| (format!("state={state}"), model.ids(|order| order.state() == state)));
    let flags = FLAGS.map(|flag| (format!("flag={flag}"), model.ids(|order| order.flags().contains(&flag))));
    let all = [(String::new(), model.ids(|_| true))];
    for (query, expected) in states.into_iter().chain(flags).chain(all) {
        let listed = ids_of(caller, &query, 3).await;
        let found: BTreeSet<String> = listed.iter().cloned().collect();
        assert_eq!((found.len(), &found), (listed.len(), &expected), "{context}: {query}");
    }
}

#[test]
fn the_histories_of_every_run_lead_to_every_state_and_flag() {
    let (mut states, mut flags, mut refused) = (BTreeSet::new(), BTreeSet::new(), 0);
    for seed in FIRST_SEED..FIRST_SEED + ROUNDS {
        let model = Model::of(&history_of(seed));
        states.extend(model.orders.values().map(model::Order::state));
        flags.extend(model.orders.values().flat_map(model::Order::flags));
        let contradicted = Model::of(&history::contradicted(ORDERS, &mut Numbers::of(seed, 0)));
        refused += contradicted.refused.len();
    }
    assert_eq!((states, flags), (STATES.into(), FLAGS.into()));
    assert!(refused > 0, "no refund needs an id");
}

on_both_databases! {
    async fn orders_are_the_same_whatever_order_their_events_come_in(backend: Backend) {
        for seed in seeds() {
            let history = history_of(seed);
            let world = World::start(backend, 3).await;
            let mut shops = world.shops(seed, &history);
            futures_util::future::join_all(shops.iter_mut().map(|shop| {
                let arrivals = shop.arrivals(&history);
                async move { shop.tell_at_once(&arrivals).await }
            })).await;
            let model = Model::of(&history);
            assert_eq!(model.refused, BTreeSet::new());
            for (number, shop) in shops.iter().enumerate() {
                let last = shop.instances.last().unwrap();
                compare(last, &model, &format!("seed {seed}, merchant {number}")).await;
            }
            reports::compare(&shops, &history, &model, &format!("seed {seed}")).await;
        }
    }

    async fn of_repeats_that_differ_the_first_stands_and_the_order_says_so_in_either_order(backend: Backend) {
        for seed in seeds() {
            let history = history::contradicted(ORDERS, &mut Numbers::of(seed, 0));
            let world = World::start(backend, 2).await;
            let mut shops = world.shops(seed, &history);
            let mut arrivals = shops[0].arrivals(&history);
            let mut conflicting = Vec::new();
            for (direction, shop) in ["forwards", "backwards"].into_iter().zip(&mut shops) {
                let context = format!("seed {seed}, {direction}");
                let words = shop.tell_in_order(&arrivals).await;
                let model = Model::of(arrivals.iter().map(|delivery| delivery.told));
                let refused = words.iter().enumerate().filter(|(_, word)| *word == "refund_id_required");
                assert_eq!(refused.map(|(place, _)| place).collect::<BTreeSet<_>>(), model.refused, "{context}");
                compare(&shop.instances[0], &model, &context).await;
                conflicting.push(model.ids(|order| order.flags().contains(&"conflicting_repeat")));
                arrivals.reverse();
            }
            assert!(conflicting[0].len() > 2, "seed {seed}: {conflicting:?}");
            assert_eq!(conflicting[0], conflicting[1], "seed {seed}");
        }
    }
}
