-- Clicks on short links, as the link shortener tells of them (contract section 5). A click's id is a UUIDv7
-- of clicked_at, so that a merchant's clicks of a period are one range of the key.
CREATE TABLE clicks (
    merchant_id TEXT NOT NULL,
    click_id TEXT NOT NULL,
    domain_id TEXT NOT NULL,
    url_id TEXT NOT NULL,
    clicked_at TIMESTAMP NOT NULL,
    recorded_at TIMESTAMP NOT NULL,
    key_id TEXT NOT NULL,
    attempt_id TEXT NOT NULL,
    PRIMARY KEY (merchant_id, click_id)
) WITHOUT ROWID;
