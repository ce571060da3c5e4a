-- Webhook deliveries by the caller's id (contract 6.4). fingerprint is over topic and body.
CREATE TABLE external_events (
    merchant_id TEXT COLLATE "C" NOT NULL,
    mode TEXT COLLATE "C" NOT NULL CHECK (mode IN ('live', 'test')),
    external_event_id TEXT COLLATE "C" NOT NULL CHECK (external_event_id <> ''),
    attempt_id TEXT COLLATE "C" NOT NULL,
    topic TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    order_id TEXT COLLATE "C" NOT NULL,
    received_at TIMESTAMP NOT NULL,
    times_received BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, mode, external_event_id)
);
