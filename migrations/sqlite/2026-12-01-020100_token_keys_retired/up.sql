-- From then on no token of the key is genuine. The ciphertext is bound to it.
ALTER TABLE token_keys ADD COLUMN retired_at TIMESTAMP;
