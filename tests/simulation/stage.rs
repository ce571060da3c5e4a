//! Who runs when, and what time it is: the product's threads take turns, and time passes only when
//! none of them has anything to do.
//!
//! The threads are real, but only the one whose turn it is runs; it gives its turn back where it would
//! wait: for a submission, for a while, for the store. The director then chooses the next. So one
//! sequence of choices is one run, however the machine schedules.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use conversiond::domain::time::{Clock, Entropy};
use conversiond::storage::writer::{Idle, LaneQueue, Pending, Ready};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

/// Longer than any turn takes on a busy machine.
const TURN_MAX: Duration = Duration::from_secs(60);

/// The threads of a run, and its time.
#[derive(Default)]
pub struct Stage {
    inner: Mutex<Inner>,
    /// Whoever gives a turn back wakes the director.
    director: Condvar,
}

#[derive(Default)]
struct Inner {
    now: Duration,
    actors: Vec<Actor>,
    /// Whose turn it is; `None` = the director's.
    turn: Option<usize>,
    /// Counts what may have put something into a queue.
    version: u64,
    /// Whether this turn only found a queue empty.
    in_vain: bool,
}

struct Actor {
    instance: usize,
    name: String,
    state: State,
    turn: Arc<Condvar>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// It has not come to its first wait.
    Starting,
    /// It waits for a submission; its queue was empty at this version.
    Receiving(Option<u64>),
    /// It waits until then.
    Sleeping(Duration),
    /// It will not come back.
    Ended,
}

impl Stage {
    /// Announces a thread.
    pub fn expect(&self, instance: usize, name: &str) -> usize {
        let mut inner = self.inner.lock().unwrap();
        let turn = Arc::new(Condvar::new());
        inner.actors.push(Actor { instance, name: name.to_owned(), state: State::Starting, turn });
        inner.actors.len() - 1
    }

    /// Waits until all that were announced have come.
    pub fn begin(&self) {
        let inner = self.inner.lock().unwrap();
        let all_there = |inner: &mut Inner| inner.actors.iter().any(|actor| actor.state == State::Starting);
        let (_inner, timeout) = self.director.wait_timeout_while(inner, TURN_MAX, all_there).unwrap();
        assert!(!timeout.timed_out(), "a thread of the writer does not begin by waiting");
    }

    pub fn now(&self) -> Duration {
        self.inner.lock().unwrap().now
    }

    /// Who could go on now.
    pub fn ready(&self) -> Vec<usize> {
        let inner = self.inner.lock().unwrap();
        let is_ready = |actor: &Actor| match actor.state {
            State::Receiving(seen) => seen != Some(inner.version),
            State::Sleeping(until) => until <= inner.now,
            State::Starting | State::Ended => false,
        };
        (0..inner.actors.len()).filter(|who| is_ready(&inner.actors[*who])).collect()
    }

    /// When the next one wakes up by itself.
    pub fn next_wake(&self) -> Option<Duration> {
        let inner = self.inner.lock().unwrap();
        let wakes = inner.actors.iter().filter_map(|actor| match actor.state {
            State::Sleeping(until) => Some(until),
            State::Starting | State::Receiving(_) | State::Ended => None,
        });
        wakes.min()
    }

    /// Lets time pass.
    pub fn advance(&self, to: Duration) {
        let mut inner = self.inner.lock().unwrap();
        inner.now = inner.now.max(to);
    }

    /// Something may have come into a queue.
    pub fn stir(&self) {
        self.inner.lock().unwrap().version += 1;
    }

    /// Gives a thread its turn, and waits until it gives it back.
    pub fn run(&self, who: usize) {
        let mut inner = self.inner.lock().unwrap();
        (inner.turn, inner.in_vain) = (Some(who), false);
        inner.actors[who].turn.notify_one();
        let (mut inner, timeout) =
            self.director.wait_timeout_while(inner, TURN_MAX, |inner| inner.turn.is_some()).unwrap();
        assert!(!timeout.timed_out(), "{} does not give its turn back", inner.actors[who].name);
        if !inner.in_vain {
            inner.version += 1;
            let version = inner.version;
            if let State::Receiving(seen) = &mut inner.actors[who].state {
                *seen = Some(version);
            }
        }
    }

    /// Lets all threads come to their ends; nobody sends any more.
    pub fn end(&self) {
        for _ in 0..1_000_000 {
            self.stir();
            for who in self.ready() {
                self.run(who);
            }
            if let Some(wake) = self.next_wake() {
                self.advance(wake);
            }
            if self.inner.lock().unwrap().actors.iter().all(|actor| actor.state == State::Ended) {
                return;
            }
            // One that has ended lets go of what others wait for a moment later.
            std::thread::yield_now();
        }
        panic!("a thread does not end after the last sender is gone");
    }

    /// Waits in a thread of the writer.
    pub fn sleep(&self, who: usize, time: Duration) {
        let until = self.now() + time;
        self.rest(who, State::Sleeping(until), false);
    }

    /// Gives the turn back, and waits for the next.
    fn rest(&self, who: usize, state: State, in_vain: bool) {
        let mut inner = self.inner.lock().unwrap();
        inner.in_vain = in_vain;
        inner.actors[who].state = state;
        if inner.turn == Some(who) {
            inner.turn = None;
        }
        self.director.notify_one();
        let turn = inner.actors[who].turn.clone();
        drop(turn.wait_while(inner, |inner| inner.turn != Some(who)).unwrap());
    }

    fn leave(&self, who: usize) {
        let mut inner = self.inner.lock().unwrap();
        inner.actors[who].state = State::Ended;
        inner.turn = None;
        self.director.notify_one();
    }
}

/// How the threads of one instance of the service wait.
pub struct Turns {
    pub stage: Arc<Stage>,
    pub instance: usize,
}

impl Turns {
    fn who(&self) -> usize {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default();
        let inner = self.stage.inner.lock().unwrap();
        let mut actors = inner.actors.iter();
        let found = actors.position(|actor| actor.instance == self.instance && actor.name == name);
        found.unwrap_or_else(|| panic!("{name} was not expected"))
    }

    /// Gives turns back until a look finds something; `None` = nothing will come any more.
    fn wait_for<T>(&self, mut look: impl FnMut() -> Option<Option<T>>) -> Option<T> {
        let who = self.who();
        if self.stage.inner.lock().unwrap().actors[who].state == State::Starting {
            self.stage.rest(who, State::Receiving(None), true);
        }
        let mut in_vain = false;
        loop {
            match look() {
                Some(Some(found)) => return Some(found),
                Some(None) => {
                    self.stage.leave(who);
                    return None;
                }
                None => {
                    let version = self.stage.inner.lock().unwrap().version;
                    self.stage.rest(who, State::Receiving(Some(version)), in_vain);
                    in_vain = true;
                }
            }
        }
    }
}

impl Idle for Turns {
    fn sleep(&self, time: Duration) {
        self.stage.sleep(self.who(), time);
    }

    fn wait(&self, queue: &LaneQueue) -> bool {
        let found = self.wait_for(|| match queue.ready() {
            Ready::Something => Some(Some(())),
            Ready::Nothing => None,
            Ready::Never => Some(None),
        });
        found.is_some()
    }

    fn receive(&self, queue: &mut mpsc::Receiver<Pending>) -> Option<Pending> {
        self.wait_for(|| match queue.try_recv() {
            Ok(pending) => Some(Some(pending)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(None),
        })
    }
}

/// The run's clocks.
pub struct StageClock(pub Arc<Stage>);

impl Clock for StageClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(1_780_000_000_000_000).unwrap() + self.0.now()
    }

    fn monotonic(&self) -> Duration {
        // No clock begins at zero.
        Duration::from_secs(1_000) + self.0.now()
    }
}

/// Random bytes that a seed repeats.
pub struct SeededEntropy(pub Mutex<fastrand::Rng>);

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        self.0.lock().unwrap().fill(buffer);
    }
}
