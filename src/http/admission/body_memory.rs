//! Memory for bodies. A body that is still arriving gives way when a newer one needs its memory: who signs
//! sends a body within milliseconds, and a stalled one is the oldest of the address that holds the most.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

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
}

struct Arrival {
    /// `None` = nobody knows; such bodies count as one address's.
    peer: Option<Peer>,
    bytes: usize,
    given_up: Arc<Notify>,
}

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
    pub fn whole(&self, bytes: usize) -> Result<Share, Full> {
        self.lock().make_room(bytes, self.0.bytes_max, None)?;
        Ok(Share { memory: self.clone(), bytes, arrival: None })
    }

    /// A body that begins to arrive from this address. It takes memory as it grows.
    pub fn arriving(&self, peer: Option<Peer>) -> Share {
        let given_up = Arc::new(Notify::new());
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        state.arriving.insert(id, Arrival { peer, bytes: 0, given_up: given_up.clone() });
        Share { memory: self.clone(), bytes: 0, arrival: Some((id, given_up)) }
    }

    /// The state holds at every moment, also where a thread ended.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes memory, for which others' bodies may be given up. `own` stays.
    fn make_room(&mut self, bytes: usize, bytes_max: usize, own: Option<u64>) -> Result<(), Full> {
        while self.bytes + bytes > bytes_max {
            let victim = self.victim(own).ok_or(Full)?;
            if let Some(arrival) = self.arriving.remove(&victim) {
                self.bytes -= arrival.bytes;
                // Its reader wakes, or finds it gone when it takes more.
                arrival.given_up.notify_one();
            }
        }
        self.bytes += bytes;
        Ok(())
    }

    /// The oldest body of the address whose bodies hold the most.
    fn victim(&self, own: Option<u64>) -> Option<u64> {
        let mut of_peer: HashMap<Option<Peer>, usize> = HashMap::new();
        for arrival in self.arriving.values() {
            *of_peer.entry(arrival.peer).or_insert(0) += arrival.bytes;
        }
        let most = of_peer.values().copied().max()?;
        let holds = |(id, arrival): &(&u64, &Arrival)| {
            Some(**id) != own && arrival.bytes > 0 && of_peer.get(&arrival.peer) == Some(&most)
        };
        let any = |(id, arrival): &(&u64, &Arrival)| Some(**id) != own && arrival.bytes > 0;
        self.arriving.iter().find(holds).or_else(|| self.arriving.iter().find(any)).map(|(id, _)| *id)
    }
}

impl Share {
    /// Takes memory for more of the body.
    ///
    /// # Errors
    /// The body was given up, or there is no memory for it.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let id = self.arrival.as_ref().map(|(id, _)| *id);
        let mut state = self.memory.lock();
        if id.is_some_and(|id| !state.arriving.contains_key(&id)) {
            return Err(Full);
        }
        state.make_room(bytes, self.memory.0.bytes_max, id)?;
        if let Some(arrival) = id.and_then(|id| state.arriving.get_mut(&id)) {
            arrival.bytes += bytes;
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
        match self.memory.lock().arriving.remove(&id) {
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
        let counted = self.arrival.take().is_none_or(|(id, _)| state.arriving.remove(&id).is_some());
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
        let mut share = memory.arriving(peer(number));
        share.grow(bytes).unwrap();
        share
    }

    fn is_given_up(share: &mut Share) -> bool {
        share.grow(0).is_err()
    }

    #[tokio::test]
    async fn the_oldest_body_of_the_address_that_holds_the_most_gives_way() {
        let memory = BodyMemory::new(100);
        let mut first = arriving(&memory, 1, 20);
        let mut stalled: Vec<Share> = (0..4).map(|_| arriving(&memory, 2, 20)).collect();
        let whole = memory.whole(30).unwrap();
        assert!(!is_given_up(&mut first));
        stalled[0].given_up().await;
        stalled[1].given_up().await;
        assert_eq!(stalled.iter_mut().map(is_given_up).collect::<Vec<_>>(), [true, true, false, false]);
        drop(stalled);
        assert_eq!(memory.lock().bytes, 50);
        drop((whole, first));
        let state = memory.lock();
        assert_eq!((state.bytes, state.arriving.len()), (0, 0));
    }

    #[test]
    fn what_is_kept_or_whole_is_not_given_up_and_then_there_is_no_more() {
        let memory = BodyMemory::new(100);
        let mut kept = arriving(&memory, 1, 60);
        kept.keep().unwrap();
        let whole = memory.whole(40).unwrap();
        assert!(memory.whole(1).is_err());
        assert_eq!(memory.arriving(peer(2)).grow(1), Err(Full));
        drop(whole);
        let mut grown = arriving(&memory, 2, 30);
        // Its own older bytes do not give way to its newer ones.
        assert_eq!(grown.grow(11), Err(Full));
        grown.grow(10).unwrap();
        drop(kept);
        let mut other = memory.arriving(peer(3));
        other.grow(100).unwrap();
        assert_eq!((grown.keep(), memory.lock().bytes), (Err(Full), 100));
        drop((grown, other));
        assert_eq!(memory.lock().bytes, 0);
    }
}
