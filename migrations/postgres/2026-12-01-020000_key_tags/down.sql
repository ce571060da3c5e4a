ALTER TABLE api_keys DROP COLUMN tag_master_key, DROP COLUMN tag;
