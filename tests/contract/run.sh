#!/usr/bin/env bash
# Holds the running service against its own description: schemathesis makes requests of
# /openapi.json, well-formed and not, hooks.py signs them, and every answer must be a described one.
#
#   CONVERSIOND         the binary; target/debug/conversiond unless given
#   CONTRACT_EXAMPLES   how many requests are made up per operation and phase; 40 unless given, which
#                       is about 2,500 requests and half a minute
#   CONTRACT_SEED       a seed, to have the same requests again
#
# Further arguments go to schemathesis.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
cd "$here/../.."
conversiond="$(realpath "${CONVERSIOND:-target/debug/conversiond}")"

echo "the committed description is the binary's"
"$conversiond" openapi | diff -q - openapi.json \
  || { echo "openapi.json is not what the binary says: cargo run -- openapi > openapi.json"; exit 1; }

environment=target/contract
if ! cmp -s "$here/requirements.txt" "$environment/requirements.txt"; then
  rm -rf "$environment"
  python3 -m venv "$environment"
  "$environment/bin/pip" install --quiet --disable-pip-version-check --require-virtualenv -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$environment/requirements.txt"
fi
schemathesis="$(realpath "$environment/bin/schemathesis")"

folder="$(mktemp -d)"
server=
end() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  rm -rf "$folder"
}
trap end EXIT

export CONVERSIOND__DATABASE__URL="sqlite:$folder/conversiond.db"
export CONVERSIOND__SERVER__LISTEN=127.0.0.1:0 CONVERSIOND__ADMIN__LISTEN=127.0.0.1:0
of() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
# With a limit that is never reached, so that its headers are there to be judged.
merchant="$("$conversiond" --json merchant create --name Contract --currency EUR | of merchant_id)"
"$conversiond" --json merchant set "$merchant" --rate 100000 --burst 100000 >/dev/null
key="$("$conversiond" --json key create --merchant "$merchant")"
operators="$("$conversiond" --json key create --operator)"
CONVERSIOND_MERCHANT_ID="$merchant"
CONVERSIOND_KEY_ID="$(of key_id <<<"$key")" CONVERSIOND_SECRET="$(of secret <<<"$key")"
CONVERSIOND_OPERATOR_KEY_ID="$(of key_id <<<"$operators")" CONVERSIOND_OPERATOR_SECRET="$(of secret <<<"$operators")"
export CONVERSIOND_MERCHANT_ID CONVERSIOND_KEY_ID CONVERSIOND_SECRET CONVERSIOND_OPERATOR_KEY_ID CONVERSIOND_OPERATOR_SECRET

"$conversiond" serve 2>"$folder/log" &
server=$!
address=
for _ in $(seq 100); do
  address="$(sed -n 's/.*"api_address":"\([^"]*\)".*/\1/p' "$folder/log")"
  [ -z "$address" ] || break
  sleep 0.1
done
[ -n "$address" ] || { echo "the service does not listen:"; cat "$folder/log"; exit 1; }

# In the folder, where no schemathesis.toml of somebody else's lies above it. From the file, since
# schemathesis leaves out the path that it has read its schema from.
description="$PWD/openapi.json"
(
  cd "$folder"
  export PYTHONPATH="$here" PYTHONDONTWRITEBYTECODE=1 SCHEMATHESIS_HOOKS=hooks NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
  "$schemathesis" --no-color run "$description" --url "http://$address" \
    --max-examples "${CONTRACT_EXAMPLES:-40}" ${CONTRACT_SEED:+--seed "$CONTRACT_SEED"} \
    --continue-on-failure --exclude-checks positive_data_acceptance \
    --generation-with-security-parameters false --generation-database none --warnings off "$@"
)

kill "$server"
wait "$server" || { echo "the service did not end well:"; tail "$folder/log"; exit 1; }
server=
if grep -E '"level":"ERROR"|panicked' "$folder/log"; then
  echo "the service logged errors"
  exit 1
fi
