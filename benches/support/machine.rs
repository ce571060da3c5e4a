//! The machine that is measured on, and how long its disk takes to keep a promise.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use super::now;

/// What is told of the machine.
pub struct Machine {
    /// The processors.
    pub processors: String,
    /// The memory, in bytes.
    pub memory: u64,
    /// The kernel.
    pub kernel: String,
    /// The file system under the databases.
    pub file_system: String,
    /// The median and the 99th percentile of appending 4 KiB and having them on disk.
    pub fsync: (Duration, Duration),
}

/// How often the disk is asked.
const SYNCS: usize = 200;

impl Machine {
    /// This one, with the disk under this folder.
    pub fn here(folder: &Path) -> Self {
        let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
        let field = |file: &str, name: &str| {
            let text = read(file);
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let memory = field("/proc/meminfo", "MemTotal");
        Self {
            processors: format!("{cores} x {}", field("/proc/cpuinfo", "model name")),
            memory: 1_024 * memory.trim_end_matches(" kB").parse::<u64>().unwrap_or(0),
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            file_system: file_system(folder),
            fsync: fsync(folder),
        }
    }

    /// Whether the databases lie in memory: then no figure means anything.
    pub fn in_memory(&self) -> bool {
        self.file_system == "tmpfs"
    }
}

/// The type of what is mounted nearest above the folder.
fn file_system(folder: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounted = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (_, at, kind) = (words.next()?, words.next()?, words.next()?);
        folder.starts_with(at).then(|| (at.len(), kind.to_owned()))
    });
    mounted.max_by_key(|(length, _)| *length).map(|(_, kind)| kind).unwrap_or_default()
}

fn fsync(folder: &Path) -> (Duration, Duration) {
    let path = folder.join("fsync");
    let mut file = File::create(&path).expect("a file");
    let mut times: Vec<Duration> = (0..SYNCS)
        .map(|_| {
            let started = now();
            file.write_all(&[1; 4_096]).expect("written");
            file.sync_data().expect("on disk");
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    let _ = std::fs::remove_file(path);
    (times[SYNCS / 2], times[SYNCS * 99 / 100])
}
