//! A database that an earlier version filled: the migrations carry it over, and it reads as before.

use conversiond::domain::ids::MerchantId;
use conversiond::domain::merchant::Mode;
use conversiond::storage::{AnyConnection, Connector, Purpose, events, migrate, orders};
use diesel::connection::SimpleConnection as _;

use crate::support::{Backend, on_both_databases};

/// The last migration of the version that took events but told nothing of orders.
const LAST: &str = "2026-11-22-010500_status_refunds";

const MERCHANT: &str = "mer_01kam013kve86btrzkxeedq4gg";
const SALE: &str = "evt_01kam013kve86btrzkxeedq4g1";

const ROWS: &str = "
INSERT INTO merchants (merchant_id, name, currency, attribution_window_days, plan, suspended, created_at)
VALUES ('mer_01kam013kve86btrzkxeedq4gg', 'shop', 'EUR', 30, 'enterprise', FALSE, '2025-11-01 00:00:00');
INSERT INTO events (merchant_id, mode, event_id, event_name, order_id, own_id, occurred_at, occurred_given,
    received_at, value_minor, currency, attribution, attribution_reason, metadata, body, key_id, signature_form,
    times_received, times_differed, attempt_id)
VALUES
    ('mer_01kam013kve86btrzkxeedq4gg', 'live', 'evt_01kam013kve86btrzkxeedq4g1', 'sale', 'O-1', '',
     '2025-11-02 10:00:00', TRUE, '2025-11-02 10:00:01', 12990, 'EUR', 'unattributed', 'no_token', '{\"a\":1}',
     '{}', 'ak_live_0123456789abcdefghijklmn', 'v2', 3, 1, NULL),
    ('mer_01kam013kve86btrzkxeedq4gg', 'live', 'evt_01kam013kve86btrzkxeedq4g2', 'refund', 'O-1', 'R-1',
     '2025-11-03 10:00:00', TRUE, '2025-11-03 10:00:01', 990, 'EUR', 'inherited', NULL, NULL,
     '{}', 'ak_live_0123456789abcdefghijklmn', 'v1', 1, 0, 'att_01kam013kve86btrzkxeedq4g1'),
    ('mer_01kam013kve86btrzkxeedq4gg', 'live', 'evt_01kam013kve86btrzkxeedq4g3', 'status_refund', 'O-2', '',
     '2025-11-04 10:00:00', TRUE, '2025-11-04 10:00:01', NULL, NULL, 'inherited', NULL, NULL,
     '{}', 'ak_live_0123456789abcdefghijklmn', 'v1', 1, 0, 'att_01kam013kve86btrzkxeedq4g2');
INSERT INTO order_statuses (merchant_id, mode, order_id, status, status_updated_at, attempt_id, event_id,
    received_at, reason, body, key_id, signature_form, times_received)
VALUES ('mer_01kam013kve86btrzkxeedq4gg', 'live', 'O-2', 'returned', '2025-11-04T10:00:00.000000Z',
    'att_01kam013kve86btrzkxeedq4g2', 'evt_01kam013kve86btrzkxeedq4g3', '2025-11-04 10:00:01', 'too small', '{}',
    'ak_live_0123456789abcdefghijklmn', 'v1', 1);
INSERT INTO idempotency_keys (merchant_id, mode, idempotency_key, claimed_by, fingerprint, status, body, created_at,
    expires_at, times_seen)
VALUES ('mer_01kam013kve86btrzkxeedq4gg', 'live', 'K-1', 'att_01kam013kve86btrzkxeedq4g1', 'f', 202, '{}',
    '2025-11-03 10:00:01', '2025-11-04 10:00:01', 1);
INSERT INTO attempts (merchant_id, attempt_id, bulk_row, mode, started_at, endpoint, peer, key_id, request_id,
    body_bytes, outcome, status, reason, order_id, event_id, elapsed_us)
VALUES ('mer_01kam013kve86btrzkxeedq4gg', 'att_01kam013kve86btrzkxeedq4g1', -1, 'live', '2025-11-03 10:00:00',
    'conversions', '127.0.0.1', 'ak_live_0123456789abcdefghijklmn', 'r', 2, 'accepted', 202, 'accepted', 'O-1',
    'evt_01kam013kve86btrzkxeedq4g2', 100);
";

/// The migrations of before, applied as their version did.
fn earlier_schema(connection: &mut AnyConnection, folder: &str) {
    let path = format!("{}/migrations/{folder}", env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<String> = std::fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.as_str() <= LAST)
        .collect();
    names.sort();
    assert_eq!(names.last().unwrap(), LAST);
    connection
        .batch_execute(
            "CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL, \
             run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)",
        )
        .unwrap();
    for name in names {
        let up = std::fs::read_to_string(format!("{path}/{name}/up.sql")).unwrap();
        connection.batch_execute(&up).unwrap();
        let version: String = name.split('_').next().unwrap().replace('-', "");
        let applied = format!("INSERT INTO __diesel_schema_migrations (version) VALUES ('{version}')");
        connection.batch_execute(&applied).unwrap();
    }
}

on_both_databases! {
    async fn a_store_of_the_earlier_schema_is_carried_over_and_reads_as_before(backend: Backend) {
        let database = backend.database();
        let mut connection = Connector::new(database.config("").database).connect(Purpose::Write).unwrap();
        let folder = match backend {
            Backend::Sqlite => "sqlite",
            Backend::Postgres => "postgres",
        };
        earlier_schema(&mut connection, folder);
        connection.batch_execute(ROWS).unwrap();
        let pending = migrate::pending(&mut connection).unwrap();
        assert!(pending.len() >= 4 && pending.iter().all(|name| name.as_str() > LAST), "{pending:?}");
        assert_eq!(migrate::run(&mut connection).unwrap(), pending.iter().map(|name| name.split('_').next().unwrap().replace('-', "")).collect::<Vec<_>>());

        let merchant: MerchantId = MERCHANT.parse().unwrap();
        let order = orders::find(&mut connection, merchant, Mode::Live, "O-1").unwrap().unwrap();
        assert_eq!(order.figures.net.unwrap().to_string(), "120.00");
        assert_eq!((order.figures.state.as_str(), order.figures.flags.len()), ("partially_refunded", 1));
        let returned = orders::find(&mut connection, merchant, Mode::Live, "O-2").unwrap().unwrap();
        assert_eq!((returned.figures.state.as_str(), returned.timeline.moments.len()), ("awaiting_sale", 2));
        let sale = events::find(&mut connection, merchant, Mode::Live, SALE.parse().unwrap()).unwrap().unwrap();
        assert_eq!((sale.times_received, sale.metadata.as_deref()), (3, Some("{\"a\":1}")));
    }
}
