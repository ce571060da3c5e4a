ALTER TABLE merchants DROP COLUMN require_v2;
