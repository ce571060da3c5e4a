-- Stored answers (contract 6.1). body and status are those of a 2xx; claimed_by is the id of the
-- claim, by which a batch that is run again knows its own.
CREATE TABLE idempotency_keys (
    merchant_id TEXT COLLATE "C" NOT NULL,
    mode TEXT COLLATE "C" NOT NULL CHECK (mode IN ('live', 'test')),
    idempotency_key TEXT COLLATE "C" NOT NULL CHECK (idempotency_key <> ''),
    claimed_by TEXT COLLATE "C" NOT NULL,
    fingerprint TEXT NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    times_seen BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, mode, idempotency_key)
);

CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);
