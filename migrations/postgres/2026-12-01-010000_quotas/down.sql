ALTER TABLE merchants DROP COLUMN quota_bytes, DROP COLUMN quota_rows, DROP COLUMN rows_per_s;
