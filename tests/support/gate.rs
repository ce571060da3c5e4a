//! A gate on a service's way to PostgreSQL: while it is shut, no COMMIT comes through, and some get
//! through whose answers do not come back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::TestDatabase;

pub struct Gate {
    port: u16,
    /// The port behind it.
    database: u16,
    shut: watch::Sender<bool>,
    counts: Arc<Counts>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    /// Connections that wait with their COMMIT.
    held: AtomicUsize,
    /// COMMITs whose answers are still to be lost.
    to_lose: AtomicUsize,
}

impl Gate {
    /// An open gate to this port.
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let (shut, is_shut) = watch::channel(false);
        let counts = Arc::new(Counts::default());
        let shared = counts.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((service, _)) = listener.accept().await {
                let database = SocketAddr::from(([127, 0, 0, 1], port));
                let Ok(database) = TcpStream::connect(database).await else { continue };
                tokio::spawn(pass(service, database, is_shut.clone(), shared.clone()));
            }
        });
        Self { port: own_port, database: port, shut, counts, accepting }
    }

    /// A database's address through the gate.
    pub fn way_to(&self, database: &TestDatabase) -> TestDatabase {
        let (direct, through) = (format!(":{}/", self.database), format!(":{}/", self.port));
        assert!(database.url.contains(&direct), "{} is not behind the gate", database.url);
        database.at_url(database.url.replace(&direct, &through))
    }

    /// Holds every COMMIT from now on.
    pub fn shut(&self) {
        self.shut.send_replace(true);
    }

    /// Lets them through.
    pub fn open(&self) {
        self.shut.send_replace(false);
    }

    /// How many connections wait with their COMMIT.
    pub fn held(&self) -> usize {
        self.counts.held.load(Ordering::SeqCst)
    }

    /// Breaks the connection behind each of the next COMMITs: the database has it, and nobody is told.
    pub fn lose_answers(&self, commits: usize) {
        self.counts.to_lose.store(commits, Ordering::SeqCst);
    }

    /// How many of them are still to come.
    pub fn to_lose(&self) -> usize {
        self.counts.to_lose.load(Ordering::SeqCst)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(
    service: TcpStream,
    database: TcpStream,
    mut is_shut: watch::Receiver<bool>,
    counts: Arc<Counts>,
) {
    let ((mut from_service, mut to_service), (mut from_database, mut to_database)) =
        (service.into_split(), database.into_split());
    let back = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_database, &mut to_service).await;
    });
    let mut buffer = vec![0u8; 64 * 1024];
    while let Ok(count @ 1..) = from_service.read(&mut buffer).await {
        let message = &buffer[..count];
        // diesel sends it alone, as a simple query.
        if message.windows(7).any(|window| window == b"COMMIT\0") {
            counts.held.fetch_add(1, Ordering::SeqCst);
            let mut byte = [0u8];
            let open = tokio::select! {
                opened = is_shut.wait_for(|shut| !*shut) => opened.is_ok(),
                // Who waits says nothing: it has gone, and its COMMIT with it.
                _ = from_service.peek(&mut byte) => false,
            };
            counts.held.fetch_sub(1, Ordering::SeqCst);
            if !open {
                break;
            }
            let lose = counts.to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
            if lose.is_ok() {
                back.abort();
                let _ = to_database.write_all(message).await;
                break;
            }
        }
        if to_database.write_all(message).await.is_err() {
            break;
        }
    }
    drop(to_database);
    back.abort();
}
