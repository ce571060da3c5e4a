-- The same of what merchants report of their orders' states.
ALTER TABLE order_statuses ADD COLUMN erased_at TIMESTAMP;
