//! What somebody changes who can write to the database and has no master key: nobody signs for others by
//! it, and it is noticed.

use std::sync::Barrier;

use chrono::TimeDelta;
use conversiond::domain::ids::{KeyKind, MerchantId};
use conversiond::domain::time::Clock as _;
use conversiond::keyring::{
    KeyRequest, Loader, issue_key, retire_token_key, rewrap, rotate_key, rotate_token_key,
};
use conversiond::storage::StoreError;
use conversiond::storage::keys;
use conversiond::storage::merchants::{self, Changes};
use conversiond::system::{SystemClock, SystemEntropy};

use crate::support::service::Setup;
use crate::support::{Backend, Caller, TestDatabase, on_both_databases};

/// A database with keys in every state.
struct Stage {
    setup: Setup,
    victim: (MerchantId, Caller),
    attacker: (MerchantId, Caller),
    test: Caller,
    operator: Caller,
    revoked: Caller,
    bound: Caller,
    suspended: (MerchantId, Caller),
}

impl Stage {
    fn new(database: &TestDatabase) -> Self {
        let mut setup = Setup::new(database, "");
        let [victim, attacker, suspended] = [(); 3].map(|()| setup.merchant());
        let mut key = |kind, merchant| setup.key(kind, merchant);
        let of_victim = key(KeyKind::Live, Some(victim));
        let of_attacker = key(KeyKind::Live, Some(attacker));
        let of_suspended = key(KeyKind::Live, Some(suspended));
        let test = key(KeyKind::Test, Some(attacker));
        let operator = key(KeyKind::Operator, None);
        let revoked = key(KeyKind::Live, Some(victim));
        let bound = setup.key_with(KeyRequest {
            kind: KeyKind::Live,
            merchant_id: Some(victim),
            ip_allow: vec!["203.0.113.0/24".parse().unwrap()],
            require_v2: true,
        });
        setup.revoke(&revoked);
        setup.change(suspended, &Changes { suspended: Some(true), ..Changes::default() });
        let (ring, now) = (setup.master_key(), SystemClock.now());
        let id = of_victim.key_id.parse().unwrap();
        let overlap = (TimeDelta::hours(1), false);
        rotate_key(&mut setup.connection, &ring, &id, overlap, now, &SystemEntropy).unwrap();
        setup.tokens();
        for _ in 0..2 {
            rotate_token_key(&mut setup.connection, &ring, now, &SystemEntropy).unwrap();
        }
        retire_token_key(&mut setup.connection, &ring, 1, (now, now), &SystemEntropy).unwrap();
        Self {
            setup,
            victim: (victim, of_victim),
            attacker: (attacker, of_attacker),
            test,
            operator,
            revoked,
            bound,
            suspended: (suspended, of_suspended),
        }
    }

    fn load(&mut self) -> Result<usize, StoreError> {
        let mut loader = Loader::new(self.setup.master_key(), &SystemEntropy);
        loader.load(&mut self.setup.connection, SystemClock.now()).map(|directory| directory.len())
    }

    /// Everything that was thought of, and a word of what must be said.
    fn tampering(&self) -> Vec<(String, Vec<String>)> {
        let (vm, v) = (self.victim.0.to_string(), self.victim.1.key_id.as_str());
        let (am, a) = (self.attacker.0.to_string(), self.attacker.1.key_id.as_str());
        let (sm, s) = (self.suspended.0.to_string(), self.suspended.1.key_id.as_str());
        let (op, test) = (self.operator.key_id.as_str(), self.test.key_id.as_str());
        let (revoked, bound) = (self.revoked.key_id.as_str(), self.bound.key_id.as_str());
        let live = test.replace("ak_test_", "ak_live_");
        let other_id = "0b7d9f2e-5c41-4f0a-9d3e-6a1f2b3c4d5e";
        let copied_row =
            "key_id, ip_allow, require_v2, created_at, revoked_at, tag, tag_master_key FROM api_keys";
        let copied_secret = "ciphertext, master_key, created_at, NULL FROM key_secrets";
        let one = |key: &str, sql: String| (key.to_owned(), vec![sql]);
        let secret = |set: &str, key: &str| format!("UPDATE key_secrets SET {set} WHERE key_id = '{key}'");
        let row = |set: &str, key: &str| format!("UPDATE api_keys SET {set} WHERE key_id = '{key}'");
        let both = |key: &str, set: &str| (key.to_owned(), vec![secret(set, key), row(set, key)]);
        let token = |set: &str, number: u8| format!("UPDATE token_keys SET {set} WHERE number = {number}");
        vec![
            // A secret of one's own under another key, in one table or consistently in both.
            one(a, secret(&format!("key_id = '{v}'"), a)),
            one(a, secret(&format!("key_id = '{op}'"), a)),
            one(v, secret(&format!("key_id = '{v}', merchant_id = '{vm}'"), a)),
            one(op, secret(&format!("key_id = '{op}', merchant_id = ''"), a)),
            one(a, row(&format!("merchant_id = '{vm}'"), a)),
            both(a, &format!("merchant_id = '{vm}'")),
            both(a, "merchant_id = ''"),
            one(&live, row(&format!("key_id = '{live}'"), test)),
            (
                live.clone(),
                vec![secret(&format!("key_id = '{live}'"), test), row(&format!("key_id = '{live}'"), test)],
            ),
            one(
                v,
                format!(
                    "INSERT INTO key_secrets SELECT '{vm}', '{v}', '{other_id}', {copied_secret} WHERE key_id = '{a}'"
                ),
            ),
            one(
                v,
                format!(
                    "INSERT INTO key_secrets SELECT '{vm}', '{v}', secret_id, {copied_secret} WHERE key_id = '{a}'"
                ),
            ),
            one(
                a,
                format!(
                    "INSERT INTO key_secrets SELECT '{am}', '{a}', '{other_id}', {copied_secret} WHERE key_id = '{a}'"
                ),
            ),
            one(a, format!("INSERT INTO api_keys SELECT '{vm}', {copied_row} WHERE key_id = '{a}'")),
            one(
                v,
                secret(&format!("ciphertext = (SELECT ciphertext FROM key_secrets WHERE key_id = '{a}')"), v),
            ),
            // What limits a key, or ended it.
            one(revoked, row("revoked_at = NULL", revoked)),
            one(revoked, row("revoked_at = '2999-01-01 00:00:00'", revoked)),
            one(v, row("revoked_at = created_at", v)),
            one(bound, row("ip_allow = ''", bound)),
            one(bound, row("ip_allow = '0.0.0.0/0,::/0'", bound)),
            one(bound, row("require_v2 = FALSE", bound)),
            one(v, row("created_at = '2020-01-01 00:00:00'", v)),
            one(v, secret("expires_at = NULL", v)),
            one(v, secret("expires_at = '2999-01-01 00:00:00'", v)),
            one(v, secret("expires_at = '2020-01-01 00:00:00'", v)),
            one(v, secret("created_at = '2020-01-01 00:00:00'", v)),
            one(v, format!("DELETE FROM key_secrets WHERE key_id = '{v}' AND expires_at IS NULL")),
            one(s, format!("UPDATE merchants SET suspended = FALSE WHERE merchant_id = '{sm}'")),
            one(v, format!("UPDATE merchants SET suspended = TRUE WHERE merchant_id = '{vm}'")),
            one(v, format!("DELETE FROM merchants WHERE merchant_id = '{vm}'")),
            one(v, format!("DELETE FROM api_keys WHERE key_id = '{v}'")),
            // The tags themselves.
            one(v, row(&format!("tag = (SELECT tag FROM api_keys WHERE key_id = '{a}')"), v)),
            one(v, row("tag = ''", v)),
            one(v, row("tag_master_key = 0", v)),
            one(v, row("tag_master_key = 9", v)),
            // The keys of click tokens.
            one("token key 2", token("ciphertext = (SELECT ciphertext FROM token_keys WHERE number = 3)", 2)),
            one("token key 1", token("retired_at = NULL", 1)),
            one("token key 1", token("retired_at = '2999-01-01 00:00:00'", 1)),
            one("token key 2", token("retired_at = created_at", 2)),
            one("token key 2", token("created_at = '2020-01-01 00:00:00'", 2)),
            one("token key 7", token("number = 7", 2)),
        ]
    }
}

on_both_databases! {
    async fn whatever_is_changed_without_the_master_key_does_not_verify_and_is_named(backend: Backend) {
        let mut stage = Stage::new(&backend.database());
        assert_eq!(stage.load().unwrap(), 7);
        for (named, statements) in stage.tampering() {
            stage.setup.execute("BEGIN");
            for sql in &statements {
                assert!(stage.setup.execute(sql) > 0, "{sql}");
            }
            let error = stage.load().map(|_| ()).expect_err(&statements.join("; ")).to_string();
            assert!(error.contains(&named), "{}: {error}", statements.join("; "));
            stage.setup.execute("ROLLBACK");
        }
        assert_eq!(stage.load().unwrap(), 7);
    }

    async fn no_command_vouches_for_what_was_changed_without_the_master_key(backend: Backend) {
        let mut stage = Stage::new(&backend.database());
        let (ring, now) = (stage.setup.master_key(), SystemClock.now());
        let (victim, bound) = (stage.victim.0, stage.bound.key_id.clone());
        stage.setup.execute(&format!("UPDATE api_keys SET ip_allow = '' WHERE key_id = '{bound}'"));
        let key = bound.parse().unwrap();
        let c = &mut stage.setup.connection;
        let rotated = rotate_key(c, &ring, &key, (TimeDelta::hours(1), true), now, &SystemEntropy);
        assert!(rotated.unwrap_err().to_string().contains(&bound));
        assert!(rewrap(c, &ring, now, &SystemEntropy).unwrap_err().to_string().contains(&bound));
        let suspend = Changes { suspended: Some(true), ..Changes::default() };
        assert!(merchants::change(c, Some(&ring), victim, &suspend).unwrap_err().to_string().contains(&bound));
        assert!(stage.load().unwrap_err().to_string().contains(&bound));
        // What the operator says wins over what somebody has written.
        let sql = format!("UPDATE merchants SET suspended = FALSE WHERE merchant_id = '{}'", stage.suspended.0);
        assert_eq!(stage.setup.execute(&sql), 1);
        stage.setup.change(stage.suspended.0, &suspend);
        assert!(keys::revoke(&mut stage.setup.connection, &ring, &key, now).unwrap());
        assert_eq!(stage.load().unwrap(), 7);
        // A revoked key that was changed is revoked by the same command again, and then as it was.
        let sql = format!("UPDATE api_keys SET revoked_at = NULL WHERE key_id = '{bound}'");
        assert_eq!(stage.setup.execute(&sql), 1);
        assert!(keys::revoke(&mut stage.setup.connection, &ring, &key, now).unwrap());
        assert!(!keys::revoke(&mut stage.setup.connection, &ring, &key, now).unwrap());
        assert_eq!(stage.load().unwrap(), 7);
    }

    async fn changes_of_one_merchants_keys_at_once_leave_what_verifies(backend: Backend) {
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        let merchant = setup.merchant();
        let key = setup.key(KeyKind::Live, Some(merchant));
        let mut load = || {
            let mut loader = Loader::new(setup.master_key(), &SystemEntropy);
            setup.connection.read(|c| loader.load(c, SystemClock.now())).map(|directory| directory.len())
        };
        let rounds = 12;
        let start = Barrier::new(4);
        std::thread::scope(|scope| {
            let work = |what: fn(&mut Setup, MerchantId, &Caller, usize)| {
                let (database, start, key) = (&database, &start, &key);
                scope.spawn(move || {
                    let mut setup = Setup::new(database, "");
                    start.wait();
                    (0..rounds).for_each(|round| what(&mut setup, merchant, key, round));
                });
            };
            // Whoever waits for another's lock for too long has done nothing.
            work(|setup, merchant, _, round| {
                let suspended = Changes { suspended: Some(round % 2 == 0), ..Changes::default() };
                let ring = setup.master_key();
                let _ = merchants::change(&mut setup.connection, Some(&ring), merchant, &suspended);
            });
            work(|setup, merchant, _, _| {
                let (ring, now) = (setup.master_key(), SystemClock.now());
                let merchant_id = Some(merchant);
                let request = KeyRequest { kind: KeyKind::Test, merchant_id, ip_allow: Vec::new(), require_v2: false };
                let _ = issue_key(&mut setup.connection, &ring, request, now, &SystemEntropy);
            });
            work(|setup, _, key, _| {
                let (ring, id, now) = (setup.master_key(), key.key_id.parse().unwrap(), SystemClock.now());
                let how = (TimeDelta::zero(), true);
                let _ = rotate_key(&mut setup.connection, &ring, &id, how, now, &SystemEntropy);
            });
            work(|setup, _, _, _| {
                let (ring, now) = (setup.master_key(), SystemClock.now());
                let _ = rewrap(&mut setup.connection, &ring, now, &SystemEntropy);
            });
        });
        assert!(load().unwrap() > 1);
    }
}
