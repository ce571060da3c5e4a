//! Reasons of the journal in words.

use crate::http::error::Code;

/// What a reason means, if it is one.
pub fn meaning(reason: &str) -> Option<&'static str> {
    let known = MEANINGS.iter().find(|(name, _)| *name == reason).map(|(_, meaning)| *meaning);
    known.or_else(|| Code::ALL.iter().find(|code| code.as_str() == reason).map(|code| code.title()))
}

/// Those that are no error codes, and codes whose title says less than the operator may know.
const MEANINGS: [(&str, &str); 20] = [
    ("accepted", "recorded"),
    ("duplicate", "recorded before: nothing new came of it"),
    ("replayed", "answered with what its idempotency key had stored"),
    ("refused", "every row of it was refused"),
    ("SIG_HEADER_MISSING", "a signature header is missing"),
    ("INVALID_API_KEY", "there is no key of this id"),
    ("API_KEY_REVOKED", "the key was revoked"),
    ("API_KEY_EXPIRED", "every secret of the key has expired"),
    ("MERCHANT_INACTIVE", "the merchant is suspended"),
    (
        "SIG_BAD_SIGNATURE",
        "the key is known, but no signature fits: another secret, or the body was changed after it was signed",
    ),
    (
        "SIG_TIMESTAMP_OUTSIDE_TOLERANCE",
        "signed rightly, but too long ago or ahead: a wrong clock, or an old signature sent again",
    ),
    ("SIG_FORM_NOT_ALLOWED", "signed rightly, but not with v2, which the key or the request needs"),
    ("IP_NOT_ALLOWED", "signed rightly, from an address that is not in the key's allowlist"),
    ("MERCHANT_RATE_LIMITED", "the merchant had no token left in its rate limit"),
    ("PEER_RATE_LIMITED", "too many requests from this address were not authentic"),
    ("client_left", "the caller hung up before its answer"),
    ("idempotency_key_mismatch", "its idempotency key stands for another request"),
    ("refund_id_required", "it cannot be told from a refund recorded before: it needs an external_id"),
    ("external_event_id_reused", "its X-External-Event-Id stands for another delivery"),
    ("storage_unavailable", "the database did not answer: whether it was recorded was unknown then"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::Refusal;

    #[test]
    fn every_code_has_a_meaning_and_what_is_no_reason_has_none() {
        for code in Code::ALL {
            assert!(meaning(code.as_str()).is_some());
        }
        for refusal in [
            Refusal::InvalidApiKey,
            Refusal::ApiKeyRevoked,
            Refusal::ApiKeyExpired,
            Refusal::MerchantInactive,
            Refusal::BadSignature,
            Refusal::TimestampOutsideTolerance { sent: 0 },
            Refusal::FormNotAllowed,
            Refusal::IpNotAllowed,
        ] {
            assert!(meaning(refusal.reason()).is_some(), "{refusal:?}");
        }
        assert_eq!(meaning("accepted"), Some("recorded"));
        assert_eq!(meaning("no_such_reason"), None);
    }
}
