-- Webhook deliveries by the caller's id (contract 6.4). fingerprint is over topic and body.
CREATE TABLE external_events (
    merchant_id TEXT NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
    external_event_id TEXT NOT NULL CHECK (external_event_id <> ''),
    attempt_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    order_id TEXT NOT NULL,
    received_at TIMESTAMP NOT NULL,
    times_received BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, mode, external_event_id)
);
