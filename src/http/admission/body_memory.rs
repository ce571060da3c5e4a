//! Memory for bodies. When there is none left, a body that has stalled gives way to a newer one, and so does
//! one of an address that holds more than the newer one's does. Bodies of one address that go on arriving never
//! give way to each other: else many at once would all start anew, and none would end.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::domain::peer_failures::Peer;

/// The memory of one kind of bodies.
#[derive(Clone)]
pub struct BodyMemory(Arc<Inner>);

struct Inner {
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bytes: usize,
    next: u64,
    /// Bodies that are still arriving, or not judged yet, the oldest first.
    arriving: BTreeMap<u64, Arrival>,
    /// Their bytes by address.
    of_peer: HashMap<Option<Peer>, usize>,
}

struct Arrival {
    /// `None` = nobody knows; such bodies count as one address's.
    peer: Option<Peer>,
    bytes: usize,
    /// How much there was when it last went on, and when that was.
    went_on: (usize, Instant),
    given_up: Arc<Notify>,
}

/// A body goes on while this much of it arrives in this time. It is judged by that only when memory is short.
const STEP: (usize, Duration) = (4_096, Duration::from_millis(250));

/// A body's memory, given back when it is dropped.
pub struct Share {
    memory: BodyMemory,
    bytes: usize,
    /// While it may be given up.
    arrival: Option<(u64, Arc<Notify>)>,
}

/// There is no memory for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl BodyMemory {
    /// Memory of so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Inner { bytes_max, state: Mutex::default() }))
    }

    /// Memory for a body that is there as a whole, and is judged at once.
    ///
    /// # Errors
    /// Bodies that are being worked on hold all of it.
    pub fn whole(&self, bytes: usize, peer: Option<Peer>, now: Instant) -> Result<Share, Full> {
        self.lock().make_room(bytes, self.0.bytes_max, (None, peer), now)?;
        Ok(Share { memory: self.clone(), bytes, arrival: None })
    }

    /// A body that begins to arrive from this address. It takes memory as it grows.
    pub fn arriving(&self, peer: Option<Peer>, now: Instant) -> Share {
        let given_up = Arc::new(Notify::new());
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        state.arriving.insert(id, Arrival { peer, bytes: 0, went_on: (0, now), given_up: given_up.clone() });
        Share { memory: self.clone(), bytes: 0, arrival: Some((id, given_up)) }
    }

    /// The state holds at every moment, also where a thread ended.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes memory for a body of this address, for which other bodies may be given up. `own` is the body that
    /// grows, which is not given up for itself; a body that is there as a whole has no number.
    fn make_room(
        &mut self,
        bytes: usize,
        bytes_max: usize,
        (own, peer): (Option<u64>, Option<Peer>),
        now: Instant,
    ) -> Result<(), Full> {
        while self.bytes + bytes > bytes_max {
            let victim = self.victim(own, peer, now).ok_or(Full)?;
            if let Some(arrival) = self.remove(victim) {
                self.bytes -= arrival.bytes;
                // Its reader wakes, or finds it gone when it takes more.
                arrival.given_up.notify_one();
            }
        }
        self.bytes += bytes;
        Ok(())
    }

    /// The oldest body that has stalled; else the oldest of the address that holds the most, if that is more than
    /// the newer body's address holds. The first look ends soon when many stall, which is when it matters.
    fn victim(&self, own: Option<u64>, peer: Option<Peer>, now: Instant) -> Option<u64> {
        let mut others = self.arriving.iter().filter(|(id, arrival)| Some(**id) != own && arrival.bytes > 0);
        if let Some((id, _)) = others.clone().find(|(_, arrival)| arrival.has_stalled(now)) {
            return Some(*id);
        }
        let (heaviest, most) = self.of_peer.iter().max_by_key(|(_, bytes)| **bytes)?;
        let own_bytes = self.of_peer.get(&peer).copied().unwrap_or(0);
        if *heaviest == peer || *most <= own_bytes {
            return None;
        }
        others.find(|(_, arrival)| arrival.peer == *heaviest).map(|(id, _)| *id)
    }

    /// Counts bytes that a body of this address took.
    fn add(&mut self, peer: Option<Peer>, bytes: usize) {
        *self.of_peer.entry(peer).or_insert(0) += bytes;
    }

    /// Takes a body out, which arrives no more.
    fn remove(&mut self, id: u64) -> Option<Arrival> {
        let arrival = self.arriving.remove(&id)?;
        if let Some(bytes) = self.of_peer.get_mut(&arrival.peer) {
            *bytes -= arrival.bytes;
            if *bytes == 0 {
                self.of_peer.remove(&arrival.peer);
            }
        }
        Some(arrival)
    }
}

impl Arrival {
    fn has_stalled(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.went_on.1) >= STEP.1
    }
}

impl Share {
    /// Takes memory for more of the body.
    ///
    /// # Errors
    /// The body was given up, or there is no memory for it.
    pub fn grow(&mut self, bytes: usize, now: Instant) -> Result<(), Full> {
        let id = self.arrival.as_ref().map(|(id, _)| *id);
        let mut state = self.memory.lock();
        let peer = match id.map(|id| state.arriving.get(&id)) {
            Some(None) => return Err(Full),
            Some(Some(arrival)) => arrival.peer,
            None => None,
        };
        state.make_room(bytes, self.memory.0.bytes_max, (id, peer), now)?;
        let mut counted = false;
        if let Some(arrival) = id.and_then(|id| state.arriving.get_mut(&id)) {
            arrival.bytes += bytes;
            counted = true;
            if arrival.bytes - arrival.went_on.0 >= STEP.0 {
                arrival.went_on = (arrival.bytes, now);
            }
        }
        if counted {
            state.add(peer, bytes);
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Returns when the body was given up; never, if it cannot be any more.
    pub async fn given_up(&self) {
        match &self.arrival {
            Some((_, given_up)) => given_up.notified().await,
            None => std::future::pending().await,
        }
    }

    /// The body's signature is right: it is not given up any more.
    ///
    /// # Errors
    /// It was.
    pub fn keep(&mut self) -> Result<(), Full> {
        let Some((id, _)) = self.arrival.take() else { return Ok(()) };
        match self.memory.lock().remove(id) {
            Some(_) => Ok(()),
            None => {
                self.bytes = 0;
                Err(Full)
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut state = self.memory.lock();
        // What was given up has been taken from the sum already.
        let counted = self.arrival.take().is_none_or(|(id, _)| state.remove(id).is_some());
        if counted {
            state.bytes -= self.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u8) -> Option<Peer> {
        Some(Peer::of([198, 51, 100, number].into()))
    }

    fn arriving(memory: &BodyMemory, number: u8, bytes: usize) -> Share {
        let mut share = memory.arriving(peer(number), now());
        share.grow(bytes, now()).unwrap();
        share
    }

    fn now() -> Instant {
        Instant::now()
    }

    fn later() -> Instant {
        now() + STEP.1
    }

    fn is_given_up(share: &mut Share) -> bool {
        share.grow(0, now()).is_err()
    }

    #[tokio::test]
    async fn the_oldest_body_of_the_address_that_holds_the_most_gives_way() {
        let memory = BodyMemory::new(100);
        let mut first = arriving(&memory, 1, 20);
        let mut others: Vec<Share> = (0..4).map(|_| arriving(&memory, 2, 20)).collect();
        // None has stalled, but the newer one's address holds less.
        let whole = memory.whole(30, peer(3), now()).unwrap();
        assert!(!is_given_up(&mut first));
        others[0].given_up().await;
        others[1].given_up().await;
        assert_eq!(others.iter_mut().map(is_given_up).collect::<Vec<_>>(), [true, true, false, false]);
        drop(others);
        assert_eq!(memory.lock().bytes, 50);
        drop((whole, first));
        let state = memory.lock();
        assert_eq!((state.bytes, state.arriving.len()), (0, 0));
    }

    #[test]
    fn bodies_of_one_address_give_way_to_each_other_only_when_they_have_stalled() {
        let memory = BodyMemory::new(20_000);
        let mut bodies: Vec<Share> = (0..2).map(|_| arriving(&memory, 1, 10_000)).collect();
        assert!(memory.whole(1, peer(1), now()).is_err());
        assert_eq!(bodies[0].grow(1, now()), Err(Full));
        let whole = memory.whole(1, peer(1), later()).unwrap();
        assert_eq!(bodies.iter_mut().map(is_given_up).collect::<Vec<_>>(), [true, false]);
        drop(whole);
        // A few bytes are no step.
        bodies[1].grow(100, later()).unwrap();
        bodies[1].grow(9_000, later()).unwrap();
        assert!(memory.whole(5_000, peer(1), later()).is_err());
        assert!(memory.whole(5_000, peer(1), later() + STEP.1).is_ok());
    }

    #[test]
    fn what_is_kept_or_whole_is_not_given_up_and_then_there_is_no_more() {
        let memory = BodyMemory::new(100);
        let mut kept = arriving(&memory, 1, 60);
        kept.keep().unwrap();
        let whole = memory.whole(40, peer(1), now()).unwrap();
        assert!(memory.whole(1, peer(2), later()).is_err());
        assert_eq!(memory.arriving(peer(2), now()).grow(1, later()), Err(Full));
        drop(whole);
        let mut grown = arriving(&memory, 2, 30);
        // Its own older bytes do not give way to its newer ones.
        assert_eq!(grown.grow(11, later()), Err(Full));
        grown.grow(10, now()).unwrap();
        drop(kept);
        let mut other = memory.arriving(peer(3), now());
        other.grow(100, later()).unwrap();
        assert_eq!((grown.keep(), memory.lock().bytes), (Err(Full), 100));
        drop((grown, other));
        assert_eq!(memory.lock().bytes, 0);
    }
}
