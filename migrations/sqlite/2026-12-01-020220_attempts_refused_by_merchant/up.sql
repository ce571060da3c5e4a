-- Of refused attempts that a merchant signed the merchant's own oldest are forgotten first.
CREATE INDEX attempts_refused_by_merchant ON attempts (merchant_id, attempt_id)
    WHERE outcome = 'refused' AND authenticated;
