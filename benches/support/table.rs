//! Figures for people, on standard output.

use super::machine::Machine;
use super::measure::Run;
use super::series::Series;

/// What the figures were taken on.
pub fn print_machine(machine: &Machine, cluster: &[(String, String)]) {
    let (median, slow) = machine.fsync;
    println!("machine      {}, {:.1} GiB, {}", machine.processors, gibibytes(machine.memory), machine.kernel);
    println!(
        "disk         {}: 4 KiB appended and on disk in {:.2} ms (p50), {:.2} ms (p99)",
        machine.file_system,
        median.as_secs_f64() * 1e3,
        slow.as_secs_f64() * 1e3
    );
    if machine.in_memory() {
        println!("             THIS IS MEMORY: nothing is kept, no figure counts. Set TMPDIR.");
    }
    let told: Vec<String> = cluster.iter().map(|(name, value)| format!("{name} {value}")).collect();
    match told.as_slice() {
        [] => println!("postgresql   no server binaries found: left out"),
        _ => println!("postgresql   {}", told.join(", ")),
    }
}

/// The head of the table of runs.
pub fn print_head() {
    println!(
        "\n{:<26} {:>5} {:>9} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7} {:>7} {:>8} {:>8} {:>7} {:>7}",
        "",
        "conns",
        "events/s",
        "of C",
        "p50 ms",
        "p99 ms",
        "max ms",
        "commits",
        "events",
        "µs CPU",
        "µs CPU",
        "µs CPU",
        "written",
        "stored",
        "peak",
        "ready"
    );
    println!(
        "{:<26} {:>5} {:>9} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7} {:>7} {:>8} {:>8} {:>7} {:>7}",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        "/s",
        "/commit",
        "service",
        "postgr.",
        "load",
        "B/event",
        "B/event",
        "MiB",
        "ms"
    );
}

/// The rows of a series, beside the ceiling at the same number of connections.
pub fn print_series(series: &Series, ceiling: Option<&Series>) {
    for (number, run) in series.runs.iter().enumerate() {
        let base = ceiling.and_then(|ceiling| ceiling.at(run.connections));
        print_run(series, run, base, number + 1 == series.runs.len());
    }
}

fn print_run(series: &Series, run: &Run, base: Option<&Run>, last: bool) {
    let [service, postgres, load] = run.cpu_per_event();
    let or_dash = |value: Option<f64>, digits: usize| match value {
        Some(value) => format!("{value:.digits$}"),
        None => "-".to_owned(),
    };
    let of_series = |value: Option<f64>| if last { or_dash(value, 0) } else { String::new() };
    println!(
        "{:<26} {:>5} {:>9.0} {:>6} {:>8.2} {:>8.2} {:>8.1} {:>8.0} {:>8} {:>7.1} {:>7} {:>7.1} {:>8.0} {:>8} {:>7} {:>7}",
        series.name,
        run.connections,
        run.per_second(),
        or_dash(base.map(|base| run.per_second() / base.per_second()), 2),
        run.latency_ms(0.5),
        run.latency_ms(0.99),
        run.latency_ms(1.0),
        run.commits_per_second(),
        or_dash(run.events_per_commit(), 1),
        service,
        or_dash((postgres > 0.0).then_some(postgres), 1),
        load,
        run.written_per_event(),
        of_series(series.stored_per_event),
        of_series(Some(super::float(series.peak_memory) / f64::from(1 << 20))),
        of_series(Some(series.ready_after.as_secs_f64() * 1e3)),
    );
}

fn gibibytes(bytes: u64) -> f64 {
    super::float(bytes) / f64::from(1 << 30)
}
