-- What takes sales back, for lists of orders by state. A sale pays nothing for it.
CREATE INDEX events_reversing ON events (merchant_id, mode, event_id)
    WHERE event_name IN ('refund', 'status_refund', 'cancellation', 'reversal');
