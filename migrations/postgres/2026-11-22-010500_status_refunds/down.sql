DELETE FROM events WHERE event_name = 'status_refund';

ALTER TABLE events
    DROP COLUMN attempt_id,
    DROP CONSTRAINT events_event_name_check,
    ADD CONSTRAINT events_event_name_check CHECK (event_name IN ('lead', 'sale', 'refund', 'cancellation',
        'reversal'));
