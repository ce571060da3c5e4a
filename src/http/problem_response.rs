//! A problem as an answer (RFC 9457).

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use schemars::JsonSchema;
use serde::Serialize;

use super::error::{Code, Problem};
use super::openapi::values;
use crate::domain::event::FieldError;

/// What a 401 asks for (RFC 9110 section 11.6.1).
const CHALLENGE: &str = "HMAC-SHA256 realm=\"conversiond\"";

/// Why a request was refused (RFC 9457). Nothing was recorded.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemBody<'a> {
    /// `urn:conversiond:problem:` and the code.
    #[schemars(regex(pattern = "^urn:conversiond:problem:[a-z_]+$"))]
    r#type: String,
    /// The code in words, the same every time.
    title: &'static str,
    /// The answer's status.
    #[schemars(range(min = 400, max = 599))]
    status: u16,
    /// What this occurrence is about, for people; its words may change.
    detail: &'a str,
    #[schemars(with = "values::ProblemCode")]
    code: &'static str,
    /// The answer's `X-Request-ID`: give it to the operator.
    request_id: &'a str,
    /// Whether the same request may succeed later. If not, mend it first.
    retryable: bool,
    /// The seconds until there is quota again; with `rate_limited` and `quota_exceeded` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64", range(min = 1))]
    retry_after: Option<u64>,
    /// All that is wrong with the content; with `validation_failed` alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1))]
    errors: Vec<FieldBody<'a>>,
}

/// One thing that is wrong.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FieldError")]
pub struct FieldBody<'a> {
    /// Where: into the body, or `/` and the name of a query parameter.
    #[schemars(with = "values::Pointer")]
    pointer: &'a str,
    /// What, for programs: `required`, `wrong_type`, `invalid_amount`, …
    #[schemars(regex(pattern = "^[a-z_]+$"))]
    code: &'static str,
    /// What, for people; its words may change.
    message: &'a str,
}

impl<'a> FieldBody<'a> {
    /// The body of one error.
    pub fn of(error: &'a FieldError) -> Self {
        Self { pointer: &error.pointer, code: error.code, message: &error.message }
    }
}

impl Problem {
    /// What the request of this id is told.
    pub fn body<'a>(&'a self, request_id: &'a str) -> ProblemBody<'a> {
        ProblemBody {
            r#type: format!("urn:conversiond:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status(),
            detail: &self.detail,
            code: self.code.as_str(),
            request_id,
            retryable: self.code.retryable(),
            retry_after: self.quota_after_s,
            errors: self.errors.iter().map(FieldBody::of).collect(),
        }
    }

    /// The answer to the request of this id.
    pub fn respond(&self, request_id: &str) -> HttpResponse {
        let body = self.body(request_id);
        let mut response = HttpResponse::build(self.status_code());
        response.content_type("application/problem+json");
        if self.code.status() == 401 {
            response.insert_header((header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE)));
        }
        if let Some(seconds) = self.retry_after_s() {
            response.insert_header((header::RETRY_AFTER, HeaderValue::from(seconds)));
        }
        if let Some(allow) = self.allow {
            response.insert_header((header::ALLOW, HeaderValue::from_static(allow)));
        }
        if self.close {
            response.force_close();
        }
        match serde_json::to_vec(&body) {
            Ok(bytes) => response.body(bytes),
            Err(_) => HttpResponse::InternalServerError().finish(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.status(), self.code.as_str())
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The middleware answers in its place, with the request's id.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

/// A problem that no [`Problem`] names: actix's own.
pub fn unnamed(status: StatusCode) -> Problem {
    match status {
        StatusCode::NOT_FOUND => Problem::new(Code::NotFound, "No such path."),
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::BodyTooLarge, "The body is too large."),
        status if status.is_client_error() => {
            Problem::new(Code::MalformedRequest, "The request cannot be read.")
        }
        _ => Problem::new(Code::InternalError, "It has been logged. Send it again later."),
    }
}
