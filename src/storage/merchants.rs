//! Merchants and their settings.

use std::num::NonZeroU64;

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;

use super::schema::merchants;
use super::{AnyConnection, StoreError, keys};
use crate::domain::ids::MerchantId;
use crate::domain::merchant::{AttributionWindow, Merchant, Plan};
use crate::domain::money::Currency;
use crate::domain::quota::Quota;
use crate::domain::rate_limit::RateLimit;
use crate::domain::vault::MasterKeyRing;

/// A merchant as the operator sees it.
#[derive(Debug, Clone)]
pub struct Account {
    /// What its events are judged by.
    pub merchant: Merchant,
    /// What the operator calls it.
    pub name: String,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
}

/// Settings to change; `None` = leave as it is.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// What the operator calls it.
    pub name: Option<String>,
    /// Its rate-limit plan.
    pub plan: Option<Plan>,
    /// Its own rate limit; `Some(None)` = its plan's from now on.
    pub own_limit: Option<Option<RateLimit>>,
    /// The same of bulk requests' rows.
    pub own_row_limit: Option<Option<RateLimit>>,
    /// How many rows it may write per day; `Some(None)` = any number from now on.
    pub quota_rows: Option<Option<NonZeroU64>>,
    /// The same of bytes.
    pub quota_bytes: Option<Option<NonZeroU64>>,
    /// The order dialect's default currency.
    pub currency: Option<Currency>,
    /// Its attribution window, for events received from now on.
    pub attribution_window: Option<AttributionWindow>,
    /// Whether its callbacks are refused.
    pub suspended: Option<bool>,
    /// Whether its keys take the bound form of signature alone.
    pub require_v2: Option<bool>,
}

impl Changes {
    /// Whether there is nothing to change.
    pub const fn is_empty(&self) -> bool {
        self.name.is_none()
            && self.plan.is_none()
            && self.own_limit.is_none()
            && self.own_row_limit.is_none()
            && self.quota_rows.is_none()
            && self.quota_bytes.is_none()
            && self.currency.is_none()
            && self.attribution_window.is_none()
            && self.suspended.is_none()
            && self.require_v2.is_none()
    }
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = merchants, treat_none_as_default_value = false)]
struct Row {
    merchant_id: String,
    name: String,
    currency: Option<String>,
    attribution_window_days: i32,
    plan: String,
    suspended: bool,
    created_at: NaiveDateTime,
    rate_per_s: Option<i32>,
    burst: Option<i32>,
    require_v2: bool,
    rows_per_s: Option<i32>,
    quota_rows: Option<i64>,
    quota_bytes: Option<i64>,
}

#[derive(AsChangeset)]
#[diesel(table_name = merchants)]
struct ChangedColumns {
    name: Option<String>,
    currency: Option<&'static str>,
    attribution_window_days: Option<i32>,
    plan: Option<&'static str>,
    suspended: Option<bool>,
    // Some(None) writes NULL.
    rate_per_s: Option<Option<i32>>,
    burst: Option<Option<i32>>,
    require_v2: Option<bool>,
    rows_per_s: Option<Option<i32>>,
    quota_rows: Option<Option<i64>>,
    quota_bytes: Option<Option<i64>>,
}

/// Adds a merchant.
pub fn create(connection: &mut AnyConnection, account: &Account) -> Result<(), StoreError> {
    let row = Row {
        merchant_id: account.merchant.id.to_string(),
        name: account.name.clone(),
        currency: account.merchant.currency.map(|currency| currency.code().to_owned()),
        attribution_window_days: account.merchant.attribution_window.days().into(),
        plan: account.merchant.plan.as_str().to_owned(),
        suspended: account.merchant.suspended,
        created_at: account.created_at.naive_utc(),
        rate_per_s: account.merchant.own_limit.map(|limit| column(limit.rate_per_s())),
        burst: account.merchant.own_limit.map(|limit| column(limit.burst())),
        require_v2: account.merchant.require_v2,
        rows_per_s: account.merchant.own_row_limit.map(|limit| column(limit.rate_per_s())),
        quota_rows: account.merchant.quota.rows.map(wide_column),
        quota_bytes: account.merchant.quota.bytes.map(wide_column),
    };
    connection.write(|c| {
        diesel::insert_into(merchants::table).values(row).execute(c)?;
        Ok(())
    })
}

/// Changes a merchant. `false` = there is none of this id.
///
/// Whether a merchant is suspended is covered by the tags of its keys, so that changing it needs the
/// master key.
pub fn change(
    connection: &mut AnyConnection,
    ring: Option<&MasterKeyRing>,
    id: MerchantId,
    changes: &Changes,
) -> Result<bool, StoreError> {
    let columns = ChangedColumns {
        name: changes.name.clone(),
        currency: changes.currency.map(Currency::code),
        attribution_window_days: changes.attribution_window.map(|window| window.days().into()),
        plan: changes.plan.map(Plan::as_str),
        suspended: changes.suspended,
        rate_per_s: changes.own_limit.map(|own| own.map(|limit| column(limit.rate_per_s()))),
        burst: changes.own_limit.map(|own| own.map(|limit| column(limit.burst()))),
        require_v2: changes.require_v2,
        rows_per_s: changes.own_row_limit.map(|own| own.map(|limit| column(limit.rate_per_s()))),
        quota_rows: changes.quota_rows.map(|quota| quota.map(wide_column)),
        quota_bytes: changes.quota_bytes.map(|quota| quota.map(wide_column)),
    };
    let row = merchants::table.filter(merchants::merchant_id.eq(id.to_string()));
    connection.write(|c| {
        if diesel::update(row).set(columns).execute(c)? != 1 {
            return Ok(false);
        }
        if changes.suspended.is_some() {
            let ring = ring.ok_or_else(|| StoreError::Unusable("no master key".to_owned()))?;
            keys::lock_and_prove_of(c, ring, id)?;
            keys::retag_of(c, ring, id)?;
        }
        Ok(true)
    })
}

/// All merchants, oldest first.
pub fn all(connection: &mut AnyConnection) -> Result<Vec<Account>, StoreError> {
    let rows: Vec<Row> =
        merchants::table.order(merchants::merchant_id).select(Row::as_select()).load(connection)?;
    rows.into_iter().map(Row::into_account).collect()
}

/// One merchant.
pub fn find(connection: &mut AnyConnection, id: MerchantId) -> Result<Option<Account>, StoreError> {
    let row: Option<Row> = merchants::table
        .filter(merchants::merchant_id.eq(id.to_string()))
        .select(Row::as_select())
        .first(connection)
        .optional()?;
    row.map(Row::into_account).transpose()
}

/// A number of a limit as its column holds it, which is wider than what may be set.
fn column(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn wide_column(number: NonZeroU64) -> i64 {
    i64::try_from(number.get()).unwrap_or(i64::MAX)
}

impl Row {
    fn into_account(self) -> Result<Account, StoreError> {
        let id = self.merchant_id.clone();
        self.read()
            .ok_or_else(|| StoreError::Unusable(format!("merchant {id} in the database is not readable")))
    }

    fn read(self) -> Option<Account> {
        let currency = match self.currency {
            Some(code) => Some(code.parse().ok()?),
            None => None,
        };
        let rate_per_s = u32::try_from(self.rate_per_s.unwrap_or(0)).ok()?;
        let burst = u32::try_from(self.burst.unwrap_or(0)).ok()?;
        let rows_per_s = u32::try_from(self.rows_per_s.unwrap_or(0)).ok()?;
        let quota = |column: Option<i64>| u64::try_from(column.unwrap_or(0)).ok().map(NonZeroU64::new);
        let quota = Quota { rows: quota(self.quota_rows)?, bytes: quota(self.quota_bytes)? };
        Some(Account {
            merchant: Merchant {
                id: self.merchant_id.parse().ok()?,
                currency,
                attribution_window: AttributionWindow::from_days(self.attribution_window_days.into()).ok()?,
                suspended: self.suspended,
                require_v2: self.require_v2,
                plan: self.plan.parse().ok()?,
                own_limit: RateLimit::of(rate_per_s, burst),
                own_row_limit: RateLimit::of_rows(rows_per_s),
                quota,
                usage: None,
            },
            name: self.name,
            created_at: self.created_at.and_utc(),
        })
    }
}
