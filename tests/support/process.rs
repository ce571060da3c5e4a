//! The real binary as a process of its own: to be killed, and to be talked to as operators do.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::TestDatabase;
use super::service::MASTER_KEY;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_conversiond");

/// A running `conversiond serve`.
pub struct ServeProcess {
    child: Child,
    /// `http://…` of the API.
    pub base: String,
    /// `http://…` of the operator's endpoints.
    pub admin: String,
    log: std::sync::mpsc::Receiver<String>,
}

/// A command on a database, with the tests' master key and nothing else of this environment.
pub fn command(database: &TestDatabase, arguments: &[&str]) -> Command {
    command_by(Command::new(BINARY), database, arguments)
}

/// The same by a program that runs it, and is given its arguments.
pub fn command_by(mut command: Command, database: &TestDatabase, arguments: &[&str]) -> Command {
    command.args(arguments).current_dir(database.folder()).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("CONVERSIOND__DATABASE__URL", &database.url).env("CONVERSIOND_MASTER_KEY", MASTER_KEY);
    command
        .env("CONVERSIOND__SERVER__LISTEN", "127.0.0.1:0")
        .env("CONVERSIOND__ADMIN__LISTEN", "127.0.0.1:0");
    command
}

/// Runs a command to its end.
pub fn run(database: &TestDatabase, arguments: &[&str]) -> Output {
    command(database, arguments).output().unwrap()
}

/// Runs a command with `--json` that must succeed, and reads its result.
pub fn run_json(database: &TestDatabase, arguments: &[&str]) -> Value {
    let output = run(database, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

impl ServeProcess {
    /// Starts the service and waits until it listens.
    pub fn start(database: &TestDatabase) -> Self {
        Self::start_command(command(database, &["serve"]))
    }

    /// Starts a prepared command and waits until it listens.
    pub fn start_command(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        // From here on it is killed should it not come up.
        let mut service = Self { child, base: String::new(), admin: String::new(), log };
        let mut seen = Vec::new();
        loop {
            let line = service.log.recv_timeout(Duration::from_secs(30));
            let line = line.unwrap_or_else(|_| panic!("the service does not listen:\n{}", seen.join("\n")));
            let json: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
            if let (Some(api), Some(admin)) = (json["api_address"].as_str(), json["admin_address"].as_str()) {
                (service.base, service.admin) = (format!("http://{api}"), format!("http://{admin}"));
                return service;
            }
            seen.push(line);
        }
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The process's standard output, once.
    pub fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Kills it, as a crash would end it.
    pub fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().unwrap();
    }

    /// Asks it to end, and returns its exit code and the rest of its log.
    pub fn terminate(mut self) -> (Option<i32>, Vec<String>) {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> (Option<i32>, Vec<String>) {
        let status = self.child.wait().unwrap();
        (status.code(), self.log.iter().collect())
    }
}

impl Drop for ServeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
