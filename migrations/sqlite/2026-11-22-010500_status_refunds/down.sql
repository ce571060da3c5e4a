DELETE FROM events WHERE event_name = 'status_refund';

CREATE TABLE events_new (
    merchant_id TEXT NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('live', 'test')),
    event_id TEXT NOT NULL,
    event_name TEXT NOT NULL CHECK (event_name IN ('lead', 'sale', 'refund', 'cancellation', 'reversal')),
    order_id TEXT NOT NULL CHECK (order_id <> ''),
    own_id TEXT NOT NULL,
    external_id TEXT,
    occurred_at TIMESTAMP NOT NULL,
    occurred_given BOOLEAN NOT NULL,
    received_at TIMESTAMP NOT NULL,
    value_minor BIGINT CHECK (value_minor BETWEEN 0 AND 1000000000000000),
    currency TEXT,
    attribution TEXT NOT NULL CHECK (attribution IN ('attributed', 'unattributed', 'inherited')),
    attribution_reason TEXT,
    click_id TEXT,
    url_id TEXT,
    domain_id TEXT,
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

INSERT INTO events_new (
    merchant_id, mode, event_id, event_name, order_id, own_id,
    external_id, occurred_at, occurred_given, received_at, value_minor, currency,
    attribution, attribution_reason, click_id, url_id, domain_id, clicked_at,
    late_attribution_at, product_id, coupon_code, metadata, body, key_id,
    signature_form, idempotency_key, times_received, times_differed
) SELECT
    merchant_id, mode, event_id, event_name, order_id, own_id,
    external_id, occurred_at, occurred_given, received_at, value_minor, currency,
    attribution, attribution_reason, click_id, url_id, domain_id, clicked_at,
    late_attribution_at, product_id, coupon_code, metadata, body, key_id,
    signature_form, idempotency_key, times_received, times_differed
FROM events;

DROP TABLE events;

ALTER TABLE events_new RENAME TO events;

CREATE INDEX events_by_external_id ON events (merchant_id, mode, external_id)
    WHERE external_id IS NOT NULL;
