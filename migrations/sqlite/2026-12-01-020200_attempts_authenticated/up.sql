-- Whether the request was signed rightly, whatever it was refused for afterwards.
ALTER TABLE attempts ADD COLUMN authenticated BOOLEAN NOT NULL DEFAULT FALSE;
