-- HMAC over a key's row and its secrets' rows, and the number of the master key that it was made with.
-- A key without one does not verify.
ALTER TABLE api_keys ADD COLUMN tag BLOB NOT NULL DEFAULT x'';
ALTER TABLE api_keys ADD COLUMN tag_master_key INTEGER NOT NULL DEFAULT 0;
