ALTER TABLE attempts DROP COLUMN authenticated;
