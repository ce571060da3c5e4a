DROP TABLE events;
DROP TABLE token_keys;
DROP TABLE key_secrets;
DROP TABLE api_keys;
DROP TABLE merchants;
