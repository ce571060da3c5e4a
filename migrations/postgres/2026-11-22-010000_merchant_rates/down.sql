ALTER TABLE merchants DROP COLUMN burst, DROP COLUMN rate_per_s;
