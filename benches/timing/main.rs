//! Whether the time of a refusal tells why: known against unknown key, first against last byte of the
//! signature wrong.
//!
//! `cargo bench --bench timing` takes 100,000 refused requests of either class, interleaved at random,
//! once by the function that judges and once over a socket, and compares the classes by a t-test (`welch`):
//! |t| < 4.5 is no difference (dudect's bound), and one of medians below 50 ns no failure. Outliers are cut off at percentiles of both classes
//! together, fixed in advance; t is told for each. It ends with 1 if a class can be told from the other.
//! Settings: `TIMING_SAMPLES` (100000 of each class), `TIMING_SEED` (1).
//!
//! The last line is a control: a body that is one block of SHA-256 longer, which must be seen.
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

/// A difference of medians below this many nanoseconds is told and no failure: among a local network's ten
/// microseconds of jitter it takes millions of refusals to see, and a peer has `peer.failures_per_s`.
const UNSEEN_NS: u64 = 50;

/// Prints a comparison; whether its classes can be told apart.
fn tell(name: &str, samples: &Samples) -> bool {
    let figures = samples.figures();
    let worst = figures.iter().map(|figure| figure.t.abs()).fold(0.0, f64::max);
    let crops: Vec<String> = figures.iter().map(|figure| format!("{:+7.2}", figure.t)).collect();
    let [one, other] = samples.medians();
    println!("{name:<46} {} {one:>9} {other:>9} {worst:>7.2}", crops.join(" "));
    worst >= BOUND && one.abs_diff(other) >= UNSEEN_NS
}

fn main() -> ExitCode {
    let each = setting("TIMING_SAMPLES", 100_000);
    let mut random = Rng::with_seed(setting("TIMING_SEED", 1) as u64);
    let crops: Vec<String> = welch::CROPS.iter().map(|crop| format!("{:>6}%", crop)).collect();
    println!(
        "t over 2 x {each} refused requests; the slowest are cut off beyond a percentile of both classes"
    );
    println!("{:<46} {} {:>9} {:>9} {:>7}", "", crops.join(" "), "ns", "ns", "|t|");
    let mut leaks = Vec::new();
    let comparisons = [judging::KNOWN_OR_NOT, judging::FIRST_OR_LAST_BYTE];
    for comparison in comparisons {
        let samples = judging::measure(comparison, &order(each, &mut random));
        if tell(&format!("judging: {comparison}"), &samples) {
            leaks.push(comparison);
        }
    }
    let service = socket::Service::start();
    for comparison in comparisons {
        let samples = service.measure(comparison, &order(each, &mut random));
        if tell(&format!("socket: {comparison}"), &samples) {
            leaks.push(comparison);
        }
    }
    service.stop();
    let seen = tell(
        &format!("judging: {}", judging::CONTROL),
        &judging::measure(judging::CONTROL, &order(each, &mut random)),
    );
    assert!(seen, "the control is not seen: these figures say nothing");
    if leaks.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
