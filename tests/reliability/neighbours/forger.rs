//! A forger without a key: thousands of connections with stalled heads and bodies, and forged requests from
//! tens of thousands of addresses. A merchant's callbacks go on.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use conversiond::domain::ids::KeyKind;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use crate::support::process::{ServeProcess, command};
use crate::support::service::Setup;
use crate::support::{Backend, Caller, on_both_databases};

/// Stalled connections, the one half with heads, the other with bodies, from so many addresses.
const STALLED: usize = 5_000;
const SOURCES: usize = 40;

/// Forged requests, each from another address, through a trusted proxy.
const FORGED: usize = 50_000;
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 200);
const PROXY_CONNECTIONS: usize = 4;

/// How long the forger leaves a connection that was closed.
const AGAIN: Duration = Duration::from_secs(2);

/// One forger at a time: two would measure each other on the same cores.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// How long the merchant's callbacks are measured beside them.
const MEASURED: Duration = Duration::from_secs(8);

/// With a debug build, and the forger on the same two cores.
const P50_MAX: Duration = Duration::from_millis(250);
const P99_MAX: Duration = Duration::from_millis(1_500);

#[allow(clippy::disallowed_methods, reason = "a promise in real time")]
fn instant() -> Instant {
    Instant::now()
}

/// What the forger does, and until when.
struct Forger {
    api: SocketAddr,
    /// A key's id is public.
    key_id: String,
    over: AtomicBool,
    opened: AtomicUsize,
    forged: AtomicUsize,
}

impl Forger {
    async fn connect(&self, source: Ipv4Addr) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(source.into(), 0))?;
        let stream = socket.connect(self.api).await?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(stream)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Holds a connection with half a request, and opens another one as soon as it is closed.
    async fn stall(self: Arc<Self>, number: usize) {
        let last = u8::try_from(2 + number % SOURCES).unwrap();
        let head = format!(
            "POST /api/v1/conversions HTTP/1.1\r\nHost: t\r\nX-API-Key: {}\r\nContent-Length: 65536\r\n\r\n",
            self.key_id
        );
        let body = [b' '; 32_768];
        while !self.is_over() {
            let Ok(mut stream) = self.connect(Ipv4Addr::new(127, 0, 0, last)).await else {
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            };
            let mut bytes = head.as_bytes();
            if number.is_multiple_of(2) {
                bytes = &bytes[..20];
            }
            let mut sent = stream.write_all(bytes).await;
            if sent.is_ok() && !number.is_multiple_of(2) {
                sent = stream.write_all(&body).await;
            }
            // Just enough for what counts as alive.
            while sent.is_ok() && !self.is_over() {
                let mut answer = [0; 256];
                match tokio::time::timeout(Duration::from_secs(1), stream.read(&mut answer)).await {
                    Ok(_) => break,
                    Err(_) => sent = stream.write_all(&[b' '; 512]).await,
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Forges through a trusted proxy, each request from another address.
    async fn forge(self: Arc<Self>, number: usize) {
        let mut stream = self.connect(PROXY).await.unwrap();
        for nth in (number..FORGED).step_by(PROXY_CONNECTIONS) {
            if self.is_over() {
                return;
            }
            let [_, a, b, c] = u32::try_from(nth).unwrap().to_be_bytes();
            let body = r#"{"event_name":"lead","external_id":"F"}"#;
            let request = format!(
                "POST /api/v1/conversions HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 198.{a}.{b}.{c}\r\nX-API-Key: {}\r\n\
                 X-Timestamp: 1764109104\r\nX-Signature: v1={:064}\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                self.key_id,
                nth,
                body.len()
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = [0; 2_048];
            let read = stream.read(&mut answer).await.unwrap();
            assert!(
                answer[..read].starts_with(b"HTTP/1.1 401"),
                "{}",
                String::from_utf8_lossy(&answer[..read])
            );
            self.forged.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How the merchant's callbacks fared.
#[derive(Default)]
struct Fared {
    took: Vec<Duration>,
    /// Whose connection broke before an answer: they were sent again.
    broken: usize,
}

/// Sends callbacks one after the other, each on a connection of its own. All of them are taken.
async fn measure(caller: &Caller, name: &str, time: Duration) -> Fared {
    let (begun, mut fared) = (instant(), Fared::default());
    while begun.elapsed() < time {
        let event =
            json!({"event_name": "lead", "external_id": format!("{name}-{}", fared.took.len())}).to_string();
        let sent = instant();
        let answer = loop {
            let once = Caller { http: reqwest::Client::new(), ..caller.clone() };
            match once.try_post(&event).await {
                Ok(answer) => break answer,
                Err(_) => fared.broken += 1,
            }
            assert!(sent.elapsed() < Duration::from_secs(10), "no connection for {event}");
        };
        fared.took.push(sent.elapsed());
        let recorded = answer.word() == "ACCEPTED" || fared.broken > 0 && answer.word() == "DUPLICATE";
        assert!(recorded, "{}", answer.text);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    fared.took.sort();
    fared
}

fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// Raises the limit on open files, as far as the system allows.
fn may_open(files: usize) -> bool {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    let wanted = u64::try_from(files).unwrap();
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    soft >= wanted || (hard >= wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok())
}

on_both_databases! {
    async fn stalled_connections_and_forged_requests_of_many_addresses_hold_up_no_callback(backend: Backend) {
        let _alone = ALONE.lock().await;
        assert!(may_open(2 * STALLED), "the system allows so many open files (ulimit -Hn)");
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        let merchant = setup.merchant();
        let mut caller = setup.key(KeyKind::Live, Some(merchant));
        drop(setup);
        let mut command = command(&database, &["serve"]);
        command.env("CONVERSIOND__SERVER__TRUSTED_PROXIES", format!("[\"{PROXY}/32\"]"));
        let service = ServeProcess::start_command(command);
        caller.base.clone_from(&service.base);
        let quiet = measure(&caller, "quiet", Duration::from_secs(1)).await;
        let forger = Arc::new(Forger {
            api: service.base.trim_start_matches("http://").parse().unwrap(),
            key_id: caller.key_id.clone(),
            over: AtomicBool::new(false),
            opened: AtomicUsize::new(0),
            forged: AtomicUsize::new(0),
        });
        let stalling = (0..STALLED).map(|number| tokio::spawn(forger.clone().stall(number)));
        let mut tasks: Vec<JoinHandle<()>> = stalling.collect();
        crate::support::eventually("the connections are there", async || {
            forger.opened.load(Ordering::Relaxed) >= STALLED
        })
        .await;
        tasks.extend((0..PROXY_CONNECTIONS).map(|number| tokio::spawn(forger.clone().forge(number))));
        let beside = measure(&caller, "beside", MEASURED).await;
        forger.over.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await.unwrap();
        }
        let (p50, p99) = (quantile(&beside.took, 50), quantile(&beside.took, 99));
        println!(
            "{backend:?}: callbacks alone p50 {:?}, beside p50 {p50:?} p99 {p99:?} of {}, {} connections broke; the \
             forger opened {}, forged {}",
            quantile(&quiet.took, 50),
            beside.took.len(),
            beside.broken,
            forger.opened.load(Ordering::Relaxed),
            forger.forged.load(Ordering::Relaxed)
        );
        assert!(beside.broken * 20 <= beside.took.len(), "{} of {} connections broke", beside.broken, beside.took.len());
        assert!(p50 <= P50_MAX && p99 <= P99_MAX, "p50 {p50:?}, p99 {p99:?}");
        assert!(forger.forged.load(Ordering::Relaxed) > 1_000);
        assert_eq!(service.terminate().0, Some(0));
        let acknowledged = i64::try_from(quiet.took.len() + beside.took.len()).unwrap();
        assert_eq!(Setup::new(&database, "").count_events(), acknowledged);
    }
}
