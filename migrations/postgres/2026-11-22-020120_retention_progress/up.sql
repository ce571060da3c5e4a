-- How far raw bodies and addresses are forgotten: up to and with the row at place, in the order of its
-- table's primary key. '' = from the beginning. order_statuses are gone through again and again, since
-- begun_at.
CREATE TABLE retention_progress (
    merchant_id TEXT COLLATE "C" NOT NULL,
    mode TEXT COLLATE "C" NOT NULL CHECK (mode IN ('', 'live', 'test')),
    subject TEXT COLLATE "C" NOT NULL CHECK (subject IN ('events', 'order_statuses', 'attempts')),
    place TEXT COLLATE "C" NOT NULL,
    begun_at TIMESTAMP NOT NULL,
    PRIMARY KEY (merchant_id, mode, subject)
);
