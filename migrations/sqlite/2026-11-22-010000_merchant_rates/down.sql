ALTER TABLE merchants DROP COLUMN burst;
ALTER TABLE merchants DROP COLUMN rate_per_s;
