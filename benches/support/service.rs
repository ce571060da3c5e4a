//! A service as a process of its own, so that its memory and its time can be told from the load's.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::cast::MASTER_KEY;
use super::child::{self, Stand};
use super::databases::Database;
use super::now;
use super::process::{self, Cpu};

/// What is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The release binary.
    Release,
    /// The same service in the benchmark's own executable, with something else behind the writer.
    StandIn(Stand),
}

/// A service that runs.
pub struct Service {
    child: Child,
    /// Where the API listens.
    pub api: SocketAddr,
    admin: SocketAddr,
    /// From its start until it said that it is ready.
    pub ready_after: Duration,
}

/// What it says of its transactions.
#[derive(Debug, Clone, Copy)]
pub struct Commits {
    /// How many.
    pub commits: f64,
    /// With how many events in them.
    pub events: f64,
}

impl Service {
    /// Starts it and waits until it is ready. Settings are as in the environment:
    /// `("INGEST__BATCH_EVENTS", "1")`.
    pub fn start(program: Program, database: &Database, settings: &[(&str, &str)]) -> Self {
        let mut command = match program {
            Program::Release => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_conversiond"));
                command.arg("serve").env_clear();
                command
            }
            Program::StandIn(stand) => child::command(stand),
        };
        let own = [
            ("SERVER__LISTEN", "127.0.0.1:0"),
            ("ADMIN__LISTEN", "127.0.0.1:0"),
            ("DATABASE__URL", &database.url),
            // Requests are signed before the first of them is sent.
            ("SIGNATURE__TOLERANCE_S", "900"),
        ];
        // Whoever measures another setting than the default has set it.
        command.envs(std::env::vars().filter(|(name, _)| name.starts_with("CONVERSIOND__")));
        for (name, value) in own.iter().chain(settings) {
            command.env(format!("CONVERSIOND__{name}"), value);
        }
        command.env("CONVERSIOND_MASTER_KEY", MASTER_KEY);
        let started = now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let log = BufReader::new(child.stderr.take().expect("its log"));
        let (tell, addresses) = mpsc::channel();
        std::thread::spawn(move || listen(log, &tell));
        let (api, admin) = addresses.recv_timeout(Duration::from_secs(60)).expect("it listens");
        let mut service = Self { child, api, admin, ready_after: Duration::ZERO };
        while !service.ask("/readyz").starts_with("HTTP/1.1 200") {
            std::thread::sleep(Duration::from_micros(200));
        }
        service.ready_after = started.elapsed();
        service
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has used so far.
    pub fn cpu(&self) -> Cpu {
        process::cpu(self.id())
    }

    /// What it has committed so far.
    pub fn commits(&self) -> Commits {
        let metrics = self.ask("/metrics");
        let figure = |name: &str| -> f64 {
            let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
            value.unwrap_or_else(|| panic!("{name}is not among the figures"))
        };
        Commits {
            commits: figure("conversiond_batch_events_count "),
            events: figure("conversiond_batch_events_sum "),
        }
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(mut self) {
        let id = Pid::from_raw(i32::try_from(self.id()).expect("a process id"));
        kill(id, Signal::SIGTERM).expect("told to end");
        let status = self.child.wait().expect("its end");
        assert!(status.success(), "the service ended with {status}");
    }

    /// The whole answer of an operator's endpoint.
    fn ask(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).expect("a connection");
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells the addresses; what the service complains about is shown.
fn listen(log: impl std::io::BufRead, tell: &mpsc::Sender<(SocketAddr, SocketAddr)>) {
    for line in log.lines().map_while(Result::ok) {
        let json: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
        let address = |name: &str| json[name].as_str().and_then(|text| text.parse().ok());
        if let (Some(api), Some(admin)) = (address("api_address"), address("admin_address")) {
            let _ = tell.send((api, admin));
        }
        if json["level"].as_str().is_none_or(|level| matches!(level, "WARN" | "ERROR")) {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}
