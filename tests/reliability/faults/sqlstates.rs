//! PostgreSQL refuses for reasons that are nobody's fault, at a statement and at COMMIT.

use std::sync::Arc;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};

use crate::load::{Crowd, Promises, caller};
use crate::support::caller::unix_now;
use crate::support::cluster::Cluster;
use crate::support::process::{ServeProcess, command};
use crate::support::service::Setup;
use crate::support::{Backend, Caller, TestDatabase, eventually};
use crate::trial::{Trial, times};

/// What PostgreSQL says, in its own words where the service goes by them, and in others.
const STATES: [(&str, &str); 20] = [
    ("08006", "connection failure"),
    ("0A000", "cached plan must not change result type"),
    ("25006", "cannot execute INSERT in a read-only transaction"),
    ("26000", "prepared statement \"s1\" does not exist"),
    ("34000", "portal \"\" does not exist"),
    ("40001", "could not serialize access due to concurrent update"),
    ("40003", "statement completion unknown"),
    ("40P01", "deadlock detected"),
    ("40P01", "Verklemmung entdeckt"),
    ("42P05", "prepared statement \"s1\" already exists"),
    ("53100", "could not extend file \"base/1/1\": No space left on device"),
    ("53200", "out of memory"),
    ("53300", "sorry, too many clients already"),
    ("55P03", "canceling statement due to lock timeout"),
    ("55P03", "storniere Anfrage wegen Zeitüberschreitung beim Warten auf eine Sperre"),
    ("57014", "canceling statement due to user request"),
    ("57P01", "terminating connection due to administrator command"),
    ("57P03", "the database system is starting up"),
    ("58030", "could not write to file \"base/1/1\": Input/output error"),
    ("XX000", "unexpected chunk number 0 (expected 1)"),
];

/// A trigger in the test's database raises what is planned, so often. A sequence counts: it does not
/// go back with the transaction.
const FAULTS: &str = "
    CREATE TABLE fault_plan AS SELECT '' AS place, '' AS state, '' AS words, 0::bigint AS times;
    CREATE SEQUENCE fault_turns;
    CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE plan record;
    BEGIN
        SELECT * INTO plan FROM fault_plan;
        IF plan.place = TG_ARGV[0] AND nextval('fault_turns') <= plan.times THEN
            RAISE EXCEPTION USING ERRCODE = plan.state, MESSAGE = plan.words;
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER fault_at_insert AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION fault('INSERT');
    CREATE CONSTRAINT TRIGGER fault_at_commit AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION fault('COMMIT');";

/// For as long as a test needs it.
const FOR_EVER: i64 = 1_000_000;

/// From now on the database says this there, so often.
fn plan(setup: &mut Setup, place: &str, (state, words): (&str, &str), times: i64) {
    setup.execute(&format!(
        "UPDATE fault_plan SET place = '{place}', state = '{state}', words = '{words}', times = {times} \
         WHERE setval('fault_turns', 1, false) = 1"
    ));
}

struct Scene {
    /// Works beside the service.
    setup: Setup,
    caller: Caller,
    promises: Arc<Promises>,
    database: TestDatabase,
    next_order: usize,
    service: ServeProcess,
}

impl Scene {
    /// A service on a database, which the test itself sees as `above`.
    fn start(database: &TestDatabase, above: &TestDatabase) -> Self {
        let mut caller = caller(database);
        let mut command = command(database, &["serve"]);
        // How long who is blocked (55P03) waits.
        command.env("CONVERSIOND__IDEMPOTENCY__WAIT_MS", "300");
        let service = ServeProcess::start_command(command);
        caller.base = service.base.clone();
        let (setup, database) = (Setup::new(above, ""), database.clone());
        Self { setup, caller, promises: Arc::default(), database, next_order: 0, service }
    }

    /// Whether it was said since it was planned.
    fn was_said(&mut self) -> bool {
        self.setup.count("fault_turns WHERE is_called") > 0
    }

    /// Posts a new order, alone; the answer's status and word.
    async fn post(&mut self) -> (u16, String) {
        self.next_order += 1;
        let order = format!("S-{}", self.next_order);
        let event = Promises::event(&order);
        let answer = match Promises::idempotency_key(&order) {
            Some(key) => self.caller.post_to("/api/v1/conversions", &key, &event, unix_now()).await,
            None => self.caller.post_text(&event).await,
        };
        if answer.status == 202 {
            let id = answer.at("/event_id").as_str().unwrap().to_owned();
            self.promises.acknowledged.lock().unwrap().insert(order, id);
        }
        (answer.status, answer.word())
    }

    /// Load is on; something begins, callers are told to come back; it ends, and they are answered.
    async fn outage(
        &mut self,
        trial: &mut Trial,
        begin: impl FnOnce(&mut Setup),
        end: impl FnOnce(&mut Setup),
    ) {
        let crowd = Crowd::start(16, &self.caller, &self.promises);
        let before = self.promises.acknowledged();
        eventually("load is on", async || self.promises.acknowledged() > before + 20).await;
        let away = self.promises.refused("storage_unavailable");
        begin(&mut self.setup);
        trial.fault_done();
        eventually("callers are told", async || self.promises.refused("storage_unavailable") > away).await;
        end(&mut self.setup);
        trial.answers_again(&self.caller).await;
        crowd.stop().await;
    }

    /// Nobody was told anything but 503, and everything promised is there. Returns the service's log.
    async fn end(self, mut trial: Trial) -> Vec<String> {
        self.promises.expect_only("storage_unavailable");
        trial.check(&self.database, &self.promises);
        trial.replays(&self.caller, &self.promises).await;
        trial.passed();
        let (code, log) = self.service.terminate();
        assert_eq!(code, Some(0));
        log
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_postgresql_says_at_insert_or_commit_nothing_promised_is_lost() {
    let Some(backend) = Backend::postgres() else { return };
    let database = backend.database();
    let mut scene = Scene::start(&database, &database);
    scene.setup.connection.batch_execute(FAULTS).unwrap();
    let mut trial = Trial::new("postgres-sqlstates");
    for (place, state) in ["INSERT", "COMMIT"].into_iter().flat_map(|place| STATES.map(|one| (place, one))) {
        // Said once, the service sees to it itself.
        plan(&mut scene.setup, place, state, 1);
        let (status, word) = scene.post().await;
        assert_eq!((status, word.as_str()), (202, "ACCEPTED"), "{place} {state:?}");
        assert!(scene.was_said(), "{place} {state:?}");
        trial.fault_done();
        // Said again and again, the caller is told to come back.
        plan(&mut scene.setup, place, state, FOR_EVER);
        let (status, word) = scene.post().await;
        assert_eq!((status, word.as_str()), (503, "storage_unavailable"), "{place} {state:?}");
        trial.fault_done();
        plan(&mut scene.setup, place, state, 0);
        trial.answers_again(&scene.caller).await;
    }
    for _ in 0..times(8) {
        let place = if trial.random.bool() { "INSERT" } else { "COMMIT" };
        let state = STATES[trial.random.usize(..STATES.len())];
        scene
            .outage(
                &mut trial,
                |setup| plan(setup, place, state, FOR_EVER),
                |setup| plan(setup, place, state, 0),
            )
            .await;
    }
    scene.end(trial).await;
}

/// A fresh database as a role sees it that owns it, as a superuser does, and the role's name.
fn of_a_role() -> Option<(TestDatabase, TestDatabase, String)> {
    let cluster = Cluster::shared()?;
    let name = cluster.create_database();
    let above = TestDatabase::at(cluster.url(&name));
    let role = format!("of_{name}");
    let mut superuser = PgConnection::establish(&above.url).unwrap();
    superuser
        .batch_execute(&format!("CREATE ROLE {role} LOGIN; ALTER DATABASE {name} OWNER TO {role}"))
        .unwrap();
    Some((above.at_url(above.url.replace("conversiond@", &format!("{role}@"))), above, role))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_without_connections_or_without_writes_is_503_until_it_has_them_again() {
    let Some((database, above, role)) = of_a_role() else { return };
    let mut trial = Trial::new("postgres-role");
    let mut scene = Scene::start(&database, &above);
    let end_all = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'");
    for (begin, end) in [
        // 53300 to whoever connects.
        ("CONNECTION LIMIT 0", "CONNECTION LIMIT -1"),
        // What a standby and a demoted primary say (25006).
        ("SET default_transaction_read_only = on", "RESET default_transaction_read_only"),
    ] {
        let alter = |how: &str| format!("ALTER ROLE {role} {how}");
        scene
            .outage(
                &mut trial,
                |setup| {
                    setup.execute(&alter(begin));
                    setup.execute(&end_all);
                },
                |setup| {
                    setup.execute(&alter(end));
                },
            )
            .await;
    }
    scene.end(trial).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_whose_type_changes_under_load_is_noticed_by_nobody() {
    let Some(backend) = Backend::postgres() else { return };
    let database = backend.database();
    let mut trial = Trial::new("postgres-stale-plans");
    let mut scene = Scene::start(&database, &database);
    let crowd = Crowd::start(16, &scene.caller, &scene.promises);
    for kind in ["VARCHAR(100)", "TEXT"] {
        let before = scene.promises.acknowledged();
        eventually("load is on", async || scene.promises.acknowledged() > before + 50).await;
        // 0A000 to whoever has prepared a statement that returns it.
        scene.setup.execute(&format!("ALTER TABLE events ALTER COLUMN event_id TYPE {kind} COLLATE \"C\""));
        trial.fault_done();
        trial.answers_again(&scene.caller).await;
    }
    crowd.stop().await;
    assert!(scene.promises.refused.lock().unwrap().is_empty(), "{:?}", scene.promises.refused);
    let log = scene.end(trial).await;
    let stale = log.iter().filter(|line| line.contains("cached plan must not change result type")).count();
    assert!(stale >= 2, "{log:?}");
}
