-- A merchant's own rate limit; NULL = its plan's.
ALTER TABLE merchants ADD COLUMN rate_per_s INTEGER CHECK (rate_per_s > 0);
ALTER TABLE merchants ADD COLUMN burst INTEGER CHECK (burst > 0);
