CREATE TABLE merchants (
    merchant_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    currency TEXT,
    attribution_window_days INTEGER NOT NULL CHECK (attribution_window_days BETWEEN 0 AND 365),
    plan TEXT NOT NULL CHECK (plan IN ('free', 'pro', 'business', 'enterprise')),
    suspended BOOLEAN NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- merchant_id is '' for the operator's keys.
CREATE TABLE api_keys (
    merchant_id TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    ip_allow TEXT NOT NULL,
    require_v2 BOOLEAN NOT NULL,
    created_at TIMESTAMP NOT NULL,
    revoked_at TIMESTAMP,
    PRIMARY KEY (merchant_id, key_id)
);

CREATE TABLE key_secrets (
    merchant_id TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    secret_id TEXT COLLATE "C" NOT NULL,
    ciphertext BYTEA NOT NULL,
    master_key INTEGER NOT NULL,
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP,
    PRIMARY KEY (merchant_id, key_id, secret_id)
);

CREATE TABLE token_keys (
    number INTEGER NOT NULL PRIMARY KEY CHECK (number BETWEEN 0 AND 255),
    ciphertext BYTEA NOT NULL,
    master_key INTEGER NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- The unique key is the events' identity (contract 4.3); order_id stands before event_name so that
-- an order is one range of it. Lists run along the primary key: event ids are UUIDv7, so they sort
-- by time.
CREATE TABLE events (
    merchant_id TEXT COLLATE "C" NOT NULL,
    mode TEXT COLLATE "C" NOT NULL CHECK (mode IN ('live', 'test')),
    event_id TEXT COLLATE "C" NOT NULL,
    event_name TEXT COLLATE "C" NOT NULL CHECK (event_name IN ('lead', 'sale', 'refund', 'cancellation', 'reversal')),
    order_id TEXT COLLATE "C" NOT NULL CHECK (order_id <> ''),
    own_id TEXT COLLATE "C" NOT NULL,
    external_id TEXT COLLATE "C",
    occurred_at TIMESTAMP NOT NULL,
    occurred_given BOOLEAN NOT NULL,
    received_at TIMESTAMP NOT NULL,
    value_minor BIGINT CHECK (value_minor BETWEEN 0 AND 1000000000000000),
    currency TEXT,
    attribution TEXT NOT NULL CHECK (attribution IN ('attributed', 'unattributed', 'inherited')),
    attribution_reason TEXT,
    click_id TEXT COLLATE "C",
    url_id TEXT COLLATE "C",
    domain_id TEXT COLLATE "C",
    clicked_at TIMESTAMP,
    late_attribution_at TIMESTAMP,
    product_id TEXT,
    coupon_code TEXT,
    metadata TEXT,
    body TEXT,
    key_id TEXT NOT NULL,
    signature_form TEXT NOT NULL,
    idempotency_key TEXT,
    times_received BIGINT NOT NULL,
    times_differed BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, mode, event_id),
    UNIQUE (merchant_id, mode, order_id, event_name, own_id),
    CHECK ((value_minor IS NULL) = (currency IS NULL))
);

CREATE INDEX events_by_external_id ON events (merchant_id, mode, external_id)
    WHERE external_id IS NOT NULL;
