#!/bin/sh
# A loop of five attempts with curl: one key and one body for all of them, each signed anew.
#
# ORDER_ID, KEY (may be empty), ANSWER (where the answer's body goes); CONVERSIOND_URL and so on.
body=$(printf '{"externalOrderId":"%s","clickId":"clk_abc","amount":4999,"currency":"NPR"}' "$ORDER_ID")
for attempt in 1 2 3 4 5; do
  ts=$(date +%s)
  sig=$(printf '%s' "$ts.$body" | openssl dgst -sha256 -hmac "$CONVERSIOND_SECRET" | sed 's/^.* //')
  code=$(curl -s ${TIMEOUT_S:+--max-time "$TIMEOUT_S"} -o "$ANSWER" -w '%{http_code}' \
    -X POST "$CONVERSIOND_URL/api/v1/conversions" \
    -H 'Content-Type: application/json' \
    -H "X-API-Key: $CONVERSIOND_KEY_ID" -H "X-Timestamp: $ts" -H "X-Signature: $sig" \
    ${KEY:+-H "X-Idempotency-Key: $KEY"} \
    --data-binary "$body")
  # 000 is what curl writes where there was no answer.
  printf 'attempt {"order":"%s","status":%s}\n' "$ORDER_ID" "${code#00}" >&2
  case "$code" in
    2*) echo "ok $code"; exit 0 ;;
    409|5*) sleep "$(awk "BEGIN { print $attempt * 2 * ${SCALE:-1} }")"; continue ;;
    *) echo "error $code"; exit 1 ;;
  esac
done
echo "unconfirmed $code"
exit 1
