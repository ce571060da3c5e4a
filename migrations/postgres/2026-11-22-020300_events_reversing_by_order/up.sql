-- What takes sales back, by the order: reports ask for it sale by sale. A sale pays nothing for it.
CREATE INDEX events_reversing_by_order ON events (merchant_id, mode, order_id)
    WHERE event_name IN ('refund', 'status_refund', 'cancellation', 'reversal');
