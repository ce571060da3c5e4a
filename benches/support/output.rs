//! Where figures go besides the terminal: `target/bench/`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::machine::Machine;
use super::series::Series;

/// The folder beside the binaries' one.
fn folder() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_conversiond"));
    let target = binary.parent().and_then(Path::parent).expect("a target folder");
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Writes a file and says so.
pub fn write(name: &str, text: &str) {
    let file = folder().join(name);
    std::fs::write(&file, text).expect("written");
    println!("written      {}", file.display());
}

/// What was measured on, for machines.
pub fn json_machine(machine: &Machine, cluster: &[(String, String)]) -> Value {
    let settings: serde_json::Map<String, Value> =
        cluster.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    json!({
        "conversiond": env!("CARGO_PKG_VERSION"),
        "processors": machine.processors,
        "memory_bytes": machine.memory,
        "kernel": machine.kernel,
        "file_system": machine.file_system,
        "fsync_ms": { "p50": machine.fsync.0.as_secs_f64() * 1e3, "p99": machine.fsync.1.as_secs_f64() * 1e3 },
        "postgresql": settings,
    })
}

/// Of each series' rounds, for each number of connections the run of the median rate.
pub fn medians(rounds: Vec<Vec<Series>>) -> Vec<Series> {
    let mut rounds = rounds.into_iter();
    let mut merged: Vec<(Series, Vec<Vec<super::measure::Run>>)> = Vec::new();
    for mut series in rounds.next().unwrap_or_default() {
        let runs = series.runs.drain(..).map(|run| vec![run]).collect();
        merged.push((series, runs));
    }
    for round in rounds {
        for ((into, runs), series) in merged.iter_mut().zip(round) {
            into.peak_memory = into.peak_memory.max(series.peak_memory);
            for (runs, run) in runs.iter_mut().zip(series.runs) {
                runs.push(run);
            }
        }
    }
    let median = |mut runs: Vec<super::measure::Run>| {
        runs.sort_by(|one, other| one.per_second().total_cmp(&other.per_second()));
        runs.swap_remove(runs.len() / 2)
    };
    let with_runs = |(mut series, runs): (Series, Vec<Vec<super::measure::Run>>)| {
        series.runs = runs.into_iter().map(median).collect();
        series
    };
    merged.into_iter().map(with_runs).collect()
}
