//! What the kernel says of processes.

use std::ops::Sub;
use std::time::Duration;

/// Ticks a second in /proc, on every platform of today's.
const TICKS: u64 = 100;

/// Time on the processors, user and system together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu(pub Duration);

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

/// The fields of a process's state after its name, which may hold anything.
fn fields(id: u32) -> Option<Vec<u64>> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    // The state is a letter, some fields are negative: neither is used.
    Some(rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
}

fn ticks(fields: &[u64], which: std::ops::Range<usize>) -> Duration {
    Duration::from_millis(fields.get(which).unwrap_or_default().iter().sum::<u64>() * 1_000 / TICKS)
}

/// What a process has used so far.
pub fn cpu(id: u32) -> Cpu {
    fields(id).map(|fields| Cpu(ticks(&fields, 11..13))).unwrap_or_default()
}

/// What a process and its children have used so far, those that have ended included.
pub fn cpu_of_family(id: u32) -> Cpu {
    let Some(own) = fields(id) else { return Cpu::default() };
    let mut sum = ticks(&own, 11..15);
    let Ok(processes) = std::fs::read_dir("/proc") else { return Cpu(sum) };
    for entry in processes.flatten() {
        let child = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(fields);
        sum += child
            .filter(|child| child.get(1) == Some(&u64::from(id)))
            .map(|child| ticks(&child, 11..13))
            .unwrap_or_default();
    }
    Cpu(sum)
}

/// The process that started this one.
pub fn parent(id: u32) -> u32 {
    let fields = fields(id).expect("a process that runs");
    u32::try_from(fields[1]).expect("a process id")
}

/// The most memory that a process had at one moment, in bytes.
pub fn peak_memory(id: u32) -> u64 {
    1_024 * number(&format!("/proc/{id}/status"), "VmHWM:")
}

/// How many bytes a process has had written to storage.
pub fn written(id: u32) -> u64 {
    number(&format!("/proc/{id}/io"), "write_bytes:")
}

fn number(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
