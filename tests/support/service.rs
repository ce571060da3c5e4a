//! The service in this process, built by the same function as the real one.

use std::net::SocketAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use conversiond::domain::click_token::TokenRing;
use conversiond::domain::ids::{ClickId, KeyId, KeyKind, MerchantId};
use conversiond::domain::merchant::Merchant;
use conversiond::domain::secret::SigningSecret;
use conversiond::domain::time::Clock as _;
use conversiond::domain::vault::MasterKeyRing;
use conversiond::keyring::{IssuedKey, KeyRequest, Loader, ensure_token_key, issue_key};
use conversiond::server::{self, Dependencies};
use conversiond::storage::keys::{self, StoredKey, StoredSecret};
use conversiond::storage::merchants::{self, Account, Changes};
use conversiond::storage::{AnyConnection, Connector, Purpose, migrate};
use conversiond::system::{SystemClock, SystemEntropy};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::clock::TestClock;
use super::{Backend, Caller, TestDatabase};

/// The master key of every test.
pub const MASTER_KEY: &str = "1:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

/// A running service with a merchant that has a live key.
pub struct Service {
    pub database: TestDatabase,
    pub api: SocketAddr,
    pub admin: SocketAddr,
    pub merchant: MerchantId,
    /// Signs with the merchant's live key.
    pub caller: Caller,
    pub clock: Arc<TestClock>,
    /// The keys of click tokens.
    pub tokens: TokenRing,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

impl Service {
    /// A service on a fresh database.
    pub async fn start(backend: Backend) -> Self {
        Self::start_with(backend.database(), "").await
    }

    /// A service on a database, with further settings.
    pub async fn start_with(database: TestDatabase, settings: &str) -> Self {
        Self::start_at(database, settings, Arc::default()).await
    }

    /// The same, started by this clock.
    pub async fn start_at(database: TestDatabase, settings: &str, clock: Arc<TestClock>) -> Self {
        let mut setup = Setup::new(&database, settings);
        let merchant = setup.merchant();
        let caller = setup.key(KeyKind::Live, Some(merchant));
        let tokens = setup.tokens();
        drop(setup);
        Self::run(database, settings, merchant, caller, tokens, clock).await
    }

    /// A further instance on the same database, for the same merchant.
    pub async fn another(&self, settings: &str) -> Self {
        let caller = self.caller.clone();
        let database = self.database.clone();
        Self::run(database, settings, self.merchant, caller, self.tokens.clone(), Arc::default()).await
    }

    /// The same on the same database by another way.
    pub async fn on(&self, database: TestDatabase) -> Self {
        let caller = self.caller.clone();
        Self::run(database, "", self.merchant, caller, self.tokens.clone(), Arc::default()).await
    }

    async fn run(
        database: TestDatabase,
        settings: &str,
        merchant: MerchantId,
        mut caller: Caller,
        tokens: TokenRing,
        clock: Arc<TestClock>,
    ) -> Self {
        let dependencies = Dependencies {
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy),
            master_key: MASTER_KEY.parse().unwrap(),
        };
        let bound = server::build(&database.config(settings), dependencies).await.unwrap();
        let (api, admin) = (bound.api_address, bound.admin_address);
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(async move {
            bound
                .run(async move {
                    let _ = stopped.await;
                })
                .await
                .unwrap();
        });
        caller.base = format!("http://{api}");
        Self {
            database,
            api,
            admin,
            merchant,
            caller,
            clock,
            tokens,
            stop: Some(stop),
            running: Some(running),
        }
    }

    /// Stops the service as SIGTERM would and waits for its end.
    pub async fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(running) = self.running.take() {
            running.await.unwrap();
        }
    }

    /// Changes and additions behind the running service's back, as the command line makes them.
    pub fn setup(&self) -> Setup {
        let mut setup = Setup::new(&self.database, "");
        setup.base = format!("http://{}", self.api);
        setup
    }

    /// A token of a click at this time on a link of this merchant.
    pub fn token_for(&self, merchant: MerchantId, clicked_at: DateTime<Utc>) -> String {
        let click = ClickId::generate(clicked_at, &SystemEntropy);
        self.tokens.mint(merchant, Uuid::new_v4(), Uuid::new_v4(), click).unwrap()
    }

    /// A token of a click at this time on a link of the service's merchant.
    pub fn token(&self, clicked_at: DateTime<Utc>) -> String {
        self.token_for(self.merchant, clicked_at)
    }

    /// How many events lie in the database, all merchants together.
    pub fn count_events(&self) -> i64 {
        Setup::new(&self.database, "").count_events()
    }

    /// How many rows there are in the database: of a table, or of what else may stand after FROM.
    pub fn count(&self, from: &str) -> i64 {
        Setup::new(&self.database, "").count(from)
    }

    /// The text of an admin endpoint, and its status.
    pub async fn admin(&self, path: &str) -> (u16, String) {
        let response = self.caller.http.get(format!("http://{}{path}", self.admin)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

/// What the command line does, in process.
pub struct Setup {
    pub connection: AnyConnection,
    pub base: String,
    master_key: MasterKeyRing,
}

impl Setup {
    pub fn new(database: &TestDatabase, settings: &str) -> Self {
        let connector = Connector::new(database.config(settings).database);
        let mut connection = connector.connect(Purpose::Write).unwrap();
        migrate::run(&mut connection).unwrap();
        Self { connection, base: String::new(), master_key: MASTER_KEY.parse().unwrap() }
    }

    /// A merchant with default settings.
    pub fn merchant(&mut self) -> MerchantId {
        let now = SystemClock.now();
        let id = MerchantId::generate(now, &SystemEntropy);
        let account = Account { merchant: Merchant::new(id), name: "Test shop".to_owned(), created_at: now };
        merchants::create(&mut self.connection, &account).unwrap();
        id
    }

    /// Changes a merchant's settings; running services follow within their refresh time.
    pub fn change(&mut self, merchant: MerchantId, changes: &Changes) {
        assert!(merchants::change(&mut self.connection, Some(&self.master_key), merchant, changes).unwrap());
    }

    /// A caller with a fresh key.
    pub fn key(&mut self, kind: KeyKind, merchant_id: Option<MerchantId>) -> Caller {
        self.key_with(KeyRequest { kind, merchant_id, ip_allow: Vec::new(), require_v2: false })
    }

    /// A caller with a fresh key of a certain make.
    pub fn key_with(&mut self, request: KeyRequest) -> Caller {
        let now = SystemClock.now();
        let issued = issue_key(&mut self.connection, &self.master_key, request, now, &SystemEntropy).unwrap();
        self.caller(issued)
    }

    /// A caller with a key whose secret is given.
    pub fn key_with_secret(&mut self, request: KeyRequest, secret: SigningSecret) -> Caller {
        let KeyRequest { kind, merchant_id, ip_allow, require_v2 } = request;
        let (created_at, secret_id) = (SystemClock.now(), Uuid::new_v4());
        let id = KeyId::generate(kind, &SystemEntropy);
        let purpose = keys::purpose(merchant_id, &id, secret_id);
        let sealed = self.master_key.seal(secret.expose_text().as_bytes(), &purpose, &SystemEntropy).unwrap();
        let key =
            StoredKey { id: id.clone(), merchant_id, ip_allow, require_v2, created_at, revoked_at: None };
        let stored =
            StoredSecret { key_id: id.clone(), merchant_id, secret_id, sealed, created_at, expires_at: None };
        keys::create(&mut self.connection, &self.master_key, &key, &stored).unwrap();
        self.caller(IssuedKey { key_id: id, secret })
    }

    /// Ends a caller's key.
    pub fn revoke(&mut self, caller: &Caller) {
        let key = caller.key_id.parse().unwrap();
        assert!(keys::revoke(&mut self.connection, &self.master_key, &key, SystemClock.now()).unwrap());
    }

    /// Changes rows of a caller's key as only a holder of the master key can.
    pub fn change_key(&mut self, caller: &Caller, sql: &str) {
        assert_eq!(self.execute(sql), 1);
        keys::retag(&mut self.connection, &self.master_key, &caller.key_id.parse().unwrap()).unwrap();
    }

    /// Lets the secret of a caller's key expire.
    pub fn expire(&mut self, caller: &Caller) {
        let id = &caller.key_id;
        self.change_key(
            caller,
            &format!("UPDATE key_secrets SET expires_at = created_at WHERE key_id = '{id}'"),
        );
    }

    /// A statement behind the service's back; how many rows it touched.
    pub fn execute(&mut self, sql: &str) -> usize {
        use diesel::{RunQueryDsl as _, sql_query};

        match &mut self.connection {
            AnyConnection::Postgres(c) => sql_query(sql).execute(c).unwrap(),
            AnyConnection::Sqlite(c) => sql_query(sql).execute(c).unwrap(),
        }
    }

    /// A caller that signs with this key.
    pub fn caller(&self, issued: IssuedKey) -> Caller {
        Caller {
            http: reqwest::Client::new(),
            base: self.base.clone(),
            key_id: issued.key_id.to_string(),
            secret: issued.secret,
        }
    }

    /// The master key.
    pub fn master_key(&self) -> MasterKeyRing {
        self.master_key.clone()
    }

    /// The ring of token keys, made if need be.
    pub fn tokens(&mut self) -> TokenRing {
        let now = SystemClock.now();
        ensure_token_key(&mut self.connection, &self.master_key, now, &SystemEntropy).unwrap();
        let mut loader = Loader::new(self.master_key.clone(), &SystemEntropy);
        self.connection.read(|c| loader.load(c, now)).unwrap().token_ring
    }

    pub fn count_events(&mut self) -> i64 {
        self.count("events")
    }

    /// How many rows there are: of a table, or of what else may stand after FROM.
    pub fn count(&mut self, from: &str) -> i64 {
        use diesel::{QueryableByName, RunQueryDsl as _, sql_query, sql_types};

        #[derive(QueryableByName)]
        struct Count {
            #[diesel(sql_type = sql_types::BigInt)]
            count: i64,
        }
        let query = sql_query(format!("SELECT count(*) AS count FROM {from}"));
        let found: Count = match &mut self.connection {
            AnyConnection::Postgres(c) => query.get_result(c).unwrap(),
            AnyConnection::Sqlite(c) => query.get_result(c).unwrap(),
        };
        found.count
    }
}
