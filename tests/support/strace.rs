//! The service under `strace`: what it does to its database's files, in the order in which it does
//! it, and when it tells its callers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::TestDatabase;
use super::process::{BINARY, command_by};
use super::programs::runs_for_faults;

/// What the service did. Files are named as in their folder.
#[derive(Debug)]
pub enum Step {
    /// A folder was made.
    MakeFolder,
    /// A file was opened that is made if need be.
    Open {
        file: String,
    },
    Write {
        file: String,
        at: usize,
        data: Vec<u8>,
    },
    Truncate {
        file: String,
        length: usize,
    },
    Remove {
        file: String,
    },
    /// A sync of a file began.
    SyncBegins {
        file: String,
        thread: u32,
    },
    /// It ended, and may have failed.
    SyncEnds {
        file: String,
        thread: u32,
        done: bool,
    },
    /// The folder's entries were synced.
    SyncFolder,
    /// So were those of the folder that it is in.
    SyncFolderAbove,
    /// The id of an event, or of a key, was on its way to its caller.
    Sent {
        id: String,
    },
}

/// A folder whose files are watched, and where traces are written.
pub struct Strace {
    watched: PathBuf,
    traces: PathBuf,
    processes: usize,
}

impl Strace {
    /// Watches the folder of this database; `None` where strace is not installed, which is said.
    pub fn of(database: &TestDatabase) -> Option<Self> {
        if !may_trace() {
            return None;
        }
        let file = database.url.strip_prefix("sqlite:").expect("a file");
        let watched = Path::new(file).parent().unwrap().to_owned();
        Some(Self { watched, traces: database.folder(), processes: 0 })
    }

    /// The next process, traced. Further options may make its calls fail. It is strace's child's child:
    /// signals go to the process itself.
    pub fn command(&mut self, database: &TestDatabase, options: &[&str], arguments: &[&str]) -> Command {
        self.processes += 1;
        let mut strace = Command::new("strace");
        strace.args(["-D", "-f", "--seccomp-bpf", "-q", "-y", "-xx", "-s", "2000000"]);
        strace.args(["-e", TRACED]).args(options);
        strace.arg("-o").arg(self.trace(self.processes)).arg(BINARY);
        command_by(strace, database, arguments)
    }

    fn trace(&self, process: usize) -> PathBuf {
        self.traces.join(format!("trace-{process}"))
    }

    /// Reads what the last process did, once strace has written all of it down.
    pub fn steps(&self) -> Vec<Step> {
        let path = self.trace(self.processes);
        for _ in 0..1_000 {
            let text = std::fs::read(&path).unwrap_or_default();
            if is_whole(&text) {
                return Reader { watched: &self.watched, unfinished: HashMap::new(), steps: Vec::new() }
                    .read(&text);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("strace has not finished {}", path.display());
    }
}

/// Whether strace is installed and may trace.
pub fn may_trace() -> bool {
    runs_for_faults("strace", &["-f", "--seccomp-bpf", "-o", "/dev/null", "true"])
}

/// A process of which these calls fail, as strace's `inject` puts it, and where it writes which.
pub fn failing(database: &TestDatabase, calls: &[&str], trace: &Path, arguments: &[&str]) -> Command {
    let names: Vec<&str> = calls.iter().filter_map(|call| call.split(':').next()).collect();
    // The database's file, and those beside it that SQLite makes.
    let file = database.url.strip_prefix("sqlite:").expect("a file");
    let mut strace = Command::new("strace");
    strace.args(["-D", "-f", "-qq", "-e", &format!("trace={}", names.join(","))]);
    for suffix in ["", "-wal"] {
        strace.args(["-P", &format!("{file}{suffix}")]);
    }
    for call in calls {
        strace.args(["-e", &format!("inject={call}")]);
    }
    strace.arg("-o").arg(trace).arg(BINARY);
    command_by(strace, database, arguments)
}

/// All that changes files or their names, and what sends.
const TRACED: &str = "trace=openat,pwrite64,pwritev,pwritev2,ftruncate,truncate,fallocate,rename,renameat,renameat2,\
     link,linkat,unlink,unlinkat,mkdir,fsync,fdatasync,sync_file_range,write,writev,sendto,sendmsg";

/// Whether the last line tells the end of the process that the first line is of.
fn is_whole(text: &[u8]) -> bool {
    let id: &[u8] = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    let last = text.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    !id.is_empty() && last.starts_with(id) && last.ends_with(b" +++")
}

struct Reader<'a> {
    watched: &'a Path,
    /// Calls that were interrupted by others' lines, by thread.
    unfinished: HashMap<u32, Vec<u8>>,
    steps: Vec<Step>,
}

impl Reader<'_> {
    fn read(mut self, text: &[u8]) -> Vec<Step> {
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.line(line);
        }
        self.steps
    }

    fn line(&mut self, line: &[u8]) {
        let space = line.iter().position(|byte| *byte == b' ').unwrap();
        let thread: u32 = std::str::from_utf8(&line[..space]).unwrap().parse().unwrap();
        let text = line[space..].trim_ascii();
        if text.starts_with(b"+++") || text.starts_with(b"---") {
            return;
        }
        if text.starts_with(b"<... ") {
            let resumed = b" resumed>";
            let at = text.windows(resumed.len()).position(|part| part == resumed).unwrap();
            let Some(mut call) = self.unfinished.remove(&thread) else { return };
            call.extend_from_slice(&text[at + resumed.len()..]);
            self.ends(&call, thread);
        } else if let Some(begun) = text.strip_suffix(b"<unfinished ...>") {
            self.begins(begun.trim_ascii_end(), thread);
            self.unfinished.insert(thread, begun.trim_ascii_end().to_vec());
        } else {
            self.begins(text, thread);
            self.ends(text, thread);
        }
    }

    /// What counts from the moment of the call: a promise, once it is on its way, and where a sync starts.
    fn begins(&mut self, call: &[u8], thread: u32) {
        let (name, arguments) = name_and_rest(call);
        match name {
            // A log tells nobody's caller anything.
            "write" if !arguments.starts_with(b"(1<") => {}
            "sendto" | "sendmsg" | "write" | "writev" => {
                for data in strings(arguments) {
                    self.steps.extend(promised_in(&data).into_iter().map(|id| Step::Sent { id }));
                }
            }
            "fsync" | "fdatasync" => {
                if let Some(file) = self.watched_file(&opened(arguments)) {
                    self.steps.push(Step::SyncBegins { file, thread });
                }
            }
            _ => {}
        }
    }

    /// What counts only once it has come back.
    fn ends(&mut self, call: &[u8], thread: u32) {
        let (name, arguments) = name_and_rest(call);
        let Some(result) = result(arguments) else { return };
        let step = match name {
            "fsync" | "fdatasync" => self.sync(&opened(arguments), thread, result),
            _ if result < 0 => None,
            "openat" if contains(arguments, b"O_CREAT") => {
                assert!(!contains(arguments, b"O_TRUNC") || self.first_file(arguments).is_none());
                self.first_file(arguments).map(|file| Step::Open { file })
            }
            "pwrite64" => self.watched_file(&opened(arguments)).map(|file| {
                let mut data = strings(arguments).remove(0);
                let written = usize::try_from(result).unwrap();
                assert!(data.len() >= written, "strace has cut what was written");
                data.truncate(written);
                Step::Write { file, at: last_number(arguments), data }
            }),
            "ftruncate" => self
                .watched_file(&opened(arguments))
                .map(|file| Step::Truncate { file, length: last_number(arguments) }),
            // Behind the end, which it moves.
            "fallocate" => self.watched_file(&opened(arguments)).map(|file| Step::Truncate {
                file,
                length: last_numbers(arguments).iter().rev().take(2).sum(),
            }),
            "unlink" => self.first_file(arguments).map(|file| Step::Remove { file }),
            "mkdir" => (path_of(arguments).as_deref() == Some(self.watched)).then_some(Step::MakeFolder),
            "openat" | "sendto" | "sendmsg" => None,
            // SQLite does none of these to its files. Should it begin to, this must learn it.
            _ => {
                let here = self.first_file(arguments).or_else(|| self.watched_file(&opened(arguments)));
                assert_eq!(here, None, "{name} changes a watched file");
                None
            }
        };
        self.steps.extend(step);
    }

    fn sync(&self, path: &Path, thread: u32, result: i64) -> Option<Step> {
        if path == self.watched {
            return (result == 0).then_some(Step::SyncFolder);
        }
        if Some(path) == self.watched.parent() {
            return (result == 0).then_some(Step::SyncFolderAbove);
        }
        Some(Step::SyncEnds { file: self.watched_file(path)?, thread, done: result == 0 })
    }

    fn first_file(&self, arguments: &[u8]) -> Option<String> {
        self.watched_file(&path_of(arguments)?)
    }

    /// The name of a file of the watched folder.
    fn watched_file(&self, path: &Path) -> Option<String> {
        let name = path.strip_prefix(self.watched).ok()?.to_str()?;
        // Memory shared by processes, written without calls: SQLite makes it anew when it is the first.
        let counts = !name.is_empty() && !name.ends_with("-shm");
        counts.then(|| name.to_owned())
    }
}

fn name_and_rest(call: &[u8]) -> (&str, &[u8]) {
    let at = call.iter().position(|byte| *byte == b'(').unwrap_or(call.len());
    (std::str::from_utf8(&call[..at]).unwrap(), &call[at..])
}

/// What the call returned; `None` where nobody knows.
fn result(arguments: &[u8]) -> Option<i64> {
    let at = arguments.windows(2).rposition(|part| part == b"= ")?;
    let text = std::str::from_utf8(&arguments[at + 2..]).ok()?;
    text.split([' ', '<']).next()?.parse().ok()
}

/// The path that strace tells of the first argument, an open file.
fn opened(arguments: &[u8]) -> PathBuf {
    let Some(from) = arguments.iter().position(|byte| *byte == b'<') else { return PathBuf::new() };
    let rest = &arguments[from + 1..];
    let to = rest.iter().position(|byte| *byte == b'>').unwrap_or(0);
    PathBuf::from(String::from_utf8(unescaped(&rest[..to])).unwrap_or_default())
}

/// The path that is the call's first string.
fn path_of(arguments: &[u8]) -> Option<PathBuf> {
    let text = strings(arguments).into_iter().next()?;
    Some(PathBuf::from(String::from_utf8(text).ok()?))
}

/// The last argument, a number.
fn last_number(arguments: &[u8]) -> usize {
    *last_numbers(arguments).last().unwrap()
}

/// The numbers that follow what else a call is given.
fn last_numbers(arguments: &[u8]) -> Vec<usize> {
    let end = arguments.iter().rposition(|byte| *byte == b')').unwrap();
    let numbers = arguments[..end].rsplit(|byte| *byte == b' ');
    let mut numbers: Vec<usize> = numbers
        .map_while(|number| {
            std::str::from_utf8(number.strip_suffix(b",").unwrap_or(number)).ok()?.parse().ok()
        })
        .collect();
    numbers.reverse();
    numbers
}

/// All strings of a call, whose every byte strace writes as `\xNN`.
fn strings(arguments: &[u8]) -> Vec<Vec<u8>> {
    arguments.split(|byte| *byte == b'"').skip(1).step_by(2).map(unescaped).collect()
}

fn unescaped(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| if byte.is_ascii_digit() { byte - b'0' } else { byte - b'a' + 10 };
    text.chunks_exact(4).map(|escaped| digit(escaped[2]) * 16 + digit(escaped[3])).collect()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The ids of events and keys that a message tells of.
fn promised_in(data: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(data);
    let ids = |name: &str| {
        text.split(name)
            .skip(1)
            .filter_map(|rest| rest.split('"').nth(1))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    [ids("\"event_id\":"), ids("\"key_id\":")].concat()
}
