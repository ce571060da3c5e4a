CREATE INDEX events_by_time ON events (merchant_id, occurred_at)
    WHERE event_name IN ('sale', 'lead');
