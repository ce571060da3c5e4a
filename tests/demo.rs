//! `serve --demo`: a newcomer's first minute, as a process and with the printed line pasted into a
//! shell.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests may fail loudly"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

#[allow(unused_imports, unused_macros, reason = "each test binary uses its part of the harness")]
#[path = "support/mod.rs"]
mod support;

use support::process::command;
use support::{Backend, TestDatabase};

/// A running demo, ended whatever becomes of the test.
struct Demo {
    child: Child,
    lines: Receiver<String>,
    /// Its temporary folder lies in here.
    database: TestDatabase,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let database = Backend::Sqlite.database();
        let mut serve = command(&database, &[&["serve", "--demo"], arguments].concat());
        serve.env("TMPDIR", database.folder()).env_remove("CONVERSIOND_MASTER_KEY");
        // Whatever database is configured, a demo leaves it alone.
        serve.env("CONVERSIOND__DATABASE__URL", "postgres://nobody@127.0.0.1:1/real-business");
        let mut child = serve.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|l| sender.send(l)));
        Self { child, lines, database }
    }

    /// The first printed line of which this holds.
    fn line(&self, wanted: impl Fn(&str) -> bool) -> String {
        let mut seen = Vec::new();
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(30));
            let line = line.unwrap_or_else(|_| panic!("the demo does not print it: {}", seen.join("\n")));
            if wanted(&line) {
                return line;
            }
            seen.push(line);
        }
    }

    /// Ends it as a supervisor would; its exit code and its log.
    fn end(mut self, signal: Signal) -> (Option<i32>, String) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the line can be pasted here at all.
fn tools() -> bool {
    let missing: Vec<_> = ["bash", "curl", "openssl"]
        .into_iter()
        .filter(|tool| Command::new(tool).arg("--version").output().is_err())
        .collect();
    if !missing.is_empty() {
        // Past the test runner\'s capture: what is skipped must be seen.
        let _ = writeln!(std::io::stderr(), "skipped: {} not installed", missing.join(", "));
    }
    missing.is_empty()
}

/// Pastes a line; what the service answered.
fn paste(line: &str) -> Value {
    let mut bash = Command::new("bash");
    for variable in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        bash.env_remove(variable);
    }
    let output = bash.arg("-c").arg(line).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && err.is_empty(), "{out}\n{err}\n{line}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}\n{line}"))
}

fn accepted_then_a_duplicate(line: &str) {
    let (first, second) = (paste(line), paste(line));
    assert_eq!(
        (&first["status"], &first["attribution"]["status"]),
        (&"ACCEPTED".into(), &"attributed".into())
    );
    assert_eq!((&first["order_id"], &first["mode"]), (&"ORD-1001".into(), &"live".into()));
    assert_eq!(second["status"], "DUPLICATE");
    assert!(second.get("differs").is_none_or(Value::is_null), "{second}");
    for member in ["event_id", "received_at", "attribution", "order_id"] {
        assert!(!first[member].is_null(), "{member}: {first}");
        assert_eq!(first[member], second[member], "{member}");
    }
}

#[test]
fn the_printed_line_works_as_pasted_twice_and_the_demo_ends_with_0() {
    if !tools() {
        return;
    }
    let demo = Demo::start(&[]);
    let line = demo.line(|line| line.contains("curl") && line.contains("BODY="));
    accepted_then_a_duplicate(&line);
    let (code, log) = demo.end(Signal::SIGTERM);
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("everything taken is on disk"), "{log}");
    assert!(!log.contains("whsec_"), "the secret is for the printed line alone");
}

#[test]
fn for_programs_the_line_is_a_member_of_a_json_object() {
    if !tools() {
        return;
    }
    let demo = Demo::start(&["--json"]);
    let shown: Value = serde_json::from_str(&demo.line(|line| line.starts_with('{'))).unwrap();
    accepted_then_a_duplicate(shown["curl"].as_str().unwrap());
    let folder = shown["folder"].as_str().unwrap().to_owned();
    assert!(folder.starts_with(demo.database.folder().to_str().unwrap()), "{folder}");
    let (code, log) = demo.end(Signal::SIGINT);
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_demo_comes_up_where_migrations_are_turned_off_and_a_log_format_is_set() {
    if !tools() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(&file, "[database]\nmigrate = false\n[telemetry]\nlog_format = \"json\"\n").unwrap();
    let demo = Demo::start(&["--config", file.to_str().unwrap()]);
    let line = demo.line(|line| line.contains("curl") && line.contains("BODY="));
    accepted_then_a_duplicate(&line);
    assert_eq!(demo.end(Signal::SIGTERM).0, Some(0));
}

#[test]
fn two_demos_run_side_by_side() {
    if !tools() {
        return;
    }
    let demos = [Demo::start(&[]), Demo::start(&[])];
    for demo in &demos {
        accepted_then_a_duplicate(&demo.line(|line| line.contains("curl") && line.contains("BODY=")));
    }
    for demo in demos {
        assert_eq!(demo.end(Signal::SIGTERM).0, Some(0));
    }
}
