-- When an event's body and metadata were erased on request; NULL = they were not.
ALTER TABLE events ADD COLUMN erased_at TIMESTAMP;
