//! Merchants and their settings.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;

use super::schema::merchants;
use super::{AnyConnection, StoreError};
use crate::domain::ids::MerchantId;
use crate::domain::merchant::{AttributionWindow, Merchant, Plan};
use crate::domain::money::Currency;

/// A merchant as the operator sees it.
#[derive(Debug, Clone)]
pub struct Account {
    /// What its events are judged by.
    pub merchant: Merchant,
    /// What the operator calls it.
    pub name: String,
    /// Its rate-limit plan.
    pub plan: Plan,
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
    /// The order dialect's default currency.
    pub currency: Option<Currency>,
    /// Its attribution window, for events received from now on.
    pub attribution_window: Option<AttributionWindow>,
    /// Whether its callbacks are refused.
    pub suspended: Option<bool>,
}

impl Changes {
    /// Whether there is nothing to change.
    pub const fn is_empty(&self) -> bool {
        self.name.is_none()
            && self.plan.is_none()
            && self.currency.is_none()
            && self.attribution_window.is_none()
            && self.suspended.is_none()
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
}

#[derive(AsChangeset)]
#[diesel(table_name = merchants)]
struct ChangedColumns {
    name: Option<String>,
    currency: Option<&'static str>,
    attribution_window_days: Option<i32>,
    plan: Option<&'static str>,
    suspended: Option<bool>,
}

/// Adds a merchant.
pub fn create(connection: &mut AnyConnection, account: &Account) -> Result<(), StoreError> {
    let row = Row {
        merchant_id: account.merchant.id.to_string(),
        name: account.name.clone(),
        currency: account.merchant.currency.map(|currency| currency.code().to_owned()),
        attribution_window_days: account.merchant.attribution_window.days().into(),
        plan: account.plan.as_str().to_owned(),
        suspended: account.merchant.suspended,
        created_at: account.created_at.naive_utc(),
    };
    connection.write(|c| {
        diesel::insert_into(merchants::table).values(row).execute(c)?;
        Ok(())
    })
}

/// Changes a merchant. `false` = there is none of this id.
pub fn change(connection: &mut AnyConnection, id: MerchantId, changes: &Changes) -> Result<bool, StoreError> {
    let columns = ChangedColumns {
        name: changes.name.clone(),
        currency: changes.currency.map(Currency::code),
        attribution_window_days: changes.attribution_window.map(|window| window.days().into()),
        plan: changes.plan.map(Plan::as_str),
        suspended: changes.suspended,
    };
    let row = merchants::table.filter(merchants::merchant_id.eq(id.to_string()));
    connection.write(|c| Ok(diesel::update(row).set(columns).execute(c)? == 1))
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
        Some(Account {
            merchant: Merchant {
                id: self.merchant_id.parse().ok()?,
                currency,
                attribution_window: AttributionWindow::from_days(self.attribution_window_days.into()).ok()?,
                suspended: self.suspended,
            },
            name: self.name,
            plan: self.plan.parse().ok()?,
            created_at: self.created_at.and_utc(),
        })
    }
}
