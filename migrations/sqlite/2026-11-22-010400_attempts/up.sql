-- The journal of requests to writing endpoints. merchant_id is '' where nobody's key was named;
-- bulk_row is -1 for the request itself, else the index of a row that it holds. Only refused ones
-- are indexed further: accepted ones cost the commit path one row at the key's end.
CREATE TABLE attempts (
    merchant_id TEXT NOT NULL,
    attempt_id TEXT NOT NULL,
    bulk_row INTEGER NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('', 'live', 'test')),
    started_at TIMESTAMP NOT NULL,
    endpoint TEXT NOT NULL,
    peer TEXT,
    key_id TEXT,
    request_id TEXT NOT NULL,
    body_sha256 TEXT,
    body_bytes BIGINT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('accepted', 'duplicate', 'replayed', 'refused')),
    status INTEGER NOT NULL,
    reason TEXT NOT NULL,
    error_pointer TEXT,
    order_id TEXT,
    event_id TEXT,
    elapsed_us BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, attempt_id, bulk_row)
) WITHOUT ROWID;

CREATE INDEX attempts_refused ON attempts (attempt_id) WHERE outcome = 'refused';

CREATE INDEX attempts_refused_by_order ON attempts (merchant_id, order_id)
    WHERE outcome = 'refused' AND order_id IS NOT NULL;
