//! The power fails, and SQLite finds on the disk what had been synced, and of the rest what chance left.
//!
//! The real service runs under strace, which writes down what it does to its files, in order, and when
//! its callers are told. From that the disk is rebuilt as it may be at any moment.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use conversiond::domain::secret::SigningSecret;
use conversiond::storage::{AnyConnection, Connector, Purpose, migrate};
use conversiond::system::SystemEntropy;
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, QueryableByName, RunQueryDsl as _, SqliteConnection, sql_query, sql_types};
use serde_json::Value;

use crate::load::{Crowd, Promises};
use crate::support::disk::{Disk, Survival};
use crate::support::process::ServeProcess;
use crate::support::strace::{Step, Strace};
use crate::support::{Caller, TestDatabase, eventually};
use crate::trial::{Trial, times};

/// At how many moments the power fails in CI.
const LOSSES: usize = 160;

/// How many of the rebuilt databases a service is started on, which is sent what was acknowledged.
const SERVED: usize = 2;

/// How many callbacks each service answers before it ends.
const ANSWERED: usize = 100;

/// How many services there are at least, and at most.
const SERVICES: usize = 3;
const SERVICES_MAX: usize = 30;

/// One process from its start to its end.
struct Life {
    steps: Vec<Step>,
    /// The files when it was gone.
    files: BTreeMap<String, Vec<u8>>,
    killed: bool,
}

struct Recorded {
    database: TestDatabase,
    _folder: tempfile::TempDir,
    lives: Vec<Life>,
    caller: Caller,
    promises: Arc<Promises>,
}

fn folder(database: &TestDatabase) -> &Path {
    Path::new(database.url.strip_prefix("sqlite:").unwrap()).parent().unwrap()
}

fn files(database: &TestDatabase) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder(database)).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .filter(|(name, _)| !name.ends_with("-shm"))
        .collect()
}

/// A fresh database's first merchant, its key, and three services under load: one is killed, one ends
/// and one is killed again; and so on, until enough has happened. `options` make calls of the services
/// fail.
async fn record(options: &[&str], is_enough: impl Fn(&[Life]) -> bool) -> Option<Recorded> {
    let folder = in_memory();
    // In a folder that the service makes itself.
    let file = folder.path().canonicalize().unwrap().join("data/test.db");
    let database = TestDatabase::at(format!("sqlite:{}", file.display()));
    let mut strace = Strace::of(&database)?;
    let mut lives = Vec::new();
    let mut run = |strace: &mut Strace, arguments: &[&str]| {
        let output = strace.command(&database, &[], &[arguments, &["--json"]].concat()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        lives.push(Life { steps: strace.steps(), files: files(&database), killed: false });
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let merchant = run(&mut strace, &["merchant", "create", "--name", "Shop"]);
    let key = run(&mut strace, &["key", "create", "--merchant", merchant["merchant_id"].as_str().unwrap()]);
    let mut caller = Caller {
        http: reqwest::Client::new(),
        base: String::new(),
        key_id: key["key_id"].as_str().unwrap().to_owned(),
        secret: SigningSecret::parse(key["secret"].as_str().unwrap()).unwrap(),
    };
    let promises = Arc::new(Promises::default());
    let onlooker = Onlooker::start(&database);
    let mut services = 0;
    for killed in [true, false, true].into_iter().cycle().take(SERVICES_MAX) {
        let mut command = strace.command(&database, options, &["serve"]);
        // So that the log goes into the file, and begins anew, in the middle of the load.
        command.env("CONVERSIOND__DATABASE__CHECKPOINT_PAGES", "100");
        let service = tokio::task::block_in_place(|| ServeProcess::start_command(command));
        caller.base = service.base.clone();
        let wanted = promises.acknowledged() + ANSWERED;
        let crowd = Crowd::start(8, &caller, &promises);
        let forger = Forger::start(&caller);
        eventually("enough are acknowledged", async || promises.acknowledged() >= wanted).await;
        if killed {
            service.kill();
        } else {
            assert_eq!(tokio::task::block_in_place(|| service.terminate()).0, Some(0));
        }
        crowd.stop().await;
        forger.stop().await;
        lives.push(Life { steps: strace.steps(), files: files(&database), killed });
        services += 1;
        if services >= SERVICES && is_enough(&lives) {
            break;
        }
    }
    onlooker.stop();
    assert!(is_enough(&lives), "{services} services, and not enough has happened");
    let sent = |step: &Step| matches!(step, Step::Sent { .. });
    let into_the_file = |step: &Step| matches!(step, Step::Write { file, .. } if file == "test.db");
    let in_the_middle = |life: &Life| {
        let first = life.steps.iter().position(sent).unwrap_or(life.steps.len());
        let last = life.steps.iter().rposition(sent).unwrap_or(first);
        life.steps.get(first..last).is_some_and(|steps| steps.iter().any(into_the_file))
    };
    assert!(lives.iter().any(in_the_middle), "the log never went into the file under load");
    Some(Recorded { database, _folder: folder, lives, caller, promises })
}

/// Somebody whose signatures are wrong: the journal of that is written without waiting for the disk.
struct Forger {
    over: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Forger {
    fn start(caller: &Caller) -> Self {
        let forger = Caller { secret: SigningSecret::generate(&SystemEntropy), ..caller.clone() };
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        let task = tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                let _ = forger.try_post(&Promises::event("forged")).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self { over, task }
    }

    async fn stop(self) {
        self.over.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
    }
}

/// Somebody who looks into the database with a tool of their own, for so long that the log can be copied
/// into the file in part only. It can do nothing to the files, nor to the log when it is the last to leave.
struct Onlooker {
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Onlooker {
    fn start(database: &TestDatabase) -> Self {
        let file = database.url.strip_prefix("sqlite:").unwrap();
        let url = format!("file:{file}?mode=ro");
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        let thread = std::thread::spawn(move || {
            let mut connection = SqliteConnection::establish(&url).unwrap();
            while !is_over.load(Ordering::Relaxed) {
                // It may have to wait until somebody has brought the log in order.
                let looked = connection.batch_execute("BEGIN; SELECT count(*) FROM events");
                std::thread::sleep(Duration::from_millis(40));
                let _ = connection.batch_execute(if looked.is_ok() { "COMMIT" } else { "SELECT 1" });
                std::thread::sleep(Duration::from_millis(60));
            }
        });
        Self { over, thread }
    }

    fn stop(self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// The moments at which the power fails: a half of them just after a sync.
fn moments(lives: &[Life], wanted: usize, random: &mut fastrand::Rng) -> BTreeSet<(usize, usize)> {
    let all: Vec<(usize, usize, bool)> = lives
        .iter()
        .enumerate()
        .flat_map(|(life, lived)| {
            lived.steps.iter().enumerate().map(move |(at, step)| {
                (life, at, matches!(step, Step::SyncEnds { done: true, .. } | Step::SyncFolder))
            })
        })
        .collect();
    let synced: Vec<(usize, usize)> = all.iter().filter(|one| one.2).map(|one| (one.0, one.1)).collect();
    let mut chosen: BTreeSet<(usize, usize)> =
        random.choose_multiple(synced, wanted / 2).into_iter().collect();
    chosen.extend(random.choose_multiple(all.into_iter().map(|one| (one.0, one.1)), wanted - wanted / 2));
    chosen
}

fn survival(random: &mut fastrand::Rng) -> Survival {
    match random.u8(..6) {
        0 => Survival::Nothing,
        1 => Survival::Everything,
        2 => Survival::Sectors(10),
        3 => Survival::Sectors(90),
        4 => Survival::Sectors(50),
        _ => Survival::Pages(50),
    }
}

/// Lets the power fail at many moments of what was recorded, and checks what is found each time.
async fn lose_power(trial: &mut Trial, recorded: &Recorded) {
    let mut random = trial.random.clone();
    let chosen = moments(&recorded.lives, times(LOSSES), &mut random);
    let mut to_serve: Vec<usize> = (0..SERVED).map(|n| chosen.len() * (n + 2) / (SERVED + 2)).collect();
    let mut disk = Disk::default();
    let mut promised = Vec::new();
    let mut losses = 0;
    for (life, lived) in recorded.lives.iter().enumerate() {
        for (at, step) in lived.steps.iter().enumerate() {
            disk.apply(step, &mut random);
            if let Step::Sent { id } = step {
                promised.push(id.clone());
            }
            if !chosen.contains(&(life, at)) {
                continue;
            }
            let how = survival(&mut random);
            let found = found(&disk.after_power_loss(how, &mut random), &mut random);
            let lost = tokio::task::block_in_place(|| not_kept(&found.database, &promised));
            assert_eq!(lost, [""; 0], "process {life}, step {at} of {}, {how:?}", lived.steps.len());
            trial.fault_done();
            losses += 1;
            if to_serve.pop_if(|at| *at <= losses).is_some() {
                serve(trial, &found.database, recorded, &promised).await;
            }
        }
        for (name, content) in &lived.files {
            if lived.killed {
                disk.overtake(name, content);
            }
            // What strace told is what really happened.
            assert!(disk.content(name) == Some(content.as_slice()), "{name} is otherwise than was recorded");
        }
    }
    let promised: HashSet<String> = promised.into_iter().collect();
    let told = recorded.promises.acknowledged.lock().unwrap();
    assert!(told.values().all(|id| promised.contains(id)), "a promise was not recorded");
}

/// A folder in memory, where there is such a place: what is synced there need not reach a real disk.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A database in a folder that is gone with it.
struct Found {
    database: TestDatabase,
    _folder: tempfile::TempDir,
}

/// A folder with these files, and something in the shared memory's file.
fn found(files: &BTreeMap<String, Vec<u8>>, random: &mut fastrand::Rng) -> Found {
    let folder = in_memory();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    if random.bool() {
        let rubbish: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(32 * 1024).collect();
        std::fs::write(folder.path().join("test.db-shm"), rubbish).unwrap();
    }
    Found {
        database: TestDatabase::at(format!("sqlite:{}", folder.path().join("test.db").display())),
        _folder: folder,
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = sql_types::Text)]
    id: String,
    #[diesel(sql_type = sql_types::Text)]
    more: String,
}

fn rows(connection: &mut SqliteConnection, sql: &str) -> HashMap<String, String> {
    let rows: Vec<Row> = sql_query(sql).load(connection).unwrap();
    let count = rows.len();
    let map: HashMap<String, String> = rows.into_iter().map(|row| (row.id, row.more)).collect();
    assert_eq!(map.len(), count, "twice: {sql}");
    map
}

/// Opens a database as the service does, and says which promises it does not keep.
fn not_kept(database: &TestDatabase, promised: &[String]) -> Vec<String> {
    let mut connection = Connector::new(database.config("").database).connect(Purpose::Write).unwrap();
    migrate::run(&mut connection).unwrap();
    let AnyConnection::Sqlite(mut connection) = connection else { panic!("SQLite") };
    let sound = "SELECT integrity_check AS id, '' AS more FROM pragma_integrity_check";
    assert_eq!(rows(&mut connection, sound).into_keys().collect::<Vec<_>>(), ["ok"]);
    let keys = rows(&mut connection, "SELECT key_id AS id, '' AS more FROM api_keys");
    let events = rows(&mut connection, "SELECT event_id AS id, order_id AS more FROM events");
    let orders: HashSet<&String> = events.values().collect();
    assert_eq!(orders.len(), events.len(), "an order is there twice");
    let answers = rows(&mut connection, "SELECT idempotency_key AS id, body AS more FROM idempotency_keys");
    let is_kept = |id: &String| match events.get(id) {
        None => keys.contains_key(id),
        Some(order) => Promises::idempotency_key(order)
            .is_none_or(|key| answers.get(&key).is_some_and(|answer| answer.contains(id.as_str()))),
    };
    promised.iter().filter(|id| !is_kept(id)).cloned().collect()
}

/// Starts a service on what was found, and sends it again what was acknowledged until then.
async fn serve(trial: &mut Trial, database: &TestDatabase, recorded: &Recorded, promised: &[String]) {
    let promised: HashSet<&String> = promised.iter().collect();
    let kept = Promises::default();
    for (order, id) in recorded.promises.acknowledged.lock().unwrap().iter() {
        if promised.contains(id) {
            kept.acknowledged.lock().unwrap().insert(order.clone(), id.clone());
        }
    }
    let service = tokio::task::block_in_place(|| ServeProcess::start(database));
    let caller = Caller { base: service.base.clone(), ..recorded.caller.clone() };
    trial.check(database, &kept);
    trial.answers_again(&caller).await;
    trial.replays(&caller, &kept).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_the_power_failed_is_there_once() {
    let mut trial = Trial::new("sqlite-power-loss");
    let Some(recorded) = record(&[], |_| true).await else { return };
    lose_power(&mut trial, &recorded).await;
    trial.check(&recorded.database, &recorded.promises);
    trial.passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_after_a_sync_had_failed_is_there_once_when_the_power_fails() {
    let mut trial = Trial::new("sqlite-failed-sync-and-power-loss");
    let failing = ["-e", "inject=fsync,fdatasync:error=EIO:when=20+5"];
    let failed = |lives: &[Life], name: &str| {
        let steps = lives.iter().flat_map(|life| &life.steps);
        steps.filter(|step| matches!(step, Step::SyncEnds { file, done: false, .. } if file == name)).count()
    };
    let both = |lives: &[Life]| failed(lives, "test.db") > 0 && failed(lives, "test.db-wal") > 0;
    let Some(recorded) = record(&failing, both).await else { return };
    lose_power(&mut trial, &recorded).await;
    trial.check(&recorded.database, &recorded.promises);
    trial.passed();
}
