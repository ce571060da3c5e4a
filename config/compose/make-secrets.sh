#!/usr/bin/env bash
# Makes the files that compose.yaml hands to its containers as secrets: the master key, passwords, and a
# key and certificate for PostgreSQL. A file that is there stays as it is.
#
#   sudo config/compose/make-secrets.sh [FOLDER]        # FOLDER: secrets
#
# Each file is readable for one user alone, the one in its container. Compose hands a file on with its
# owner and mode, which is why this needs root. SERVICE_UID and POSTGRES_UID: other users (rootless Docker).
set -euo pipefail
umask 077

folder=${1:-secrets}
service=${SERVICE_UID:-65532}     # USER in Dockerfile
postgres=${POSTGRES_UID:-999}     # user of postgres in compose.yaml

mkdir -p "$folder"
cd "$folder"

# keep FILE OWNER MODE: takes standard input as its content, unless there is one already. It gets its name
# only when it is whole and its owner's.
keep() {
  if [ -e "$1" ]; then
    cat >/dev/null
    return
  fi
  cat >"$1.new"
  chown "$2" "$1.new"
  chmod "$3" "$1.new"
  mv "$1.new" "$1"
  echo "made $folder/$1"
}

openssl rand -base64 32 | keep master-key "$service" 0400
openssl rand -hex 24 | keep postgres-password "$postgres" 0400
for role in migrate serve; do
  openssl rand -hex 24 | keep "$role-password" "$postgres" 0400
  # libpq takes a password file only if nobody else may read it.
  echo "*:*:conversiond:conversiond_$role:$(cat "$role-password")" | keep "$role.pgpass" "$service" 0400
done

# The certificate is its own authority: clients trust this one and no other.
if [ ! -e postgres.crt ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
    -subj /CN=postgres -addext subjectAltName=DNS:postgres -keyout key.pem -out certificate.pem 2>/dev/null
  rm -f postgres.key
  keep postgres.key "$postgres" 0400 <key.pem
  keep postgres.crt "$postgres" 0444 <certificate.pem
  rm -f key.pem certificate.pem
fi
