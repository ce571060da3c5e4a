//! The table of errors (contract section 8): status, code, retry and wording, once.

use chrono::{DateTime, Utc};

use crate::domain::access::Refusal;
use crate::domain::event::{FieldError, Rejection};
use crate::domain::instant;
use crate::domain::signature::HeaderError;
use crate::domain::submission::Conflict;
use crate::ingest::IngestError;
use crate::ingest::reconciliation::ReconcileError;
use crate::storage::StoreError;
use crate::storage::error::Failure;

macro_rules! codes {
    ($($name:ident => $status:literal, $code:literal, $retryable:literal, $title:literal;)*) => {
        /// An error code. Adding one is one line of the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is explained by its title in the table")]
        pub enum Code { $($name,)* }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The HTTP status.
            pub const fn status(self) -> u16 { match self { $(Self::$name => $status,)* } }

            /// The code's name in answers, logs and metrics.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$name => $code,)* } }

            /// Whether the same request may succeed later.
            pub const fn retryable(self) -> bool { match self { $(Self::$name => $retryable,)* } }

            /// What it is, in the same words every time.
            pub const fn title(self) -> &'static str { match self { $(Self::$name => $title,)* } }
        }
    };
}

codes! {
    MalformedRequest => 400, "malformed_request", false, "The request is malformed";
    MalformedJson => 400, "malformed_json", false, "The body is not strict JSON";
    MalformedSignature => 400, "malformed_signature", false, "The signature headers are malformed";
    IdempotencyKeyMalformed => 400, "idempotency_key_malformed", false, "The idempotency key is malformed";
    ExternalEventIdMissing => 400, "external_event_id_missing", false, "X-External-Event-Id is missing";
    Unauthorized => 401, "unauthorized", false, "The request is not authentic";
    TimestampOutsideTolerance => 401, "timestamp_outside_tolerance", false, "The timestamp is too far from now";
    IpNotAllowed => 401, "ip_not_allowed", false, "The key may not be used from this address";
    SignatureFormNotAllowed => 401, "signature_form_not_allowed", false, "A bound (v2) signature is needed";
    Forbidden => 403, "forbidden", false, "The key is not for this endpoint";
    NotFound => 404, "not_found", false, "There is nothing here";
    MethodNotAllowed => 405, "method_not_allowed", false, "The method is not allowed here";
    RequestTimeout => 408, "request_timeout", true, "The body took too long to arrive";
    IdempotencyKeyInUse => 409, "idempotency_key_in_use", true, "The first request with this key still runs";
    LengthRequired => 411, "length_required", false, "A body needs a Content-Length";
    BodyTooLarge => 413, "body_too_large", false, "The body is too large";
    UnsupportedMediaType => 415, "unsupported_media_type", false, "The body must be plain application/json";
    ValidationFailed => 422, "validation_failed", false, "The content is not valid";
    IdempotencyKeyMismatch => 422, "idempotency_key_mismatch", false, "The key stands for another request";
    RefundIdRequired => 422, "refund_id_required", false, "A second refund needs an external_id";
    ExternalEventIdReused => 422, "external_event_id_reused", false, "The event id stands for another delivery";
    StatusTopicMismatch => 422, "status_topic_mismatch", false, "Topic and status do not belong together";
    QuotaExceeded => 429, "quota_exceeded", true, "The quota of the day is used up";
    RateLimited => 429, "rate_limited", true, "Too many requests";
    HeadersTooLarge => 431, "headers_too_large", false, "The head is too large";
    InternalError => 500, "internal_error", true, "Something went wrong here";
    Overloaded => 503, "overloaded", true, "Too much at once";
    StorageUnavailable => 503, "storage_unavailable", true, "The store does not answer";
    ClockUnreliable => 503, "clock_unreliable", true, "The service's clock is wrong";
    ShuttingDown => 503, "shutting_down", true, "The service is shutting down";
}

/// An error answer.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Which.
    pub code: Code,
    /// What this caller may know of this occurrence.
    pub detail: String,
    /// Everything that is wrong with the content.
    pub errors: Vec<FieldError>,
    /// The exact reason for logs and metrics, where the code does not tell it.
    pub reason: Option<&'static str>,
    /// Whether the connection is closed after the answer.
    pub close: bool,
    /// The methods there are, for 405.
    pub allow: Option<&'static str>,
    /// The seconds until there is quota again, for 429: at least 1.
    pub quota_after_s: Option<u64>,
}

/// One text for every refusal that must not tell which it is.
const NOT_AUTHENTIC: &str = "The key or the signature is not valid.";

impl Problem {
    /// A problem with a sentence of its own.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            reason: None,
            close: false,
            allow: None,
            quota_after_s: None,
        }
    }

    /// The same, and the connection is closed.
    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// A problem with its content, all of it.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.len() {
            1 => "1 error: see errors.".to_owned(),
            count => format!("{count} errors: see errors."),
        };
        Self { errors, ..Self::new(Code::ValidationFailed, detail) }
    }

    /// A request beyond a limit, and whose limit it is.
    pub fn rate_limited(after_s: u64, detail: impl Into<String>, reason: &'static str) -> Self {
        let problem = Self::new(Code::RateLimited, detail);
        Self { quota_after_s: Some(after_s.max(1)), reason: Some(reason), ..problem }
    }

    /// What is logged and counted.
    pub fn reason(&self) -> &'static str {
        self.reason.unwrap_or(self.code.as_str())
    }

    /// The seconds after which a retry makes sense.
    pub fn retry_after_s(&self) -> Option<u64> {
        match self.code {
            Code::RateLimited | Code::QuotaExceeded => self.quota_after_s,
            Code::Overloaded | Code::ShuttingDown | Code::IdempotencyKeyInUse => Some(1),
            Code::StorageUnavailable => Some(2),
            Code::ClockUnreliable => Some(30),
            _ => None,
        }
    }

    /// A refusal of a signed request, with both instants where the timestamp is at fault.
    pub fn refused(refusal: Refusal, now: DateTime<Utc>, tolerance_s: i64) -> Self {
        let problem = match refusal {
            Refusal::InvalidApiKey
            | Refusal::ApiKeyRevoked
            | Refusal::ApiKeyExpired
            | Refusal::MerchantInactive
            | Refusal::BadSignature => Self::new(Code::Unauthorized, NOT_AUTHENTIC),
            Refusal::TimestampOutsideTolerance { sent } => {
                let sent =
                    DateTime::from_timestamp(sent, 0).map_or_else(|| sent.to_string(), instant::format);
                let now = instant::format(DateTime::from_timestamp(now.timestamp(), 0).unwrap_or(now));
                let detail =
                    format!("The timestamp says {sent}, here it is {now}; {tolerance_s} s are allowed.");
                Self::new(Code::TimestampOutsideTolerance, detail)
            }
            Refusal::FormNotAllowed => Self::new(
                Code::SignatureFormNotAllowed,
                "This request must be signed with v2: its endpoint, the key, the merchant or the service demands it.",
            ),
            Refusal::IpNotAllowed => {
                Self::new(Code::IpNotAllowed, "The client's address is not in the key's allowlist.")
            }
        };
        Self { reason: Some(refusal.reason()), ..problem }
    }
}

impl From<HeaderError> for Problem {
    fn from(error: HeaderError) -> Self {
        let detail = format!("{error}.");
        match error {
            HeaderError::Missing(_) => {
                Self { reason: Some("SIG_HEADER_MISSING"), ..Self::new(Code::Unauthorized, detail) }
            }
            HeaderError::Repeated(_) | HeaderError::MixedSchemes | HeaderError::Malformed(..) => {
                Self::new(Code::MalformedSignature, detail)
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let (code, detail) = match &error {
            StoreError::Overloaded(_) => {
                (Code::Overloaded, "More requests are waiting than the service takes on.")
            }
            StoreError::ShuttingDown => {
                (Code::ShuttingDown, "Another instance may take it, or this one in a moment.")
            }
            StoreError::Failed(Failure::KeyBlocked, _) => (Code::IdempotencyKeyInUse, KEY_IN_USE),
            StoreError::Unavailable(_) | StoreError::Failed(..) | StoreError::Unusable(_) => (
                Code::StorageUnavailable,
                "The store does not answer. Send the request again: an event is recorded once, however often it is sent.",
            ),
            StoreError::Refused(_) => (Code::InternalError, "It has been logged. Send it again later."),
        };
        if code == Code::InternalError {
            tracing::error!(%error, "internal error");
        } else {
            tracing::warn!(%error, code = code.as_str(), "the store gave no answer");
        }
        Self::new(code, detail)
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::MalformedJson(error) => Self::new(Code::MalformedJson, error.to_string()),
            Rejection::Invalid(errors) => Self::invalid(errors),
        }
    }
}

impl From<ReconcileError> for Problem {
    fn from(error: ReconcileError) -> Self {
        match error {
            ReconcileError::Rejected(rejection) => rejection.into(),
            ReconcileError::Store(error) => error.into(),
        }
    }
}

impl From<IngestError> for Problem {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Rejected(rejection) => rejection.into(),
            IngestError::TopicMismatch { topic, sent: None } => Self::new(
                Code::StatusTopicMismatch,
                format!(
                    "This signature does not bind the path: say \"status\":\"{topic}\" in the body, or sign with v2."
                ),
            ),
            IngestError::TopicMismatch { topic, sent: Some(sent) } => {
                Self::new(Code::StatusTopicMismatch, format!("The topic says {topic}, the body says {sent}."))
            }
            IngestError::Store(error) => error.into(),
        }
    }
}

impl From<Conflict> for Problem {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::KeyMismatch => Self::new(
                Code::IdempotencyKeyMismatch,
                "This idempotency key was used for another request. A new event needs a new key.",
            ),
            Conflict::KeyInUse => Self::new(Code::IdempotencyKeyInUse, KEY_IN_USE),
            Conflict::DeliveryReused => Self::new(
                Code::ExternalEventIdReused,
                "This X-External-Event-Id was used for another topic or body. Nothing was written.",
            ),
        }
    }
}

const KEY_IN_USE: &str =
    "Another request with this idempotency key is still running. Send this one again with the same key.";
