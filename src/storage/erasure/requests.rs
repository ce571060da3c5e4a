//! Which requests were about the order: their lines in the journal and their keys are copies of it.
//!
//! A request is about it if it brought one of its events or statuses, if a line of it names the order, if
//! the answer stored under its key tells of the order, or if its body was the same as one of these: so
//! a bulk request that was sent again is found, whose rows are journaled only where they are refused.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::connection::Connection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};

use super::Order;
use super::find::Recorded;
use crate::domain::attempt::AttemptOutcome;
use crate::domain::ids::{AttemptId, MerchantId};
use crate::domain::merchant::Mode;
use crate::storage::attempts::{self as journal, Filter};
use crate::storage::schema::{attempts, idempotency_keys};
use crate::storage::{AnyConnection, Page, Scan, StoreError};

/// Lines of the journal, and keys, gone through in one look; and refused lines read in one.
const LINES: i64 = 5_000;
const KEYS: i64 = 1_000;
const REFUSED: i64 = 500;

/// Values in one list of a statement.
const VALUES: usize = 500;

/// How long before what it brought was recorded a request may have begun, and how far clocks may differ.
const LAG_MAX: TimeDelta = TimeDelta::hours(1);

/// Their ids.
#[derive(Debug, Default)]
pub struct Requests {
    /// The merchant's, as the journal has it.
    merchant: String,
    /// To which a column of the order's own leads.
    by_order: BTreeSet<String>,
    /// To which only a key leads, or a digest.
    by_copy: BTreeSet<String>,
}

/// An idempotency key and the claim that has it.
#[derive(Debug)]
pub struct Key {
    pub mode: Mode,
    pub key: String,
    pub claimed_by: String,
}

impl Requests {
    /// Those that brought what is recorded.
    pub fn of(order: &Order<'_>, found: &Recorded) -> Self {
        let of_events = found.events.iter().filter_map(|event| event.attempt.clone());
        let by_order = of_events.chain(found.statuses.iter().map(|status| status.attempt.clone())).collect();
        Self { merchant: order.merchant.to_string(), by_order, ..Self::default() }
    }

    /// Whether none is known to be the merchant's.
    pub fn is_empty(&self) -> bool {
        self.by_order.is_empty()
    }

    /// With their owner, those first that would not be found again without the others.
    pub fn in_order(&self) -> impl Iterator<Item = (&str, &str)> {
        let owned = |id| (self.merchant.as_str(), String::as_str(id));
        self.by_copy.difference(&self.by_order).map(owned).chain(self.by_order.iter().map(owned))
    }

    /// Adds refused ones that name the order, to which an index leads.
    pub fn add_refused(
        &mut self,
        connection: &mut AnyConnection,
        order: &Order<'_>,
    ) -> Result<(), StoreError> {
        for mode in order.modes.iter().copied() {
            let found = all_of(connection, Some(order.merchant), &refused(order, Some(mode)))?;
            self.by_order.extend(found);
        }
        Ok(())
    }

    /// Finds the keys under which an answer about the order is stored, and adds their requests. A whole
    /// bulk request's answer has every row; a row's key tells of this row alone.
    pub fn add_by_keys(
        &mut self,
        connection: &mut AnyConnection,
        order: &Order<'_>,
    ) -> Result<Vec<Key>, StoreError> {
        let named = serde_json::to_string(order.order).unwrap_or_default();
        let told = format!("\"order_id\":{named}");
        let mut keys = Vec::new();
        for mode in order.modes.iter().copied() {
            let mut from = String::new();
            loop {
                let end = connection.read(|c| {
                    let end = end_of_keys(c, (&self.merchant, mode), &from)?;
                    let found = self.keys_between(c, mode, (&from, end.as_deref()), &told)?;
                    keys.extend(found.into_iter().map(|(key, claimed_by)| Key { mode, key, claimed_by }));
                    Ok::<_, StoreError>(end)
                })?;
                let Some(end) = end else { break };
                from = end;
            }
        }
        let claims = keys.iter().filter_map(|key| key.claimed_by.split('/').next());
        self.by_copy.extend(claims.map(str::to_owned));
        Ok(keys)
    }

    fn keys_between(
        &self,
        connection: &mut AnyConnection,
        mode: Mode,
        (from, end): (&str, Option<&str>),
        told: &str,
    ) -> Result<BTreeSet<(String, String)>, StoreError> {
        let place = match connection {
            AnyConnection::Postgres(_) => "strpos(body, ",
            AnyConnection::Sqlite(_) => "instr(body, ",
        };
        let range = || {
            let mut query = idempotency_keys::table
                .filter(idempotency_keys::merchant_id.eq(&self.merchant))
                .filter(idempotency_keys::mode.eq(mode.as_str()))
                .filter(idempotency_keys::idempotency_key.gt(from))
                .select((idempotency_keys::idempotency_key, idempotency_keys::claimed_by))
                .into_boxed();
            if let Some(end) = end {
                query = query.filter(idempotency_keys::idempotency_key.le(end));
            }
            query
        };
        let telling = range().filter(sql::<Bool>(place).bind::<Text, _>(told).sql(") > 0"));
        let mut found: BTreeSet<(String, String)> = telling.load(connection)?.into_iter().collect();
        let ids: Vec<&String> = self.by_order.iter().collect();
        for ids in ids.chunks(VALUES) {
            let claimed = range().filter(idempotency_keys::claimed_by.eq_any(ids.iter().copied()));
            found.extend(claimed.load::<(String, String)>(connection)?);
        }
        Ok(found)
    }

    /// Goes through the merchant's journal since the first of it was recorded, and adds those that name
    /// the order, or had the same body as one of those found.
    pub fn add_by_journal(
        &mut self,
        connection: &mut AnyConnection,
        order: &Order<'_>,
        since: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        // Without anything recorded there are refused ones alone.
        let Some(since) = since else { return Ok(()) };
        let digests: Vec<String> = self.digests(connection)?.into_iter().collect();
        let modes: Vec<&str> = order.modes.iter().map(|mode| mode.as_str()).collect();
        let until = AttemptId::first_at(now + LAG_MAX).to_string();
        let mut from = AttemptId::first_at(since - LAG_MAX).to_string();
        loop {
            let (by_order, by_copy, end) = connection.read(|c| {
                let end = self.end_of_lines(c, &from)?;
                let range = (from.as_str(), end.as_deref().unwrap_or(&until));
                let by_order: Vec<String> =
                    self.lines(range, &modes).filter(attempts::order_id.eq(order.order)).load(c)?;
                let mut by_copy: Vec<String> = Vec::new();
                for some in digests.chunks(VALUES) {
                    by_copy.extend(
                        self.lines(range, &modes)
                            .filter(attempts::body_sha256.eq_any(some))
                            .load::<String>(c)?,
                    );
                }
                Ok::<_, StoreError>((by_order, by_copy, end))
            })?;
            self.by_order.extend(by_order);
            self.by_copy.extend(by_copy);
            match end {
                Some(end) if end < until => from = end,
                _ => return Ok(()),
            }
        }
    }

    fn lines<'a>(
        &'a self,
        (from, to): (&'a str, &'a str),
        modes: &'a [&'a str],
    ) -> attempts::BoxedQuery<'a, <AnyConnection as Connection>::Backend, Text> {
        attempts::table
            .filter(attempts::merchant_id.eq(&self.merchant))
            .filter(attempts::attempt_id.gt(from))
            .filter(attempts::attempt_id.le(to))
            .filter(attempts::mode.eq_any(modes.iter().copied()))
            .select(attempts::attempt_id)
            .into_boxed()
    }

    /// The last request of the next lines; `None` = these are the last.
    fn end_of_lines(&self, connection: &mut AnyConnection, from: &str) -> Result<Option<String>, StoreError> {
        Ok(attempts::table
            .filter(attempts::merchant_id.eq(&self.merchant))
            .filter(attempts::attempt_id.gt(from))
            .order((attempts::attempt_id, attempts::bulk_row))
            .offset(LINES - 1)
            .limit(1)
            .select(attempts::attempt_id)
            .first(connection)
            .optional()?)
    }

    /// What the bodies of those found were, as far as their lines still say.
    fn digests(&self, connection: &mut AnyConnection) -> Result<BTreeSet<String>, StoreError> {
        let ids: Vec<&String> = self.by_order.union(&self.by_copy).collect();
        let mut digests = BTreeSet::new();
        for ids in ids.chunks(VALUES) {
            let found: Vec<Option<String>> = attempts::table
                .filter(attempts::merchant_id.eq(&self.merchant))
                .filter(attempts::attempt_id.eq_any(ids.iter().copied()))
                .select(attempts::body_sha256)
                .load(connection)?;
            digests.extend(found.into_iter().flatten());
        }
        Ok(digests)
    }
}

/// The refused ones that name the order.
fn refused(order: &Order<'_>, mode: Option<Mode>) -> Filter {
    Filter {
        mode,
        outcome: Some(AttemptOutcome::Refused),
        order_id: Some(order.order.to_owned()),
        ..Filter::default()
    }
}

/// The last of the next keys; `None` = these are the last.
fn end_of_keys(
    connection: &mut AnyConnection,
    (merchant, mode): (&str, Mode),
    from: &str,
) -> Result<Option<String>, StoreError> {
    Ok(idempotency_keys::table
        .filter(idempotency_keys::merchant_id.eq(merchant))
        .filter(idempotency_keys::mode.eq(mode.as_str()))
        .filter(idempotency_keys::idempotency_key.gt(from))
        .order(idempotency_keys::idempotency_key)
        .offset(KEYS - 1)
        .limit(1)
        .select(idempotency_keys::idempotency_key)
        .first(connection)
        .optional()?)
}

/// Every attempt that a filter lets through; read a page at a time.
fn all_of(
    connection: &mut AnyConnection,
    owner: Option<MerchantId>,
    filter: &Filter,
) -> Result<BTreeSet<String>, StoreError> {
    let (mut all, mut before) = (BTreeSet::new(), None);
    loop {
        let page = Page { before, limit: REFUSED };
        let Scan { found, stopped_at } = connection.read(|c| journal::list(c, owner, filter, page))?;
        let is_full = i64::try_from(found.len()).is_ok_and(|count| count >= REFUSED);
        before = if is_full { found.last().map(|line| line.place) } else { stopped_at };
        all.extend(found.into_iter().map(|line| line.place.attempt.to_string()));
        if before.is_none() {
            return Ok(all);
        }
    }
}
