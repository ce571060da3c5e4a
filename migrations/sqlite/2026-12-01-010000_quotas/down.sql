ALTER TABLE merchants DROP COLUMN quota_bytes;
ALTER TABLE merchants DROP COLUMN quota_rows;
ALTER TABLE merchants DROP COLUMN rows_per_s;
