ALTER TABLE api_keys DROP COLUMN tag_master_key;
ALTER TABLE api_keys DROP COLUMN tag;
