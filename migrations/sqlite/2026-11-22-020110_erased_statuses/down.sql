ALTER TABLE order_statuses DROP COLUMN erased_at;
