//! Whether the time of a refusal tells why: known against unknown key, first against last byte of the
//! signature wrong.
//!
//! `cargo bench --bench timing` takes 100,000 refused requests of either class, interleaved at random,
//! once by the function that judges and once over a socket, and compares the classes by a t-test (`welch`):
//! |t| < 4.5 is no difference (dudect's bound). Everything runs on one processor, with other keys in each
//! block of 250. Outliers are cut off at percentiles of both classes together, fixed in advance; t is
//! told for each, and the worst counts. What the machine does meanwhile can look like a difference once: a
//! line beyond the bound is measured again, up to three times in all, each of which is printed. A difference
//! that is there is there each time. It ends with 1 if a class can be told from the other.
//! Settings: `TIMING_SAMPLES` (100000 of each class), `TIMING_SEED` (1).
//!
//! Controls: two classes of unknown keys must be as one, and a body that is one block of SHA-256 longer
//! must be seen at once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a benchmark that meets the unexpected ends; it lives in real time"
)]

mod judging;
mod socket;
mod welch;

use std::process::ExitCode;

use fastrand::Rng;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use welch::{BOUND, Samples};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Which of two classes a request belongs to.
pub type Class = usize;

/// The classes of all requests in the order in which they are made: as many of each, at random.
fn order(each: usize, random: &mut Rng) -> Vec<Class> {
    let mut classes: Vec<Class> = (0..2 * each).map(|number| number % 2).collect();
    random.shuffle(&mut classes);
    classes
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// How many requests are judged with the same keys.
pub const BLOCK: usize = 250;

/// How many are judged before them that are not counted: they find cold caches.
pub const UNCOUNTED: usize = BLOCK / 10;

/// How often a comparison is measured before its classes count as different.
const TRIES: usize = 3;

/// Measures until the classes are as one, at most [`TRIES`] times; whether they never were.
fn differ(name: &str, mut measure: impl FnMut() -> Samples) -> bool {
    (1..=TRIES).all(|number| {
        let again = if number > 1 { format!(", measurement {number}") } else { String::new() };
        tell(&format!("{name}{again}"), &measure())
    })
}

/// Has everything run on one processor: to wake another one takes long, and differently long each time.
fn stay_on_one_processor() {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).expect("the processors");
    let last = (0..CpuSet::count()).rev().find(|number| allowed.is_set(*number).unwrap_or(false));
    let mut one = CpuSet::new();
    one.set(last.expect("a processor")).expect("set");
    sched_setaffinity(this, &one).expect("kept to it");
}

/// Prints a comparison; whether its classes can be told apart.
fn tell(name: &str, samples: &Samples) -> bool {
    let figures = samples.figures();
    let worst = figures.iter().map(|figure| figure.t.abs()).fold(0.0, f64::max);
    let crops: Vec<String> = figures.iter().map(|figure| format!("{:+7.2}", figure.t)).collect();
    let [one, other] = samples.medians();
    println!("{name:<64} {} {one:>9} {other:>9} {worst:>7.2}", crops.join(" "));
    worst >= BOUND
}

fn main() -> ExitCode {
    stay_on_one_processor();
    let each = setting("TIMING_SAMPLES", 100_000);
    let mut random = Rng::with_seed(setting("TIMING_SEED", 1) as u64);
    let crops: Vec<String> = welch::CROPS.iter().map(|crop| format!("{:>6}%", crop)).collect();
    println!(
        "t over 2 x {each} refused requests; the slowest are cut off beyond a percentile of both classes"
    );
    println!("{:<64} {} {:>9} {:>9} {:>7}", "", crops.join(" "), "ns", "ns", "|t|");
    let mut leaks = 0;
    let comparisons = [judging::KNOWN_OR_NOT, judging::FIRST_OR_LAST_BYTE, judging::NEITHER_KNOWN];
    for comparison in comparisons {
        let measure = || judging::measure(comparison, &order(each, &mut random));
        leaks += usize::from(differ(&format!("judging: {comparison}"), measure));
    }
    let service = socket::Service::start();
    for comparison in comparisons {
        let measure = || service.measure(comparison, &order(each, &mut random));
        leaks += usize::from(differ(&format!("socket: {comparison}"), measure));
    }
    let controls = [
        ("judging", judging::measure(judging::CONTROL, &order(each, &mut random))),
        ("socket", service.measure(judging::CONTROL, &order(each, &mut random))),
    ];
    service.stop();
    for (of, samples) in &controls {
        let seen = tell(&format!("{of}: {}", judging::CONTROL), samples);
        assert!(seen, "the control is not seen: these figures say nothing");
    }
    if leaks == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
