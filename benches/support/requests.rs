//! Signed requests as bytes, made before anything is measured.

use std::fmt::Write as _;

use conversiond::domain::ids::ClickId;
use conversiond::domain::signature::{Covered, Form, sign};
use conversiond::domain::time::Clock as _;
use conversiond::system::{SystemClock, SystemEntropy};
use uuid::Uuid;

use super::cast::{Cast, Member};

/// Requests, one behind the other.
pub struct Requests {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// How many events each of them reports.
    pub events_each: usize,
    /// The status that each of them must be answered with.
    pub status: &'static str,
}

/// How order ids follow each other.
#[derive(Debug, Clone, Copy)]
pub enum Orders {
    /// Each is above those before, from this number on: shops count their orders.
    From(usize),
    /// Anywhere among so many older ones: shops make them up.
    Among(usize),
}

/// What is unusual about sales.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Nothing.
    Plain,
    /// Each has an idempotency key.
    Keyed,
    /// Each has a wrong signature.
    Forged,
}

impl Requests {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of one.
    pub fn get(&self, number: usize) -> &[u8] {
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.bytes[start..self.ends[number]]
    }

    /// Sales of so many of the merchants in turn, each with a valid click token.
    pub fn sales(cast: &Cast, merchants: usize, count: usize, orders: Orders, manner: Manner) -> Self {
        let members = &cast.members[..merchants];
        let mut requests = Self::none(1, if manner == Manner::Forged { "401" } else { "202" });
        let mut body = String::new();
        let mut random = fastrand::Rng::with_seed(7);
        for number in 0..count {
            let member = &members[number % members.len()];
            body.clear();
            sale(&mut body, cast, member, &order(number, orders, &mut random));
            let key = if manner == Manner::Keyed { format!("key-{number:012}") } else { String::new() };
            requests.push(member, "/api/v1/conversions", &key, &body, manner == Manner::Forged);
        }
        requests
    }

    /// Bulk requests of so many sales each.
    pub fn bulk(cast: &Cast, count: usize, rows: usize) -> Self {
        let mut requests = Self::none(rows, "200");
        let mut body = String::new();
        let mut random = fastrand::Rng::with_seed(7);
        for number in 0..count {
            let member = &cast.members[number % cast.members.len()];
            body.clear();
            body.push_str("{\"rows\":[");
            for row in 0..rows {
                if row > 0 {
                    body.push(',');
                }
                sale(&mut body, cast, member, &order(number * rows + row, Orders::From(0), &mut random));
            }
            body.push_str("]}");
            requests.push(member, "/api/v1/conversions/bulk", "", &body, false);
        }
        requests
    }

    fn none(events_each: usize, status: &'static str) -> Self {
        Self { bytes: Vec::new(), ends: Vec::new(), events_each, status }
    }

    fn push(&mut self, member: &Member, target: &str, key: &str, body: &str, forged: bool) {
        let covered = Covered {
            method: "POST",
            target,
            idempotency_key: key,
            external_event_id: "",
            body: body.as_bytes(),
        };
        let mut head = format!("POST {target} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n");
        let now = SystemClock.now().timestamp();
        for (name, mut value) in sign(Form::Plain, member.key_id.as_str(), &member.secret, now, "", &covered)
        {
            if forged && name == "X-Signature" {
                value = format!("v1={}", "0123456789abcdef".repeat(4));
            }
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if !key.is_empty() {
            let _ = write!(head, "Idempotency-Key: {key}\r\n");
        }
        let _ = write!(head, "Content-Length: {}\r\n\r\n", body.len());
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(body.as_bytes());
        self.ends.push(self.bytes.len());
    }
}

fn order(number: usize, orders: Orders, random: &mut fastrand::Rng) -> String {
    match orders {
        Orders::From(first) => order_id(first + number),
        Orders::Among(older) => format!("{}-{number}", order_id(random.usize(0..older.max(1)))),
    }
}

/// The id of the order of this number.
pub fn order_id(number: usize) -> String {
    format!("ORD-{number:012}")
}

fn sale(body: &mut String, cast: &Cast, member: &Member, order: &str) {
    let click = ClickId::generate(SystemClock.now(), &SystemEntropy);
    let link = Uuid::from_u128(7);
    let token = cast.tokens.mint(member.id, link, link, click).expect("a token");
    let _ = write!(
        body,
        "{{\"event_name\":\"sale\",\"nim_ct\":\"{token}\",\"custom_data\":{{\"order_id\":\"{order}\",\
         \"value\":\"129.90\",\"currency\":\"USD\"}}}}"
    );
}
