-- Sales and leads by when they happened, with all that a report adds up: it then reads the index alone,
-- once for the sums and once for the orders, not the rows behind it. The only index for reading that
-- every sale pays for.
CREATE INDEX events_sold_by_time ON events (merchant_id, occurred_at, mode, event_name, currency, value_minor, order_id)
    WHERE event_name IN ('sale', 'lead');
