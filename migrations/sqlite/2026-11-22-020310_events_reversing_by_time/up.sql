-- The same by when it happened: reports of what happened in a time.
CREATE INDEX events_reversing_by_time ON events (merchant_id, occurred_at)
    WHERE event_name IN ('refund', 'status_refund', 'cancellation', 'reversal');
