-- Events that were told again with other content, for lists of orders by flag.
CREATE INDEX events_differing ON events (merchant_id, mode, event_id)
    WHERE times_differed > 0;
