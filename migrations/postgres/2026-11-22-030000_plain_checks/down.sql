DROP INDEX events_reversing;

DROP INDEX events_reversing_by_order;

DROP INDEX events_reversing_by_time;

CREATE INDEX events_reversing ON events (merchant_id, mode, event_id)
    WHERE event_name IN ('refund', 'status_refund', 'cancellation', 'reversal');

CREATE INDEX events_reversing_by_order ON events (merchant_id, mode, order_id)
    WHERE event_name IN ('refund', 'status_refund', 'cancellation', 'reversal');

CREATE INDEX events_reversing_by_time ON events (merchant_id, occurred_at)
    WHERE event_name IN ('refund', 'status_refund', 'cancellation', 'reversal');
