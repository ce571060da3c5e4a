//! The whole service, over loopback.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Instant;

use conversiond::config::{Config, load_from};
use conversiond::domain::ids::{KeyId, KeyKind, MerchantId};
use conversiond::domain::merchant::Merchant;
use conversiond::domain::signature::{Covered, Form, sign};
use conversiond::domain::time::Clock as _;
use conversiond::keyring::{IssuedKey, KeyRequest, ensure_token_key, issue_key};
use conversiond::server::{self, Dependencies};
use conversiond::storage::merchants::{self, Account};
use conversiond::storage::{Connector, Purpose, migrate};
use conversiond::system::{SystemClock, SystemEntropy};
use figment::Figment;
use figment::providers::{Format as _, Toml};
use tokio::sync::oneshot;

use crate::judging::{CONTROL, FIRST_OR_LAST_BYTE, KEYS, KEYS_KNOWN, KNOWN_OR_NOT, NEITHER_KNOWN};
use crate::welch::Samples;
use crate::{BLOCK, Class, UNCOUNTED};

const MASTER_KEY: &str = "1:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
const PATH: &str = "/api/v1/conversions";
const BODY: &str = r#"{"event_name":"sale","custom_data":{"order_id":"ORD-1","value":"1","currency":"USD"}}"#;

/// A running service with a few keys.
pub struct Service {
    keys: Vec<IssuedKey>,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Service {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // Nobody is refused unheard here: that has a time of its own.
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n[database]\n\
             url = \"sqlite:{}/timing.db\"\n[telemetry]\nlog_level = \"error\"\n[peer]\nfailures_per_s = 0\n",
            folder.path().display()
        );
        let config = load_from(Figment::from(Toml::string(&text))).expect("a valid configuration");
        let keys = keys(&config);
        let (tell, told) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let running = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(async move {
                let dependencies = Dependencies {
                    clock: std::sync::Arc::new(SystemClock),
                    entropy: std::sync::Arc::new(SystemEntropy),
                    master_key: MASTER_KEY.parse().expect("a master key"),
                };
                let bound = server::build(&config, dependencies).await.expect("the service starts");
                tell.send(bound.api_address).expect("told");
                bound.run(async move { drop(stopped.await) }).await.expect("the service ends well");
            });
        });
        Self { keys, address: told.recv().expect("an address"), stop, running, _folder: folder }
    }

    pub fn stop(self) {
        drop(self.stop);
        self.running.join().expect("the service ends");
    }

    /// Sends one request per class given, one after the other on one connection.
    pub fn measure(&self, comparison: &str, classes: &[Class]) -> Samples {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        // All are sent from one place: where bytes lie in memory is worth a few nanoseconds, too.
        let mut sent = Vec::with_capacity(4_096);
        let mut samples = Samples::default();
        for (block, classes) in classes.chunks(BLOCK).enumerate() {
            samples.begin_block();
            let requests = self.requests(comparison, block);
            for (number, class) in classes.iter().take(UNCOUNTED).chain(classes).enumerate() {
                sent.clear();
                sent.extend_from_slice(&requests[*class][number % KEYS]);
                let took = refused(&mut stream, &sent);
                if number >= UNCOUNTED {
                    samples.add(*class, took);
                }
            }
        }
        samples
    }

    /// The requests of both classes, in each block by other keys.
    fn requests(&self, comparison: &str, block: usize) -> [Vec<Vec<u8>>; 2] {
        let now = SystemClock.now().timestamp();
        let request = |class: Class, key: &IssuedKey| {
            let more = if (comparison, class) == (CONTROL, 1) { 64 } else { 0 };
            let body = BODY.to_owned() + &" ".repeat(more);
            let covered = Covered {
                method: "POST",
                target: PATH,
                idempotency_key: "",
                external_event_id: "",
                body: body.as_bytes(),
            };
            let signed = sign(Form::Plain, key.key_id.as_str(), &key.secret, now, "", &covered);
            let mut head =
                format!("POST {PATH} HTTP/1.1\r\nHost: timing\r\nContent-Type: application/json\r\n");
            for (name, value) in &signed {
                let mut value = value.clone();
                match (comparison, class, name.to_ascii_lowercase().as_str()) {
                    (FIRST_OR_LAST_BYTE, 1, "x-signature") => flip(&mut value, false),
                    (_, _, "x-signature") => flip(&mut value, true),
                    (KNOWN_OR_NOT, 1, "x-api-key") | (NEITHER_KNOWN, _, "x-api-key") => {
                        value = KeyId::generate(KeyKind::Live, &SystemEntropy).to_string();
                    }
                    _ => {}
                }
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            head.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
            head.into_bytes()
        };
        let keys = || self.keys.iter().cycle().skip(block * KEYS % KEYS_KNOWN).take(KEYS);
        [0, 1].map(|class| keys().map(|key| request(class, key)).collect())
    }
}

/// How long it takes to have a request refused, in nanoseconds.
fn refused(stream: &mut TcpStream, request: &[u8]) -> u64 {
    let mut buffer = [0; 4_096];
    let began = Instant::now();
    stream.write_all(request).expect("sent");
    // It comes in one piece: head and body are a few hundred bytes.
    let count = stream.read(&mut buffer).expect("an answer");
    let took = began.elapsed();
    let answer = &buffer[..count];
    assert!(answer.starts_with(b"HTTP/1.1 401 ") && answer.ends_with(b"}"), "all are refused");
    u64::try_from(took.as_nanos()).unwrap()
}

/// Changes the first or the last digit of a signature's 64.
fn flip(signature: &mut String, first: bool) {
    let at = if first { signature.len() - 64 } else { signature.len() - 1 };
    let other = if signature.as_bytes()[at] == b'0' { "1" } else { "0" };
    signature.replace_range(at..=at, other);
}

fn keys(config: &Config) -> Vec<IssuedKey> {
    let now = SystemClock.now();
    let ring = MASTER_KEY.parse().expect("a master key");
    let mut connection =
        Connector::new(config.database.clone()).connect(Purpose::Write).expect("a connection");
    migrate::run(&mut connection).expect("migrated");
    let merchant = MerchantId::generate(now, &SystemEntropy);
    let account = Account { merchant: Merchant::new(merchant), name: "timing".to_owned(), created_at: now };
    merchants::create(&mut connection, &account).expect("a merchant");
    ensure_token_key(&mut connection, &ring, now, &SystemEntropy).expect("a token key");
    let merchant_id = Some(merchant);
    let request = || KeyRequest { kind: KeyKind::Live, merchant_id, ip_allow: Vec::new(), require_v2: false };
    (0..KEYS_KNOWN)
        .map(|_| issue_key(&mut connection, &ring, request(), now, &SystemEntropy).expect("a key"))
        .collect()
}
