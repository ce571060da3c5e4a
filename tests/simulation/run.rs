//! One run: a seed's instances, callers and weather, from the first request to the last answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use conversiond::config::{Idempotency, Ingest};
use conversiond::domain::submission::Submission;
use fastrand::Rng;

use crate::disk::{Disk, Lock};
use crate::instance::Instance;
use crate::promises::{Meaning, Promises, Written};
use crate::shop::{Shop, Wish};
use crate::stage::{SeededEntropy, Stage, StageClock};
use crate::store::World;
use crate::weather::Weather;

/// How long a caller is kept waiting at most: the service's own limit, in virtual time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// After the last fault, how long anything may still be in the way: an instance's patience with locks,
/// and the pause between two attempts to connect.
const AFTERMATH: Duration = Duration::from_secs(12);

/// After that, how soon a request is answered.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// More rows than any request has.
const BULK_ROWS_MAX: usize = 40;

/// When every wish must have been answered for good.
const ALL_DONE_WITHIN: Duration = Duration::from_secs(60);

/// What came of a run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    pub requests: usize,
    pub acknowledged: usize,
    pub faults: usize,
    pub transactions: usize,
    pub virtual_time: Duration,
    /// What must not be; empty = all is well.
    pub violations: Vec<String>,
    pub trace: Vec<String>,
}

/// A request on its way.
struct Call {
    answer: Pin<Box<dyn Future<Output = Written>>>,
    submission: Submission,
    sent_at: Duration,
    /// When its caller has no more patience, or the service none with the writer.
    gives_up_at: Duration,
}

struct Caller {
    wishes: Vec<Wish>,
    /// When it does something next.
    acts_at: Duration,
    call: Option<Call>,
    /// Asks at the end whether all is well again.
    is_probe: bool,
}

struct Run {
    stage: Arc<Stage>,
    world: Arc<Mutex<World>>,
    shop: Shop,
    random: Rng,
    instances: Vec<Instance>,
    limits: Ingest,
    callers: Vec<Caller>,
    promises: Promises,
    requests: usize,
    clear_from: Duration,
}

/// Runs a seed. Must be called within a tokio runtime's context, whose time is not used.
pub fn run(seed: u64, traced: bool) -> Report {
    let mut run = Run::new(seed, traced);
    run.stage.begin();
    let done = run.play();
    run.finish(done)
}

impl Run {
    fn new(seed: u64, traced: bool) -> Self {
        let mut random = Rng::with_seed(seed);
        let stage = Arc::new(Stage::default());
        let weather = Weather::draw(&mut random);
        let clear_from = weather.clear_from;
        let world = World {
            disk: Disk::default(),
            weather,
            random: random.fork(),
            faults: 0,
            transactions: 0,
            violations: Vec::new(),
            trace: traced.then(Vec::new),
        };
        let world = Arc::new(Mutex::new(world));
        let entropy = SeededEntropy(Mutex::new(random.fork()));
        let shop = Shop::new(random.usize(1..4), StageClock(stage.clone()), entropy);
        let mut limits = Ingest {
            queue_events: random.usize(1..64),
            queue_bytes: 1 << random.u32(12..22),
            batch_events: random.usize(1..32),
            batch_bytes: 1 << random.u32(12..20),
            bulk_rows_max: 1_000,
            bulk_wait_ms: 5_000,
            answer_timeout_s: ANSWER_TIMEOUT.as_secs(),
        };
        if random.bool() {
            limits.queue_events = 1_000;
        }
        let is_shared = random.u8(0..4) > 0;
        let count = if is_shared { random.usize(1..3) } else { 1 };
        let idempotency = Idempotency {
            ttl_hours: 24,
            wait_ms: *random.choice(&[200, 1_000, 5_000]).unwrap(),
            sweep_s: 60,
        };
        let lanes = if is_shared { random.usize(1..3) } else { 1 };
        let start =
            |number| Instance::start(&stage, &world, number, lanes, is_shared, (&limits, &idempotency));
        let instances = (0..count).map(start).collect();
        let count = random.usize(1..12);
        let wishes = shop.wishes(&mut random, count).into_iter();
        let callers = wishes
            .map(|mut wishes| {
                wishes.reverse();
                let acts_at = Duration::from_millis(random.u64(0..2_000));
                Caller { wishes, acts_at, call: None, is_probe: false }
            })
            .collect();
        let promises = Promises::default();
        Self { stage, world, shop, random, instances, limits, callers, promises, requests: 0, clear_from }
    }

    /// Lets one thing happen after the other until nobody wants anything. False = it took too long.
    fn play(&mut self) -> bool {
        let end = self.clear_from + ALL_DONE_WITHIN;
        let mut probed = false;
        loop {
            self.hear();
            let now = self.stage.now();
            self.world.lock().unwrap().disk.end_orphans(now);
            self.lock_as_somebody_else(now);
            let threads = self.stage.ready();
            let due: Vec<usize> =
                (0..self.callers.len()).filter(|caller| self.callers[*caller].is_due(now)).collect();
            match self.random.choice(0..threads.len() + due.len()) {
                Some(choice) => match threads.get(choice) {
                    Some(who) => self.stage.run(*who),
                    None => self.act(due[choice - threads.len()]),
                },
                None if self.callers.iter().all(Caller::is_done) => {
                    if probed {
                        return true;
                    }
                    probed = true;
                    self.send_probes();
                }
                None if now > end => return false,
                None => {
                    let callers = self.callers.iter().filter_map(Caller::next_act);
                    let world = self.world.lock().unwrap();
                    let others = world.weather.foreign_locks.iter().map(|(from, _)| *from);
                    let others = others.chain(world.disk.next_end()).chain(self.stage.next_wake());
                    self.stage.advance(callers.chain(others).min().unwrap_or(end).max(now));
                }
            }
        }
    }

    /// Takes in answers.
    fn hear(&mut self) {
        let now = self.stage.now();
        for number in 0..self.callers.len() {
            let caller = &mut self.callers[number];
            let Some(mut call) = caller.call.take() else { continue };
            let Poll::Ready(written) = call.answer.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            else {
                caller.call = Some(call);
                continue;
            };
            let wish = caller.wishes.last().unwrap();
            let world = &mut *self.world.lock().unwrap();
            let meaning = self.promises.judge(world, &self.shop, wish, &call.submission, &written);
            world.note(now, || format!("caller {number} is told {meaning:?}: {written:?}"));
            let waited = now - call.sent_at;
            if caller.is_probe {
                world.check(meaning == Meaning::Acknowledged && waited <= ANSWERED_WITHIN, || {
                    format!("long after the last fault {wish:?} is told {written:?} after {waited:?}")
                });
            }
            caller.acts_at = now + Duration::from_millis(self.random.u64(0..500));
            if meaning != Meaning::Again || caller.is_probe {
                caller.wishes.pop();
            }
        }
        for instance in &self.instances {
            let depth = instance.metrics.writer.queue_depth.get();
            // The longest request is taken by an empty queue, whatever its limit is.
            let all = self.limits.queue_events.max(BULK_ROWS_MAX) * 2;
            let world = &mut *self.world.lock().unwrap();
            world.check((0..=i64::try_from(all).unwrap()).contains(&depth), || format!("{depth} in a queue"));
        }
    }

    /// A caller sends its next request, or gives up waiting for an answer.
    fn act(&mut self, number: usize) {
        let now = self.stage.now();
        let caller = &mut self.callers[number];
        if let Some(call) = caller.call.take() {
            let waited = now - call.sent_at;
            let world = &mut *self.world.lock().unwrap();
            world.note(now, || format!("caller {number} has no answer after {waited:?}"));
            // Somebody else's lock is waited for no longer than `idempotency.wait_ms`.
            let may_be = now < self.clear_from + AFTERMATH + ANSWER_TIMEOUT && !world.weather.is_calm();
            world.check(waited < ANSWER_TIMEOUT || may_be, || {
                format!("after {waited:?} {:?} has no answer", call.submission)
            });
            caller.acts_at = now + Duration::from_millis(self.random.u64(0..500));
            if caller.is_probe {
                world.check(false, || "a probe has no answer".to_owned());
                caller.wishes.pop();
            }
            return;
        }
        let Some(wish) = caller.wishes.last() else { return };
        let is_late = now < self.clear_from && self.random.u8(0..50) == 0;
        let submission = self.shop.request(wish, is_late);
        let patience = match now < self.clear_from && self.random.u8(0..10) == 0 {
            true => Duration::from_millis(self.random.u64(0..1_000)),
            false => ANSWER_TIMEOUT,
        };
        let instance = self.random.usize(0..self.instances.len());
        let writer = self.instances[instance].writer.clone();
        self.world.lock().unwrap().note(now, || {
            format!("caller {number} sends {} to instance {instance}: {wish:?}", submission.attempt.id)
        });
        let sent = submission.clone();
        let mut call = Call {
            answer: Box::pin(async move { writer.write(sent).await }),
            submission,
            sent_at: now,
            gives_up_at: now + patience,
        };
        // Only what is looked at is sent; an answer at once is heard with the others.
        if let Poll::Ready(written) = call.answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            call.answer = Box::pin(std::future::ready(written));
        }
        caller.call = Some(call);
        self.requests += 1;
        self.stage.stir();
    }

    /// Another program takes a lock, and holds it for a while.
    fn lock_as_somebody_else(&mut self, now: Duration) {
        let world = &mut *self.world.lock().unwrap();
        let (due, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut world.weather.foreign_locks).into_iter().partition(|(from, _)| *from <= now);
        world.weather.foreign_locks = rest;
        for (_, until) in due.into_iter().filter(|_| now < self.clear_from) {
            let wishes: Vec<&Wish> = self.callers.iter().flat_map(|caller| &caller.wishes).collect();
            let Some(wish) = self.random.choice(wishes) else { continue };
            let owner = world.disk.owner();
            let merchant = self.shop.merchants[wish.merchant].id;
            let lock = match &wish.key {
                Some(key) if self.random.bool() => Lock::Key((merchant, key.clone())),
                _ => Lock::Row((merchant, wish.orders[0].clone())),
            };
            if world.disk.try_lock(&lock, owner) {
                world.faults += 1;
                world.disk.orphan(owner, until.min(self.clear_from), None);
                world.note(now, || format!("somebody else locks {lock:?} until {until:?}"));
            }
        }
    }

    /// When all is well again, requests that fill a lane's bytes are answered soon: nothing is held back.
    fn send_probes(&mut self) {
        let from = self.stage.now().max(self.clear_from + AFTERMATH);
        self.callers.clear();
        for merchant in 0..self.shop.merchants.len() {
            let rows = (self.limits.queue_bytes / 1_024).clamp(1, 40);
            let orders = (0..rows).map(|_| self.shop.fresh_order()).collect();
            let wish = Wish { merchant, orders, amount: 1, key: None, conflicts: false };
            let acts_at = from + ANSWERED_WITHIN * u32::try_from(merchant).unwrap() * 2;
            self.callers.push(Caller { wishes: vec![wish], acts_at, call: None, is_probe: true });
        }
    }

    fn finish(self, done: bool) -> Report {
        let Self { stage, world, instances, callers, promises, requests, clear_from, .. } = self;
        if !done {
            let left: Vec<Wish> = callers.into_iter().flat_map(|caller| caller.wishes).collect();
            let text = format!("after {ALL_DONE_WITHIN:?} of calm there is no final answer to {left:?}");
            world.lock().unwrap().violations.push(text);
        }
        let mut threads = Vec::new();
        for Instance { writer, metrics, threads: of_instance } in instances {
            let depth = metrics.writer.queue_depth.get();
            world.lock().unwrap().check(depth == 0 || !done, || format!("{depth} are left in a queue"));
            drop(writer);
            threads.push(of_instance);
        }
        stage.end();
        for of_instance in threads {
            of_instance.join();
        }
        let world = &mut *world.lock().unwrap();
        world.disk.end_orphans(Duration::MAX);
        promises.check(world);
        let locked = world.disk.is_locked();
        world.check(!locked, || "somebody still holds a lock".to_owned());
        Report {
            requests,
            acknowledged: promises.acknowledged(),
            faults: world.faults,
            transactions: world.transactions,
            virtual_time: stage.now().max(clear_from),
            violations: std::mem::take(&mut world.violations),
            trace: world.trace.take().unwrap_or_default(),
        }
    }
}

impl Caller {
    fn next_act(&self) -> Option<Duration> {
        match &self.call {
            Some(call) => Some(call.gives_up_at),
            None => (!self.wishes.is_empty()).then_some(self.acts_at),
        }
    }

    fn is_due(&self, now: Duration) -> bool {
        self.next_act().is_some_and(|at| at <= now)
    }

    fn is_done(&self) -> bool {
        self.call.is_none() && self.wishes.is_empty()
    }
}
