CREATE INDEX attempts_refused ON attempts (attempt_id) WHERE outcome = 'refused';
