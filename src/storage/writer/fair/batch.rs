//! A batch that is being put together, and what may be in it.

use super::{LONG_ROWS, Limits, Load};
use crate::domain::ids::MerchantId;

/// A batch that is being put together.
pub struct Batch<T> {
    limits: Limits,
    /// What is in it.
    pub items: Vec<T>,
    rows: usize,
    bytes: usize,
    /// The rows of the bulk request that opened it.
    opened_by: usize,
    /// Whose everything in it is; `None` = nobody's, or several merchants'.
    sole: Option<MerchantId>,
    /// Whose bulk requests are in it.
    bulk: Vec<MerchantId>,
    /// Whether one of them is long.
    pub has_long: bool,
    /// The latest start in it.
    pub last_start: u64,
}

impl<T> Batch<T> {
    /// An empty one.
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            items: Vec::new(),
            rows: 0,
            bytes: 0,
            opened_by: 0,
            sole: None,
            bulk: Vec::new(),
            has_long: false,
            last_start: 0,
        }
    }

    /// Whether nothing more is to be looked at.
    pub const fn is_full(&self) -> bool {
        self.rows - self.opened_by >= self.limits.batch_rows || self.bytes >= self.limits.batch_bytes
    }

    /// Whether a submission may be added; `is_alone` = no other merchant waits.
    pub fn takes(&self, load: Load, is_alone: bool, may_open: bool) -> bool {
        if self.items.is_empty() {
            return may_open;
        }
        if load.rows == 1 {
            return true;
        }
        if is_alone && self.sole == Some(load.merchant) {
            return self.rows < self.limits.batch_rows;
        }
        load.rows <= LONG_ROWS
            && self.rows + load.rows <= self.limits.batch_rows
            && !self.bulk.contains(&load.merchant)
    }

    /// Adds a submission.
    pub fn add(&mut self, item: T, load: Load) {
        if self.items.is_empty() {
            self.sole = Some(load.merchant);
            self.opened_by = if load.rows > 1 { load.rows } else { 0 };
        } else if self.sole != Some(load.merchant) {
            self.sole = None;
        }
        if load.rows > 1 {
            self.bulk.push(load.merchant);
        }
        self.has_long |= load.rows > LONG_ROWS;
        self.rows += load.rows;
        self.bytes += load.bytes;
        self.items.push(item);
    }
}
