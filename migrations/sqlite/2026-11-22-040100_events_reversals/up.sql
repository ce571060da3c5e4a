-- What takes sales back, by the order, with all that a report reads of it: it is joined with the sales of
-- a time out of two indexes alone. A sale pays nothing for it.
CREATE INDEX events_reversals ON events (merchant_id, mode, order_id, event_name, occurred_at, value_minor, currency)
    WHERE event_name NOT IN ('sale', 'lead');
