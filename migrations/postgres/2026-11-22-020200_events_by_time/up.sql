-- Sales and leads by when they happened: reports and reconciliation. The only index for reading that
-- every sale pays for; mode is read off the row.
CREATE INDEX events_by_time ON events (merchant_id, occurred_at)
    WHERE event_name IN ('sale', 'lead');
