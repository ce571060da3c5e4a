//! The wire between a service and PostgreSQL, which passes on message by message: a writer's
//! transaction can be looked at step by step, and cut or held at any of them.
//!
//! A transaction counts as a writer's if it begins as the first one did that inserted events.

mod message;

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::TestDatabase;
use message::Message;

/// One message of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Whether the service sent it; else it received it.
    pub sent: bool,
    /// Its kind and the beginning of its content.
    pub what: String,
}

/// Where in a transaction something is done.
#[derive(Debug, Clone)]
pub enum At {
    /// At the message with this number, from 0.
    Step(usize),
    /// At the message that is called so.
    Message(&'static str),
}

/// What is done there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Both connections are closed, and the message is not passed on.
    CutBefore,
    /// Half of it is.
    CutHalf,
    /// It is passed on, and whatever follows is not.
    CutAfter,
    /// It waits for the test's word.
    Hold,
}

/// A message that waits for the test's word.
pub struct Held {
    /// The process that serves the connection, in PostgreSQL.
    pub process: i32,
    word: oneshot::Sender<()>,
}

impl Held {
    /// Passes it on.
    pub fn go(self) {
        let _ = self.word.send(());
    }
}

pub struct Wire {
    port: u16,
    shared: Arc<Shared>,
    held: mpsc::UnboundedReceiver<Held>,
    cut_all: watch::Sender<()>,
    accepting: JoinHandle<()>,
}

struct Shared {
    /// The database's port.
    database: AtomicU16,
    /// How a writer's transactions begin.
    begin: Mutex<Option<String>>,
    plan: Mutex<VecDeque<(At, How)>>,
    /// What was done of it.
    done: AtomicUsize,
    last: Mutex<Vec<Step>>,
    holds: mpsc::UnboundedSender<Held>,
}

/// One connection.
#[derive(Default)]
struct Connection {
    process: i32,
    transaction: Option<Transaction>,
}

struct Transaction {
    begin: String,
    steps: Vec<Step>,
    fault: Option<(At, How)>,
}

impl Wire {
    /// A wire to the database at this port.
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let (holds, held) = mpsc::unbounded_channel();
        let (cut_all, is_cut) = watch::channel(());
        let shared = Arc::new(Shared {
            database: AtomicU16::new(port),
            begin: Mutex::default(),
            plan: Mutex::default(),
            done: AtomicUsize::new(0),
            last: Mutex::default(),
            holds,
        });
        let passing = shared.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((service, _)) = listener.accept().await {
                let (shared, mut is_cut) = (passing.clone(), is_cut.clone());
                is_cut.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        () = converse(service, &shared) => {}
                        _ = is_cut.changed() => {}
                    }
                });
            }
        });
        Self { port: own_port, shared, held, cut_all, accepting }
    }

    /// Where it begins.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A database's address by this wire.
    pub fn way_to(&self, database: &TestDatabase) -> TestDatabase {
        let direct = format!(":{}/", self.shared.database.load(Ordering::SeqCst));
        assert!(database.url.contains(&direct), "{} is not at the wire's other end", database.url);
        database.at_url(database.url.replace(&direct, &format!(":{}/", self.port)))
    }

    /// Connections from now on lead to this port.
    pub fn lead_to(&self, port: u16) {
        self.shared.database.store(port, Ordering::SeqCst);
    }

    /// Cuts every connection that is open.
    pub fn cut_all(&self) {
        self.cut_all.send_replace(());
    }

    /// What is done to the writer's next transactions, one thing to each.
    pub fn plan(&self, faults: impl IntoIterator<Item = (At, How)>) {
        self.shared.plan.lock().unwrap().extend(faults);
    }

    /// How much of it was done.
    pub fn done(&self) -> usize {
        self.shared.done.load(Ordering::SeqCst)
    }

    /// The writer's last transaction that came to its end.
    pub fn last_transaction(&self) -> Vec<Step> {
        self.shared.last.lock().unwrap().clone()
    }

    /// The message that has come to its [`How::Hold`].
    pub async fn held(&mut self) -> Held {
        let held = tokio::time::timeout(Duration::from_secs(20), self.held.recv()).await;
        held.expect("a message is held").unwrap()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Passes on what both say until one of them ends, or a fault ends it.
async fn converse(service: TcpStream, shared: &Shared) {
    let port = shared.database.load(Ordering::SeqCst);
    let Ok(database) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
    service.set_nodelay(true).unwrap();
    database.set_nodelay(true).unwrap();
    let (from_service, mut to_service) = service.into_split();
    let (from_database, mut to_database) = database.into_split();
    let mut from_service = BufReader::new(from_service);
    let mut from_database = BufReader::new(from_database);
    if begin(&mut from_service, &mut to_service, &mut to_database).await.is_none() {
        return;
    }
    let connection = Mutex::default();
    let to_the_end = tokio::select! {
        to_the_end = pass(&mut from_service, &mut to_database, &connection, shared, true) => to_the_end,
        _ = pass(&mut from_database, &mut to_service, &connection, shared, false) => false,
    };
    drop((from_service, to_service));
    if to_the_end {
        // The database reads all that it was sent before it learns that nobody is there.
        let _ = to_database.shutdown().await;
        let mut rest = Vec::new();
        let reading = from_database.read_to_end(&mut rest);
        let _ = tokio::time::timeout(Duration::from_secs(10), reading).await;
    }
}

/// The connection's first messages. Nothing is encrypted.
async fn begin(
    from_service: &mut BufReader<OwnedReadHalf>,
    to_service: &mut OwnedWriteHalf,
    to_database: &mut OwnedWriteHalf,
) -> Option<()> {
    loop {
        let message = Message::read_first(from_service).await?;
        if !message.asks_for_encryption() {
            return to_database.write_all(&message.bytes).await.ok();
        }
        to_service.write_all(b"N").await.ok()?;
    }
}

/// Passes on one direction until it ends. Says whether what was passed on should be read to its end.
async fn pass(
    from: &mut BufReader<OwnedReadHalf>,
    to: &mut OwnedWriteHalf,
    connection: &Mutex<Connection>,
    shared: &Shared,
    sent: bool,
) -> bool {
    while let Some(message) = Message::read(from).await {
        let fault = shared.judge(connection, &message, sent);
        let (passed, goes_on) = match fault {
            None | Some(How::Hold) => (message.bytes.len(), true),
            Some(How::CutBefore) => (0, false),
            Some(How::CutHalf) => (message.bytes.len() / 2, false),
            Some(How::CutAfter) => (message.bytes.len(), false),
        };
        if fault == Some(How::Hold) {
            let (word, given) = oneshot::channel();
            let process = connection.lock().unwrap().process;
            let _ = shared.holds.send(Held { process, word });
            if given.await.is_err() {
                return false;
            }
        }
        if to.write_all(&message.bytes[..passed]).await.is_err() || !goes_on {
            return fault == Some(How::CutAfter);
        }
    }
    false
}

impl Shared {
    /// Counts a message, and tells what is to be done to it.
    fn judge(&self, connection: &Mutex<Connection>, message: &Message, sent: bool) -> Option<How> {
        let mut connection = connection.lock().unwrap();
        if !sent && let Some(process) = message.process() {
            connection.process = process;
        }
        let sql = if sent { message.sql() } else { None };
        if let Some(sql) = sql.as_ref().filter(|sql| message.kind == b'Q' && sql.starts_with("BEGIN")) {
            let ours = self.begin.lock().unwrap().as_ref() == Some(sql);
            let fault = if ours { self.plan.lock().unwrap().pop_front() } else { None };
            connection.transaction = Some(Transaction { begin: sql.clone(), steps: Vec::new(), fault });
        }
        let transaction = connection.transaction.as_mut()?;
        if sql.is_some_and(|sql| sql.starts_with("INSERT INTO events ")) {
            *self.begin.lock().unwrap() = Some(transaction.begin.clone());
        }
        let step = Step { sent, what: message.name(sent) };
        let fault = transaction.fault.take_if(|(at, _)| match at {
            At::Step(number) => *number == transaction.steps.len(),
            At::Message(what) => *what == step.what,
        });
        transaction.steps.push(step);
        if fault.is_some() {
            self.done.fetch_add(1, Ordering::SeqCst);
        }
        if !sent && message.is_ready_and_idle() {
            let Transaction { begin, steps, fault } = connection.transaction.take()?;
            if self.begin.lock().unwrap().as_ref() == Some(&begin) {
                *self.last.lock().unwrap() = steps;
            }
            // It never came there: the next one's.
            self.plan.lock().unwrap().extend(fault);
        }
        fault.map(|(_, how)| how)
    }
}
