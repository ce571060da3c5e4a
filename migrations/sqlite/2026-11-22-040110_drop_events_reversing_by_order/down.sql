CREATE INDEX events_reversing_by_order ON events (merchant_id, mode, order_id)
    WHERE event_name NOT IN ('sale', 'lead');
