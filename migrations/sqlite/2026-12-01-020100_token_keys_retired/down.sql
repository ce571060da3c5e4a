ALTER TABLE token_keys DROP COLUMN retired_at;
