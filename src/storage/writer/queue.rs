//! A lane's queue: merchants in turn, bounded, between many callers and one thread.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::gauge::Gauge;

use super::fair::{FairQueue, Full, Limits, Load};
use super::{Pending, StoreError};
use crate::domain::ids::MerchantId;
use crate::domain::submission::Submission;
use crate::telemetry::{LaneLabels, RefusedLabels, WriterMetrics};

/// The end into which callers put submissions. The queue ends with it.
pub struct Sender(Arc<Shared>);

/// The end from which the lane's thread takes batches. What waits is dropped with it.
pub struct LaneQueue(Arc<Shared>);

/// A submission's bytes, given back when it is answered.
pub struct Held {
    shared: Arc<Shared>,
    merchant: MerchantId,
    bytes: usize,
}

/// What there is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// Something waits.
    Something,
    /// Nothing yet.
    Nothing,
    /// Nothing, and no caller is left.
    Never,
}

struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
    metrics: WriterMetrics,
    waiting_merchants: Gauge,
}

struct State {
    queue: FairQueue<Pending>,
    senders_gone: bool,
    receiver_gone: bool,
    /// Whether the thread waits to be woken.
    is_asleep: bool,
}

/// The queue of the lane of this number.
pub fn queue(lane: usize, limits: Limits, metrics: &WriterMetrics) -> (Sender, LaneQueue) {
    let state =
        State { queue: FairQueue::new(limits), senders_gone: false, receiver_gone: false, is_asleep: false };
    let shared = Arc::new(Shared {
        state: Mutex::new(state),
        arrived: Condvar::new(),
        metrics: metrics.clone(),
        waiting_merchants: metrics.waiting_merchants.get_or_create_owned(&LaneLabels { lane }),
    });
    (Sender(shared.clone()), LaneQueue(shared))
}

impl Sender {
    /// Queues a submission, which is made if there is room for it.
    pub fn push(
        &self,
        submission: Submission,
        make: impl FnOnce(Submission, Held) -> Pending,
    ) -> Result<(), StoreError> {
        let (shared, load) = (&self.0, load(&submission));
        let mut state = shared.lock();
        if state.receiver_gone {
            return Err(StoreError::ShuttingDown);
        }
        let before = state.queue.rows();
        let held = |bytes| Held { shared: shared.clone(), merchant: load.merchant, bytes };
        let pushed = state.queue.push(load, |bytes| make(submission, held(bytes)));
        if let Err(full) = pushed {
            drop(state);
            return Err(shared.refuse(full));
        }
        shared.count(&state, before);
        let wake = std::mem::take(&mut state.is_asleep);
        drop(state);
        if wake {
            shared.arrived.notify_one();
        }
        Ok(())
    }

    /// Takes a submission's share of the bytes; it goes another way than through the queue.
    pub fn hold(&self, submission: &Submission) -> Result<Held, StoreError> {
        let (shared, load) = (&self.0, load(submission));
        let held = shared.lock().queue.hold(load);
        match held {
            Ok(bytes) => Ok(Held { shared: shared.clone(), merchant: load.merchant, bytes }),
            Err(full) => Err(shared.refuse(full)),
        }
    }

    /// Whether the thread is gone.
    pub fn is_closed(&self) -> bool {
        self.0.lock().receiver_gone
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.lock().senders_gone = true;
        self.0.arrived.notify_one();
    }
}

impl LaneQueue {
    /// The next batch; empty if nothing waits.
    pub(super) fn take(&self) -> Vec<Pending> {
        let mut state = self.0.lock();
        let before = state.queue.rows();
        let batch = state.queue.take();
        self.0.count(&state, before);
        batch
    }

    /// Everything that waits.
    pub(super) fn drain(&self) -> Vec<Pending> {
        let mut state = self.0.lock();
        let before = state.queue.rows();
        let all = state.queue.drain();
        self.0.count(&state, before);
        all
    }

    /// Whether there is something to be taken, without waiting.
    pub fn ready(&self) -> Ready {
        self.0.lock().ready()
    }

    /// Waits in real time until something waits, or no caller is left.
    pub(super) fn block(&self) -> Ready {
        let mut state = self.0.lock();
        loop {
            match state.ready() {
                Ready::Nothing => {}
                ready => return ready,
            }
            state.is_asleep = true;
            state = self.0.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for LaneQueue {
    fn drop(&mut self) {
        self.0.lock().receiver_gone = true;
        // Without the lock: what is dropped gives its bytes back.
        drop(self.drain());
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.lock().queue.release(self.merchant, self.bytes);
    }
}

impl State {
    fn ready(&self) -> Ready {
        match (self.queue.is_empty(), self.senders_gone) {
            (false, _) => Ready::Something,
            (true, false) => Ready::Nothing,
            (true, true) => Ready::Never,
        }
    }
}

impl Shared {
    /// The queue holds at every moment, also where a thread ended.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over how much waits. `before` were the rows that waited.
    fn count(&self, state: &State, before: usize) {
        let figure = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.queue_depth.inc_by(figure(state.queue.rows()) - figure(before));
        self.waiting_merchants.set(figure(state.queue.merchants()));
    }

    /// Counts a submission that there is no room for.
    fn refuse(&self, full: Full) -> StoreError {
        let (reason, text) = match full {
            Full::Rows => ("queue_rows", "the queue is full"),
            Full::Bytes => ("queue_bytes", "the queue's bytes are used up"),
            Full::MerchantRows => ("merchant_rows", "the merchant's share of the queue is used up"),
            Full::MerchantBytes => ("merchant_bytes", "the merchant's share of the queue's bytes is used up"),
        };
        self.metrics.refused.get_or_create(&RefusedLabels { reason }).inc();
        StoreError::Overloaded(text)
    }
}

fn load(submission: &Submission) -> Load {
    Load { merchant: submission.merchant, rows: submission.len(), bytes: submission.weight() }
}
