-- What merchants that have a quota wrote on a day (UTC). Days that are over go with the housekeeping.
CREATE TABLE merchant_usage (
    merchant_id TEXT NOT NULL,
    day DATE NOT NULL,
    rows BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (merchant_id, day)
);
