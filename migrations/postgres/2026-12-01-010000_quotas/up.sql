-- A merchant's own limit of bulk requests' rows; NULL = its plan's. What it may write per day; NULL = anything.
ALTER TABLE merchants
    ADD COLUMN rows_per_s INTEGER CHECK (rows_per_s > 0),
    ADD COLUMN quota_rows BIGINT CHECK (quota_rows > 0),
    ADD COLUMN quota_bytes BIGINT CHECK (quota_bytes > 0);
