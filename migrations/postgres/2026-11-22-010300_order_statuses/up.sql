-- What merchants report of their orders' states (contract 6.3): the orders' timeline.
-- status_updated_at is the merchant's instant in one form (UTC, microseconds), '' = not given.
CREATE TABLE order_statuses (
    merchant_id TEXT COLLATE "C" NOT NULL,
    mode TEXT COLLATE "C" NOT NULL CHECK (mode IN ('live', 'test')),
    order_id TEXT COLLATE "C" NOT NULL CHECK (order_id <> ''),
    status TEXT COLLATE "C" NOT NULL CHECK (status IN ('pending', 'confirmed', 'paid', 'delivered', 'cancelled', 'returned',
        'refunded', 'commission_approved', 'commission_rejected')),
    status_updated_at TEXT COLLATE "C" NOT NULL,
    attempt_id TEXT COLLATE "C" NOT NULL,
    event_id TEXT COLLATE "C",
    received_at TIMESTAMP NOT NULL,
    reason TEXT,
    metadata TEXT,
    body TEXT,
    key_id TEXT NOT NULL,
    signature_form TEXT NOT NULL,
    times_received BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, mode, order_id, status, status_updated_at)
);
