//! The programs of a merchant, run as processes and watched.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde_json::Value;

use super::shop::Shop;
use crate::support::programs::{installed, without_proxies};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reliability/retries/programs");

/// Whether all that the programs need is there; else it is said what is missing, once.
pub fn tools() -> bool {
    static ALL: OnceLock<bool> = OnceLock::new();
    let others: [&[&str]; 4] = [&["sh"], &["curl"], &["openssl"], &["awk"]];
    *ALL.get_or_init(|| node().is_some() && others.iter().all(|names| installed(names).is_some()))
}

fn node() -> Option<&'static str> {
    static NODE: OnceLock<Option<&str>> = OnceLock::new();
    *NODE.get_or_init(|| installed(&["node", "nodejs"]))
}

/// A program that is about to be run.
pub struct Program {
    name: &'static str,
    command: Command,
    settings: Vec<(String, String)>,
    answer_file: std::path::PathBuf,
}

/// One that runs.
pub struct Running {
    name: &'static str,
    settings: Vec<(String, String)>,
    child: Child,
    told: Arc<Mutex<Told>>,
    readers: Vec<std::thread::JoinHandle<()>>,
    answer_file: std::path::PathBuf,
}

#[derive(Debug, Default)]
struct Told {
    attempts: Vec<Attempt>,
    outcomes: Vec<Outcome>,
    /// Everything else that it said.
    other: Vec<String>,
}

/// One request that a program made.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub order: String,
    /// 0 where there was no answer.
    pub status: u16,
}

/// What a program says of an order in the end.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub order: String,
    /// 0 where it has no answer.
    pub status: u16,
    /// Whether the answer says that it is a stored one; shell programs do not look.
    pub replayed: bool,
    pub body: Option<String>,
}

/// One that has ended.
#[derive(Debug)]
pub struct Ended {
    pub success: bool,
    pub attempts: Vec<Attempt>,
    pub outcomes: Vec<Outcome>,
    /// For who reads why a test failed: how to run it so again, and what else it said.
    #[expect(dead_code, reason = "Debug shows it")]
    seen: String,
}

impl Program {
    /// A program (`….mjs` or `….sh`) that calls the shop's proxy with its key.
    pub fn new(name: &'static str, shop: &Shop) -> Self {
        let mut command = Command::new(if name.ends_with(".sh") { "sh" } else { node().unwrap() });
        command.arg(format!("{FOLDER}/{name}")).current_dir(shop.database.folder());
        without_proxies(&mut command).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let caller = &shop.caller;
        let answer_file = shop.database.folder().join(format!("answer-{}", uuid::Uuid::new_v4().simple()));
        let program = Self { name, command, settings: Vec::new(), answer_file };
        let random = uuid::Uuid::new_v4().as_u128() % 1_000_000;
        let program = program.set("CONVERSIOND_URL", &shop.proxy.base());
        let program = program.set("CONVERSIOND_KEY_ID", &caller.key_id);
        let program = program.set("CONVERSIOND_SECRET", caller.secret.expose_text());
        let answer_file = program.answer_file.display().to_string();
        program.set("ANSWER", &answer_file).set("SEED", &random.to_string())
    }

    /// A setting of its environment.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// For one order, under this key; `""` = without.
    pub fn order(self, order: &str, key: &str) -> Self {
        self.set("ORDER_ID", order).set("KEY", key)
    }

    pub fn start(mut self) -> Running {
        self.command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        let mut child = self.command.spawn().unwrap();
        let told = Arc::new(Mutex::new(Told::default()));
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let readers = vec![follow(out, told.clone()), follow(err, told.clone())];
        let Self { name, settings, answer_file, .. } = self;
        Running { name, settings, child, told, readers, answer_file }
    }

    /// Runs it to its end.
    pub async fn run(self) -> Ended {
        self.start().end().await
    }
}

/// Reads what a program says, as it says it.
fn follow(
    stream: impl std::io::Read + Send + 'static,
    told: Arc<Mutex<Told>>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            told.lock().unwrap().take(line);
        }
    })
}

impl Told {
    fn take(&mut self, line: String) {
        let text = |json: &Value, name: &str| json[name].as_str().map(str::to_owned);
        let status = |json: &Value| json["status"].as_u64().map_or(0, |status| status.try_into().unwrap());
        if let Some(json) = line.strip_prefix("attempt ") {
            let json: Value = serde_json::from_str(json).unwrap();
            let attempt = Attempt { order: text(&json, "order").unwrap(), status: status(&json) };
            self.attempts.push(attempt);
        } else if line.starts_with('{') {
            let json: Value = serde_json::from_str(&line).unwrap();
            let outcome = Outcome {
                order: text(&json, "order").unwrap(),
                status: status(&json),
                replayed: json["replayed"] == "true",
                body: text(&json, "body"),
            };
            self.outcomes.push(outcome);
        }
        self.other.push(line);
    }
}

impl Running {
    /// The attempts it has made until now.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.told.lock().unwrap().attempts.clone()
    }

    /// How many of them were answered so; 0 = not at all.
    pub fn count(&self, status: u16) -> usize {
        self.attempts().iter().filter(|attempt| attempt.status == status).count()
    }

    /// How many orders are answered 202.
    pub fn acknowledged(&self) -> usize {
        self.told.lock().unwrap().outcomes.iter().filter(|outcome| outcome.status == 202).count()
    }

    /// Kills it, as a crash would end it.
    pub async fn kill(mut self) {
        self.child.kill().unwrap();
        self.end().await;
    }

    /// Waits until it ends by itself.
    pub async fn end(mut self) -> Ended {
        let mut status = None;
        for _ in 0..6_000 {
            status = self.child.try_wait().unwrap();
            if status.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let told = self.told.clone();
        let shown: Vec<_> = self.settings.iter().filter(|(name, _)| name != "CONVERSIOND_SECRET").collect();
        let shown = format!("{} {shown:?}", self.name);
        let Some(status) = status else { panic!("{shown} does not end: {:?}", told.lock().unwrap()) };
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let mut told = std::mem::take(&mut *told.lock().unwrap());
        if let Some(outcome) = self.shell_outcome(&told.other) {
            told.outcomes.push(outcome);
        }
        let seen = format!("{shown}:\n{}", told.other.join("\n"));
        Ended { success: status.success(), attempts: told.attempts, outcomes: told.outcomes, seen }
    }

    /// What the shell's loop says in its way.
    fn shell_outcome(&self, said: &[String]) -> Option<Outcome> {
        let code = said.iter().find_map(|line| {
            let (word, code) = line.split_once(' ')?;
            ["ok", "error", "unconfirmed"].contains(&word).then_some(code)
        })?;
        let order = self.settings.iter().find(|(name, _)| name == "ORDER_ID").unwrap().1.clone();
        let body = std::fs::read_to_string(&self.answer_file).ok();
        Some(Outcome { order, status: code.parse().unwrap(), replayed: false, body })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Outcome {
    pub fn json(&self) -> Value {
        serde_json::from_str(self.body.as_deref().unwrap())
            .unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Ended {
    /// What it says of its one order.
    #[track_caller]
    pub fn only(&self) -> &Outcome {
        assert_eq!(self.outcomes.len(), 1, "{self:?}");
        &self.outcomes[0]
    }

    /// The statuses of its attempts; 0 = no answer.
    pub fn statuses(&self) -> Vec<u16> {
        self.attempts.iter().map(|attempt| attempt.status).collect()
    }
}
