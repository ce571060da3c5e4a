-- Whether all keys of a merchant take the bound form of signature alone.
ALTER TABLE merchants ADD COLUMN require_v2 BOOLEAN NOT NULL DEFAULT FALSE;
