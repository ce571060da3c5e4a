#!/usr/bin/env bash
# PostgreSQL's roles, made when the database is new (docker-entrypoint-initdb.d). On a server of your own:
# run it once as a superuser, with POSTGRES_USER, POSTGRES_DB and libpq's variables (PGHOST, …).
#
#   conversiond_migrate   owns the schema: for `conversiond migrate` alone
#   conversiond_serve     reads and writes rows: for `conversiond serve` and every other command
set -euo pipefail

secrets=${SECRETS:-/run/secrets}

# The passwords are read by psql itself, so that they stand in no command line.
psql --no-psqlrc --set ON_ERROR_STOP=1 --quiet --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<SQL
\set migrate_password \`cat "$secrets/migrate-password"\`
\set serve_password \`cat "$secrets/serve-password"\`
BEGIN;
CREATE ROLE conversiond_migrate LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOINHERIT PASSWORD :'migrate_password';
CREATE ROLE conversiond_serve   LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOINHERIT PASSWORD :'serve_password';

REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME" TO conversiond_migrate, conversiond_serve;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO conversiond_migrate;
GRANT USAGE ON SCHEMA public TO conversiond_serve;

-- Rows alone: no TRUNCATE, no triggers, no references.
ALTER DEFAULT PRIVILEGES FOR ROLE conversiond_migrate IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO conversiond_serve;
COMMIT;
SQL

# From the network only these two, only to this database, only with TLS and a password. The superuser
# comes in by the socket alone, that is, from within the container.
if [ -n "${PGDATA:-}" ]; then
  cat >"$PGDATA/pg_hba.conf" <<HBA
local   all           all                                            trust
hostssl $POSTGRES_DB  conversiond_migrate,conversiond_serve  all     scram-sha-256
HBA
fi
