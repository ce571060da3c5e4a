-- status_refund: what a returned or refunded order says of itself (contract 6.3). attempt_id leads to
-- the journal.
ALTER TABLE events
    ADD COLUMN attempt_id TEXT COLLATE "C",
    DROP CONSTRAINT events_event_name_check,
    ADD CONSTRAINT events_event_name_check CHECK (event_name IN ('lead', 'sale', 'refund', 'cancellation',
        'reversal', 'status_refund')) NOT VALID;
