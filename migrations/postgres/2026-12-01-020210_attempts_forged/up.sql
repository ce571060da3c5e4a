-- Of refused attempts that nobody signed the oldest are forgotten first, whosever key they name.
CREATE INDEX attempts_forged ON attempts (attempt_id)
    WHERE outcome = 'refused' AND NOT authenticated;
