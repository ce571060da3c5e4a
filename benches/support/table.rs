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

/// The columns after the name: two lines of head, and a width.
const COLUMNS: [(&str, &str, usize); 16] = [
    ("conns", "", 5),
    ("events/s", "", 9),
    ("ratio", "", 8),
    ("p50 ms", "", 8),
    ("p99 ms", "", 8),
    ("max ms", "", 8),
    ("commits", "/s", 8),
    ("events", "/commit", 8),
    ("µs CPU", "service", 8),
    ("µs CPU", "postgres", 8),
    ("µs CPU", "load", 7),
    ("cores", "busy", 6),
    ("written", "B/event", 8),
    ("stored", "B/event", 8),
    ("peak", "MiB", 5),
    ("ready", "ms", 6),
];

fn print_row(name: &str, cells: &[String]) {
    let cells: String =
        COLUMNS.iter().zip(cells).map(|((_, _, width), cell)| format!(" {cell:>width$}")).collect();
    println!("{name:<32}{cells}");
}

/// The head of the table of runs, and what their rates are divided by.
pub fn print_head(ratio: &str) {
    println!();
    let above = |head: &str| if head == "ratio" { ratio.to_owned() } else { head.to_owned() };
    print_row("", &COLUMNS.map(|(head, _, _)| above(head)));
    print_row("", &COLUMNS.map(|(_, below, _)| below.to_owned()));
}

/// The rows of a series, beside another one's at the same number of connections.
pub fn print_series(series: &Series, base: Option<&Series>) {
    for (number, run) in series.runs.iter().enumerate() {
        let base = base.and_then(|base| base.at(run.connections));
        print_run(series, run, base, number + 1 == series.runs.len());
    }
}

fn print_run(series: &Series, run: &Run, base: Option<&Run>, last: bool) {
    let [service, postgres, load] = run.cpu_per_event();
    let some = |value: Option<f64>, digits: usize| match value {
        Some(value) => format!("{value:.digits$}"),
        None => "-".to_owned(),
    };
    let of_series = |value: Option<f64>| if last { some(value, 0) } else { String::new() };
    let cells = [
        run.connections.to_string(),
        format!("{:.0}", run.per_second()),
        some(base.map(|base| run.per_second() / base.per_second()), 2),
        format!("{:.2}", run.latency_ms(0.5)),
        format!("{:.2}", run.latency_ms(0.99)),
        format!("{:.1}", run.latency_ms(1.0)),
        format!("{:.0}", run.commits_per_second()),
        some(run.events_per_commit(), 1),
        format!("{service:.1}"),
        some((postgres > 0.0).then_some(postgres), 1),
        format!("{load:.1}"),
        format!("{:.2}", run.cores_busy()),
        format!("{:.0}", run.written_per_event()),
        of_series(series.stored_per_event),
        of_series(Some(super::float(series.peak_memory) / f64::from(1 << 20))),
        of_series(Some(series.ready_after.as_secs_f64() * 1e3)),
    ];
    print_row(&series.name, &cells);
}

fn gibibytes(bytes: u64) -> f64 {
    super::float(bytes) / f64::from(1 << 30)
}
