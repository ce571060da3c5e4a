//! Problems as answers: which code can be the answer where, from the one table of codes.

use chrono::DateTime;
use serde_json::{Map, Value, json};

use super::headers;
use super::values::{codes, reference};
use crate::domain::access::Refusal;
use crate::domain::event::FieldError;
use crate::domain::signature::HeaderError;
use crate::domain::submission::Conflict;
use crate::http::error::{Code, Problem};
use crate::http::problem_response::ProblemBody;

/// What there is about an operation that can end in a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// That it is asked for.
    Request,
    /// That it must be signed, and that the service does something about it.
    Signed,
    /// That it takes a body that is written.
    Writes,
    /// That it takes a body that is only read.
    Body,
    /// That it takes query parameters.
    Query,
    /// That its path names something that may not be there.
    Named,
    /// That it may report a refund.
    Refund,
    /// That it is a webhook's delivery.
    Delivery,
    /// That it asks for this document.
    Document,
}

/// What brings a code about. Every code stands here, or this does not compile.
const fn causes(code: Code) -> &'static [Cause] {
    match code {
        Code::MalformedRequest
        | Code::LengthRequired
        | Code::UnsupportedMediaType
        | Code::HeadersTooLarge => &[Cause::Request],
        Code::MalformedSignature
        | Code::IdempotencyKeyMalformed
        | Code::Unauthorized
        | Code::TimestampOutsideTolerance
        | Code::IpNotAllowed
        | Code::SignatureFormNotAllowed
        | Code::Forbidden
        | Code::RequestTimeout
        | Code::BodyTooLarge
        | Code::InternalError
        | Code::Overloaded
        | Code::StorageUnavailable
        | Code::ClockUnreliable
        | Code::ShuttingDown => &[Cause::Signed],
        Code::RateLimited => &[Cause::Signed, Cause::Document],
        Code::IdempotencyKeyInUse | Code::IdempotencyKeyMismatch | Code::QuotaExceeded => &[Cause::Writes],
        Code::MalformedJson => &[Cause::Writes, Cause::Body],
        Code::ValidationFailed => &[Cause::Writes, Cause::Body, Cause::Query],
        Code::NotFound => &[Cause::Named],
        Code::RefundIdRequired => &[Cause::Refund],
        Code::ExternalEventIdMissing | Code::ExternalEventIdReused | Code::StatusTopicMismatch => {
            &[Cause::Delivery]
        }
        // Of no operation there is: of a path's other methods.
        Code::MethodNotAllowed => &[],
    }
}

/// The codes of an operation with these causes, by status.
fn codes_of(wanted: &[Cause]) -> Vec<(u16, Vec<Code>)> {
    let brought = |code: &Code| causes(*code).iter().any(|cause| wanted.contains(cause));
    by_status(Code::ALL.iter().copied().filter(brought))
}

fn by_status(codes: impl Iterator<Item = Code>) -> Vec<(u16, Vec<Code>)> {
    let mut statuses: Vec<(u16, Vec<Code>)> = Vec::new();
    for code in codes {
        match statuses.iter_mut().find(|(status, _)| *status == code.status()) {
            Some((_, codes)) => codes.push(code),
            None => statuses.push((code.status(), vec![code])),
        }
    }
    statuses
}

/// An operation's answers that are problems, by status: references to the shared ones.
pub fn responses(causes: &[Cause]) -> Map<String, Value> {
    let reference = |codes: &[Code]| json!({ "$ref": format!("#/components/responses/{}", name(codes)) });
    codes_of(causes).into_iter().map(|(status, codes)| (status.to_string(), reference(&codes))).collect()
}

/// The answers that operations of these causes share, and those that stand for what is no operation:
/// an unknown path and an unknown method.
pub fn shared<'a>(operations: impl Iterator<Item = &'a [Cause]>) -> Map<String, Value> {
    let elsewhere = [vec![Code::NotFound], vec![Code::MethodNotAllowed]];
    let sets = operations.flat_map(|causes| codes_of(causes).into_iter().map(|(_, codes)| codes));
    sets.chain(elsewhere).map(|codes| (name(&codes), response(&codes))).collect()
}

fn name(codes: &[Code]) -> String {
    self::codes(codes).join(".")
}

fn response(set: &[Code]) -> Value {
    let lines = set.iter().map(|code| {
        let retry = if code.retryable() { "may be sent again" } else { "must be mended first" };
        format!("- `{}`: {}. The request {retry}.", code.as_str(), code.title())
    });
    let mut narrowed = json!({
        "status": { "enum": statuses(set) },
        "code": { "enum": codes(set) },
    });
    if let (Some(narrowed), Some(retryable)) = (narrowed.as_object_mut(), common(set, Code::retryable)) {
        narrowed.insert("retryable".to_owned(), json!({ "const": retryable }));
    }
    let mut narrowed = json!({ "properties": narrowed });
    let member = match set {
        [Code::ValidationFailed] => Some("errors"),
        [Code::RateLimited] | [Code::QuotaExceeded, Code::RateLimited] => Some("retry_after"),
        _ => None,
    };
    if let (Some(narrowed), Some(member)) = (narrowed.as_object_mut(), member) {
        narrowed.insert("required".to_owned(), json!([member]));
    }
    let examples: Map<String, Value> = set.iter().map(|code| example_of(*code)).collect();
    json!({
        "description": lines.collect::<Vec<_>>().join("\n"),
        "headers": headers::references(headers_of(set)),
        "content": { "application/problem+json": {
            "schema": { "allOf": [reference::<ProblemBody<'_>>(), narrowed] },
            "examples": examples,
        } },
    })
}

fn statuses(codes: &[Code]) -> Vec<u16> {
    by_status(codes.iter().copied()).into_iter().map(|(status, _)| status).collect()
}

/// What all codes agree on.
fn common<T: PartialEq>(codes: &[Code], of: impl Fn(Code) -> T) -> Option<T> {
    let (first, rest) = codes.split_first()?;
    let value = of(*first);
    rest.iter().all(|code| of(*code) == value).then_some(value)
}

fn headers_of(codes: &[Code]) -> Vec<&'static str> {
    let has = |wanted: &[u16]| codes.iter().any(|code| wanted.contains(&code.status()));
    let mut names = headers::ALWAYS.to_vec();
    if codes.iter().any(|code| example(*code).retry_after_s().is_some()) {
        names.push("Retry-After");
    }
    if has(&[401]) {
        names.push("WWW-Authenticate");
    }
    if has(&[405]) {
        names.push("Allow");
    }
    // What is refused before or at the signature spends nothing, and tells nothing of the limit.
    if !has(&[401, 403, 405, 408, 411, 413, 431]) {
        names.extend(headers::RATE_LIMIT);
    }
    names
}

fn example_of(code: Code) -> (String, Value) {
    let problem = example(code);
    let body = serde_json::to_value(problem.body("019a65f1c2a37b3e9d6a4f0e8c7b5a21")).unwrap_or_default();
    (code.as_str().to_owned(), json!({ "summary": code.title(), "value": body }))
}

/// A problem as the service would word it.
fn example(code: Code) -> Problem {
    let refused = |refusal| {
        Problem::refused(refusal, DateTime::from_timestamp(1_768_473_000, 0).unwrap_or_default(), 300)
    };
    match code {
        Code::MalformedRequest => Problem::new(code, "The body is empty."),
        Code::MalformedJson => Problem::new(code, "the member name \"order_id\" appears twice in one object"),
        Code::MalformedSignature => HeaderError::Repeated("X-Signature").into(),
        Code::IdempotencyKeyMalformed => Problem::new(code, "Idempotency-Key and X-Idempotency-Key differ."),
        Code::ExternalEventIdMissing => Problem::new(
            code,
            "A webhook needs the header X-External-Event-Id: the delivery's id in your system.",
        ),
        Code::Unauthorized => refused(Refusal::BadSignature),
        Code::TimestampOutsideTolerance => {
            refused(Refusal::TimestampOutsideTolerance { sent: 1_768_469_400 })
        }
        Code::IpNotAllowed => refused(Refusal::IpNotAllowed),
        Code::SignatureFormNotAllowed => refused(Refusal::FormNotAllowed),
        Code::Forbidden => Problem::new(code, "An operator's key is not for merchants' endpoints."),
        Code::NotFound => Problem::new(code, "There is no such event."),
        Code::MethodNotAllowed => {
            Problem { allow: Some("GET, POST"), ..Problem::new(code, "Allowed: GET, POST.") }
        }
        Code::RequestTimeout => Problem::new(code, "A body may take 10 s to arrive."),
        Code::IdempotencyKeyInUse => Conflict::KeyInUse.into(),
        Code::LengthRequired => {
            Problem::new(code, "Transfer-Encoding is not taken: send the body with a Content-Length.")
        }
        Code::BodyTooLarge => Problem::new(code, "The body may have 65536 bytes."),
        Code::UnsupportedMediaType => Problem::new(code, "Content-Type must be application/json."),
        Code::ValidationFailed => Problem::invalid(vec![FieldError {
            pointer: "/custom_data/value".to_owned(),
            code: "invalid_amount",
            message: "has more decimals than JPY allows (0)".to_owned(),
        }]),
        Code::IdempotencyKeyMismatch => Conflict::KeyMismatch.into(),
        Code::RefundIdRequired => crate::http::api::refund_id_required(),
        Code::ExternalEventIdReused => Conflict::DeliveryReused.into(),
        Code::StatusTopicMismatch => Problem::new(code, "The topic says refunded, the body says paid."),
        Code::RateLimited => {
            let detail = "The merchant may make 100 requests per second and 200 at once.";
            Problem::rate_limited(1, detail, "MERCHANT_RATE_LIMITED")
        }
        Code::QuotaExceeded => {
            let detail =
                "The merchant has written as much today as its quota allows; the day ends at midnight UTC.";
            Problem { quota_after_s: Some(30_600), ..Problem::new(code, detail) }
        }
        Code::HeadersTooLarge => Problem::new(code, "The head may have 16384 bytes."),
        Code::InternalError => Problem::new(code, "It has been logged. Send it again later."),
        Code::Overloaded => Problem::new(code, "More requests are waiting than the service takes on."),
        Code::StorageUnavailable => Problem::new(
            code,
            "The store does not answer. Send the request again: an event is recorded once, however often it is sent.",
        ),
        Code::ClockUnreliable => {
            Problem::new(code, "Timestamps cannot be judged until the clock is right again.")
        }
        Code::ShuttingDown => Problem::new(code, "Another instance may take it, or this one in a moment."),
    }
}
