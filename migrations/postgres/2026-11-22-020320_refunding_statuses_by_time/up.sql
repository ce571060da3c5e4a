-- Statuses that are refunds, by when the merchant says they were: for the same reports.
CREATE INDEX refunding_statuses_by_time ON order_statuses (merchant_id, status_updated_at)
    WHERE status IN ('returned', 'refunded');
