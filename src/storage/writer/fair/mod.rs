//! Start-time fair queueing: merchants take turns by rows, and each merchant's own order is kept.
//!
//! Each merchant has a first-in-first-out queue, and a start on a virtual axis that is counted in rows:
//! a submission of n rows moves its merchant's start by n. The earliest start comes next. So whatever one
//! merchant has waiting, another one's submission waits behind at most one of it. The structure knows
//! neither time nor threads; `queue` puts a lock around it.

mod batch;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use crate::domain::ids::MerchantId;
use crate::domain::share::Room;
use batch::Batch;

/// What a transaction costs beside its rows, in rows. The virtual axis moves by at least so much per
/// batch, so a merchant that has written a long bulk request is next after some small batches of others.
const TRANSACTION_ROWS: u64 = 64;

/// A submission of more rows is long: it holds up the others noticeably, so it opens a batch or waits.
const LONG_ROWS: usize = 128;

/// Merchants that wait for nothing are forgotten when there are twice as many as after the last time,
/// but not below this number.
const FORGET_FROM: usize = 64;

/// How much may be held, and how much makes a batch.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Rows that may wait.
    pub queue_rows: usize,
    /// Bytes that may be held, from the queue to the answer.
    pub queue_bytes: usize,
    /// Rows in one batch.
    pub batch_rows: usize,
    /// Bytes in one batch.
    pub batch_bytes: usize,
}

/// What a submission takes.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Whose it is.
    pub merchant: MerchantId,
    /// Its rows, at least 1.
    pub rows: usize,
    /// Its bytes.
    pub bytes: usize,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// All merchants together have too many rows waiting.
    Rows,
    /// All merchants together hold too many bytes.
    Bytes,
    /// The merchant has more rows waiting than it leaves free.
    MerchantRows,
    /// The merchant holds more bytes than it leaves free.
    MerchantBytes,
}

/// The queue.
pub struct FairQueue<T> {
    limits: Limits,
    members: HashMap<MerchantId, Member<T>>,
    /// One turn for each merchant that has something waiting, the earliest start on top.
    turns: BinaryHeap<Reverse<Turn>>,
    /// The virtual time.
    now: u64,
    /// How many turns there were: of two with one start the older comes first.
    turns_made: u64,
    rows: usize,
    bytes: usize,
    /// Whether the last batch held a long submission.
    after_long: bool,
    forget_at: usize,
}

/// What one merchant has in the queue.
struct Member<T> {
    waiting: VecDeque<(T, Load)>,
    rows: usize,
    bytes: usize,
    /// The earliest start of its next submission.
    start: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    start: u64,
    number: u64,
    merchant: MerchantId,
}

impl<T> FairQueue<T> {
    /// An empty queue.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            members: HashMap::new(),
            turns: BinaryHeap::new(),
            now: 0,
            turns_made: 0,
            rows: 0,
            bytes: 0,
            after_long: false,
            forget_at: FORGET_FROM,
        }
    }

    /// Rows that wait.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Merchants that have something waiting.
    pub fn merchants(&self) -> usize {
        self.turns.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Takes bytes that are held until they are released; returns how many. Nothing is queued.
    pub fn hold(&mut self, load: Load) -> Result<usize, Full> {
        // The largest submission must fit into the smallest queue: alone, then.
        let bytes = load.bytes.min(self.limits.queue_bytes);
        let own = self.members.get(&load.merchant).map_or(0, |member| member.bytes);
        match Room::of(own, self.bytes, bytes, self.limits.queue_bytes) {
            Room::Enough => {}
            Room::ShareUsed => return Err(Full::MerchantBytes),
            Room::None => return Err(Full::Bytes),
        }
        self.bytes += bytes;
        self.member(load.merchant).bytes += bytes;
        Ok(bytes)
    }

    /// Gives held bytes back.
    pub fn release(&mut self, merchant: MerchantId, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(member) = self.members.get_mut(&merchant) {
            member.bytes = member.bytes.saturating_sub(bytes);
            if member.is_idle(self.now) {
                self.members.remove(&merchant);
            }
        }
    }

    /// Queues a submission, which is made only when there is room for its rows and bytes. It is given
    /// how many bytes it holds.
    pub fn push(&mut self, load: Load, make: impl FnOnce(usize) -> T) -> Result<(), Full> {
        let own = self.members.get(&load.merchant).map_or(0, |member| member.rows);
        match Room::of(own, self.rows, load.rows, self.limits.queue_rows) {
            Room::Enough => {}
            Room::ShareUsed => return Err(Full::MerchantRows),
            Room::None => return Err(Full::Rows),
        }
        let bytes = self.hold(load)?;
        self.rows += load.rows;
        let now = self.now;
        let member = self.member(load.merchant);
        member.rows += load.rows;
        member.waiting.push_back((make(bytes), load));
        if member.waiting.len() == 1 {
            member.start = member.start.max(now);
            let start = member.start;
            self.add_turn(load.merchant, start);
        }
        Ok(())
    }

    /// The next batch, up to its limits; empty only if nothing waits.
    ///
    /// While several merchants have something waiting, one of them has at most one bulk request in a
    /// batch; a long one opens its batch, and none opens the batch after another long one if
    /// anything shorter waits. Single rows go along with a bulk request, beside its rows.
    pub fn take(&mut self) -> Vec<T> {
        let mut batch = Batch::new(self.limits);
        let mut passed = Vec::new();
        while !batch.is_full() {
            let Some(Reverse(turn)) = self.turns.pop() else { break };
            let is_alone = self.turns.is_empty() && passed.is_empty();
            let head = self.members.get(&turn.merchant).and_then(|member| member.waiting.front());
            let Some(load) = head.map(|(_, load)| *load) else { continue };
            let may_open = !(self.after_long && load.rows > LONG_ROWS);
            if batch.takes(load, is_alone, may_open || is_alone) {
                self.take_head(turn, &mut batch);
            } else {
                passed.push(Reverse(turn));
            }
        }
        self.turns.extend(passed);
        if batch.items.is_empty() {
            if self.turns.is_empty() {
                return batch.items;
            }
            // Only long ones wait.
            self.after_long = false;
            return self.take();
        }
        self.after_long = batch.has_long;
        self.pass_time(batch.last_start);
        self.forget();
        batch.items
    }

    /// Everything that waits.
    pub fn drain(&mut self) -> Vec<T> {
        let mut all = Vec::new();
        while let Some(Reverse(turn)) = self.turns.pop() {
            let Some(member) = self.members.get_mut(&turn.merchant) else { continue };
            member.rows = 0;
            all.extend(member.waiting.drain(..).map(|(item, _)| item));
        }
        self.rows = 0;
        all
    }

    fn take_head(&mut self, turn: Turn, batch: &mut Batch<T>) {
        let Some(member) = self.members.get_mut(&turn.merchant) else { return };
        let Some((item, load)) = member.waiting.pop_front() else { return };
        member.rows -= load.rows;
        self.rows -= load.rows;
        batch.last_start = batch.last_start.max(turn.start);
        batch.add(item, load);
        member.start = turn.start.saturating_add(u64::try_from(load.rows).unwrap_or(u64::MAX));
        if !member.waiting.is_empty() {
            let start = member.start;
            self.add_turn(turn.merchant, start);
        }
    }

    /// After a batch: the virtual time goes on, but never past who already waits. Whoever comes then
    /// starts at the earliest behind them.
    fn pass_time(&mut self, last_start: u64) {
        self.now = self.now.max(last_start);
        let later = self.now.saturating_add(TRANSACTION_ROWS);
        let earliest = self.turns.peek().map_or(later, |Reverse(turn)| turn.start);
        self.now = self.now.max(later.min(earliest));
    }

    fn add_turn(&mut self, merchant: MerchantId, start: u64) {
        self.turns_made += 1;
        self.turns.push(Reverse(Turn { start, number: self.turns_made, merchant }));
    }

    fn member(&mut self, merchant: MerchantId) -> &mut Member<T> {
        self.members.entry(merchant).or_insert_with(|| Member {
            waiting: VecDeque::new(),
            rows: 0,
            bytes: 0,
            start: 0,
        })
    }

    /// Who holds nothing is remembered only while its last submission still puts it behind others.
    fn forget(&mut self) {
        if self.members.len() >= self.forget_at {
            let now = self.now;
            self.members.retain(|_, member| !member.is_idle(now));
            self.forget_at = FORGET_FROM.max(2 * self.members.len());
        }
    }
}

impl<T> Member<T> {
    fn is_idle(&self, now: u64) -> bool {
        self.waiting.is_empty() && self.bytes == 0 && self.start <= now
    }
}
