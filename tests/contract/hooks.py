"""What schemathesis does not know of the service: how to sign, and which refusals no schema can tell.

Every request is signed as a merchant's backend would sign it, with the key in CONVERSIOND_KEY_ID and
the secret in CONVERSIOND_SECRET, and clicks as the link shortener would, with the operator's in
CONVERSIOND_OPERATOR_KEY_ID and CONVERSIOND_OPERATOR_SECRET: most in the bound form v2, some in the plain form and with Standard
Webhooks headers where there is a body. Some are signed wrongly on purpose, and must be refused for it.
"""

import atexit
import base64
import collections
import datetime
import hashlib
import hmac
import itertools
import json
import os
import re
import sys
import time

import requests.auth
import schemathesis
from hypothesis import strategies as st

MERCHANT = os.environ["CONVERSIOND_MERCHANT_ID"]
MERCHANTS_KEY = os.environ["CONVERSIOND_KEY_ID"], os.environ["CONVERSIOND_SECRET"]
OPERATORS_KEY = os.environ["CONVERSIOND_OPERATOR_KEY_ID"], os.environ["CONVERSIOND_OPERATOR_SECRET"]
CLICKS = "/api/v1/clicks"

# Which request is signed how. Every fifth one does not take the recommended form; every twentieth
# one is signed wrongly.
FORMS = itertools.cycle(["v2"] * 4 + ["v1"] + ["v2"] * 4 + ["standard-webhooks"])
FLAWS = itertools.cycle(
    [None] * 19 + ["secret"] + [None] * 19 + ["target"] + [None] * 19 + ["late"] + [None] * 19 + ["key"]
    + [None] * 19 + ["unsigned"] + [None] * 19 + ["mixed"] + [None] * 19 + ["malformed"]
)
# What a flaw must be answered with.
REFUSALS = {
    "secret": (401, "unauthorized"),
    "target": (401, "unauthorized"),
    "late": (401, "timestamp_outside_tolerance"),
    "key": (401, "unauthorized"),
    "unsigned": (401, "unauthorized"),
    "mixed": (400, "malformed_signature"),
    "malformed": (400, "malformed_signature"),
}
# A flawed request's id tells the flaw, so that its answer can be judged.
FLAWED = "flaw-"
SIGNATURE_HEADERS = [
    "X-API-Key", "X-Timestamp", "X-Signature", "X-Nim-Timestamp", "X-Nim-Signature",
    "webhook-id", "webhook-timestamp", "webhook-signature",
]  # fmt: skip


class Signature(requests.auth.AuthBase):
    """Signs a request as it goes onto the wire."""

    def __call__(self, request):
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        for name in SIGNATURE_HEADERS:
            request.headers.pop(name, None)
        if not next(REUSED):
            renew(request.headers)
        path = request.path_url.split("?")[0]
        # Only the endpoints that take callbacks take the other forms.
        form, flaw = next(FORMS) if body and takes_any_form(path) else "v2", next(FLAWS)
        if flaw is not None:
            request.headers["X-Request-ID"] = FLAWED + flaw
        is_click = path == CLICKS
        if flaw in ("target", "mixed", "malformed"):
            form = "v2"
        key_id, secret = OPERATORS_KEY if is_click else MERCHANTS_KEY
        request.headers.update(sign(request, body, form, flaw, key_id, secret))
        if flaw == "unsigned":
            del request.headers["X-API-Key"]
        elif flaw == "key":
            request.headers["X-API-Key"] = key_id[:-1] + ("0" if key_id[-1] != "0" else "1")
        elif flaw == "mixed":
            request.headers["webhook-id"] = "msg_1"
        elif flaw == "malformed":
            request.headers["X-Signature"] = "v2=" + "0" * 63
        return request


def takes_any_form(path):
    """Whether it is one of the endpoints that take callbacks."""
    callbacks = ("/api/v1/conversions", "/api/v1/conversions/bulk", "/api/v1/order-status")
    return path in callbacks or "/webhooks/" in path


# Drawn again and again, a key or a delivery's id would stand for another request as a rule.
REUSED = itertools.cycle([False] * 4 + [True])
NUMBERS = itertools.count(time.time_ns())


def renew(headers):
    """Makes the operation's names fresh ones, of the same form."""
    number = next(NUMBERS)
    for name in ("Idempotency-Key", "X-Idempotency-Key", "X-External-Event-Id"):
        value = headers.get(name)
        value = value.decode("latin-1") if isinstance(value, bytes) else value
        if value and re.fullmatch("[!#-~][!-~]{0,199}", value):
            headers[name] = f"{value}-{number}"


def sign(request, body, form, flaw, key_id, secret):
    """The headers of a form, wrong in this way."""
    if flaw == "secret":
        secret = secret[:-2] + ("A=" if secret[-2] != "A" else "E=")
    timestamp = str(int(time.time()) - (3600 if flaw == "late" else 0))
    target = request.path_url + ("&" if flaw == "target" else "")

    def header(name):
        value = request.headers.get(name, "")
        return value if isinstance(value, bytes) else value.encode("latin-1")

    def mac(key, *parts):
        return hmac.new(key, b"".join(parts), hashlib.sha256)

    if form == "standard-webhooks":
        message = f"msg_{time.time_ns()}"
        key = base64.b64decode(secret.removeprefix("whsec_"))
        value = mac(key, f"{message}.{timestamp}.".encode(), body).digest()
        return {
            "X-API-Key": key_id,
            "webhook-id": message,
            "webhook-timestamp": timestamp,
            "webhook-signature": "v1," + base64.b64encode(value).decode(),
        }
    if form == "v1":
        value = "v1=" + mac(secret.encode(), f"{timestamp}.".encode(), body).hexdigest()
    else:
        lines = [
            b"v2", timestamp.encode(), request.method.encode(), target.encode("latin-1"),
            # Of the two names only this one is signed; it is what the service takes first.
            header("Idempotency-Key") or header("X-Idempotency-Key"),
            header("X-External-Event-Id"), hashlib.sha256(body).hexdigest().encode(),
        ]  # fmt: skip
        value = "v2=" + mac(secret.encode(), b"\n".join(lines)).hexdigest()
    return {"X-API-Key": key_id, "X-Timestamp": timestamp, "X-Signature": value}


schemathesis.auth.set_from_requests(Signature()).skip_for(path="/openapi.json")


# Instants that an event can have: a date drawn at random lies in the future as a rule.
NOW = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
OFFSETS = ["Z", "z", "+00:00", "-00:00", "+05:45", "-11:30", "+14:00"]
schemathesis.openapi.format(
    "date-time",
    st.builds(
        lambda at, fraction, offset: at.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + fraction + offset,
        st.datetimes(datetime.datetime(2, 1, 1), NOW - datetime.timedelta(days=2)),
        st.sampled_from(["", ".0", ".5", ".123456", ".123456789"]),
        st.sampled_from(OFFSETS),
    ),
)

# Rows of NDJSON; to the document they are text, so each character that is drawn becomes one.
ROWS = [
    '{"event_name":"lead","external_id":"L-%s"}',
    '{"event_name":"lead","external_id":"L-%s","client_row_id":"r1","idempotency_key":"k1"}',
    '{"externalOrderId":"O-%s","amount":1,"currency":"EUR","client_row_id":"é"}',
    '{"event_name":"refund","custom_data":{"related_order_id":"O-%s"}}',
    '{"event_name":"lead","event_name":"lead","external_id":"%s"}',
    '{"client_row_id":"%s"}',
    "oops %s",
    "",
]


@schemathesis.serializer("application/x-ndjson")
def ndjson(_context, value):
    """Text is lines; what is generated instead of text is one."""
    return (value if isinstance(value, str) else json.dumps(value)).encode()


CURRENCIES = ["USD", "eur", "JPY", "KWD", "clf"]


@schemathesis.hook
def map_body(_context, body):
    """Three letters drawn at random are no currency as a rule, and no text is rows: most are made some."""
    if isinstance(body, str) and body.strip() and not body.startswith("{"):
        rows = ((ROWS[ord(drawn) % len(ROWS)], ord(drawn)) for drawn in body[:100])
        return "\n".join(row and row % number for row, number in rows) or body
    if isinstance(body, dict):
        for holder in (body, body.get("custom_data"), *(body["rows"] if isinstance(body.get("rows"), list) else [])):
            holder = holder.get("custom_data", holder) if isinstance(holder, dict) else None
            currency = holder.get("currency") if isinstance(holder, dict) else None
            if isinstance(currency, str) and re.fullmatch("[A-Za-z]{3}", currency) and currency[0] not in "Xx":
                holder["currency"] = CURRENCIES[ord(currency[0]) % len(CURRENCIES)]
    return body


@schemathesis.hook
def before_call(_context, case, _kwargs):
    """A cursor can only be had from a page, and a range drawn at random is empty as a rule."""
    if not case.path.endswith(("/conversions", "/exports/events")) or next(MISFITS) or not case.query:
        return
    for name in ("cursor", "occurred_to", "received_to", "to"):
        case.query.pop(name, None)


TOPICS = {"paid", "delivered", "cancelled", "returned", "refunded"}


@schemathesis.hook
def map_case(_context, case):
    """Most of what is well-formed by itself is made to fit together."""
    if case.meta is None or not case.meta.generation.mode.is_positive or next(MISFITS):
        return case
    if case.headers.get("Idempotency-Key") and case.headers.get("X-Idempotency-Key"):
        case.headers["X-Idempotency-Key"] = case.headers["Idempotency-Key"]
    if case.path == REPORT and case.query:
        # No text drawn at random is a zone, and no time is short.
        for name, known in (("tz", ZONES), ("currency", CURRENCIES)):
            if isinstance(case.query.get(name), str) and case.query[name]:
                case.query[name] = known[ord(case.query[name][0]) % len(known)]
        for name in ("from", "to"):
            case.query.pop(name, None)
    if case.path == CLICKS and isinstance(case.body, dict):
        # One drawn at random is nobody's.
        case.body["merchant_id"] = MERCHANT
    if case.path.endswith(WEBHOOKS) and isinstance(case.body, dict):
        status = case.body.get("status")
        if status in TOPICS:
            case.path_parameters["topic"] = f"order-{status}"
        elif status is None and (case.body.get("orderAmount") or case.body.get("amount")):
            case.path_parameters["topic"] = "order-created"
        elif status is None:
            case.path_parameters["topic"] = "order-paid"
    return case


REPORT = "/api/v1/reports/attribution"
ZONES = ["UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata"]
MISFITS = itertools.cycle([False] * 4 + [True])
WEBHOOKS = "/webhooks/{topic}"


# Refusals of well-formed requests that no schema can tell: by code, and of `validation_failed` by the
# code of the error. Everything else that is described must be accepted.
BEYOND_SCHEMAS = {
    "not_found": "an event that was never recorded",
    "idempotency_key_mismatch": "a key that came with another content before",
    "idempotency_key_malformed": "a key and its alias that differ",
    "refund_id_required": "a second refund without an id",
    "external_event_id_reused": "a delivery's id that came with another body before",
    "status_topic_mismatch": "a body of another topic",
}
ERRORS_BEYOND_SCHEMAS = {
    "invalid_amount": "decimals beyond the currency's, 10^15 minor units, a number written with an exponent",
    "invalid_currency": "three letters that are no currency",
    "in_the_future": "an instant after now",
    "too_early": "a click before 1970",
    "unknown_merchant": "a click on the link of a merchant that there is not",
    "invalid_instant": "a 60th second, an instant beyond the years 1 to 9999 in UTC",
    "too_long": "metadata of more bytes",
    "conflict": "two names of one member that differ",
    "unknown_zone": "a text that is no time zone",
    "too_many_periods": "a report of a longer time than there may be",
    "empty_range": "a range that ends before it begins",
}
@schemathesis.check
def described_is_accepted(_context, response, case):
    """A request of the form described, rightly signed, is refused only for what no schema can tell."""
    if flaw_of(response) or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if response.status_code < 400:
        return
    problem = response.json()
    if problem["code"] in BEYOND_SCHEMAS:
        return
    sent = response.request.body or b""
    if problem["code"] == "malformed_json" and (b"\\u0000" in sent or "deeper" in problem["detail"]):
        return
    unexpected = [
        error
        for error in problem.get("errors", [])
        if error["code"] not in ERRORS_BEYOND_SCHEMAS and error["pointer"] != "/cursor"
    ]
    if case.path.endswith(WEBHOOKS):
        # Which of the two bodies a topic takes is not told by the schema.
        unexpected = [error for error in unexpected if error["code"] not in ("required", "wrong_type")]
    if case.path.endswith("/reconciliations"):
        # Where the period stands depends on the body's media type, and CSV has columns.
        unexpected = [error for error in unexpected if error["pointer"] not in ("/from", "/to", "/order_id")]
    if problem["code"] == "validation_failed" and not unexpected:
        return
    raise AssertionError(f"refused though it is of the form described: {problem}")


@schemathesis.check
def flaws_are_refused(_context, response, case):
    """A request that is signed wrongly is refused for that, or for what is looked at before."""
    flaw = flaw_of(response)
    if flaw is None or response.status_code in (404, 405):
        return
    code = response.json().get("code")
    earlier = (400, "idempotency_key_malformed"), (400, "malformed_request")
    if (response.status_code, code) not in (REFUSALS[flaw], *earlier):
        raise AssertionError(f"signed wrongly ({flaw}) and answered {response.status_code} {code}")


def flaw_of(response):
    """What is wrong with the signature that this is the answer to."""
    name = response.request.headers.get("X-Request-ID", "")
    name = name.decode("latin-1") if isinstance(name, bytes) else name
    return name.removeprefix(FLAWED) if name.startswith(FLAWED) else None


@schemathesis.hook
def filter_failure(_context, failure, case, response):
    """A row of a bulk request that is not of the form described is refused by itself."""
    is_row = case.path.endswith("/bulk") and response.status_code == 200
    if is_row and failure.code == "ST201":
        return not any(row["status"] == "REJECTED" for row in response.json()["results"])
    return True


ANSWERS = collections.Counter()


@schemathesis.hook
def after_call(_context, case, response):
    """Counts what was answered."""
    word = ""
    if response.headers.get("content-type", [""])[0].endswith(("/json", "+json")):
        body = response.json()
        word = body.get("code") or body.get("status") or ""
    ANSWERS[case.operation.label, response.status_code, word] += 1


@atexit.register
def tell():
    """Says what was answered how often, so that a run that tests nothing is seen."""
    for (operation, status, word), count in sorted(ANSWERS.items()):
        print(f"{count:7} {status} {operation} {word}", file=sys.stderr)
    print(f"{sum(ANSWERS.values()):7} requests", file=sys.stderr)
