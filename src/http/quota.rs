//! What an answer tells a limited merchant of its limit: the `X-RateLimit` headers in common use,
//! and the pair of draft-ietf-httpapi-ratelimit-headers.

use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use chrono::{DateTime, Utc};

use crate::domain::token_bucket::{Standing, whole_seconds};

/// A merchant's bucket after one of its requests.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    standing: Standing,
    /// When the bucket is full, in Unix seconds, rounded up.
    full_at: u64,
}

impl Quota {
    /// A bucket's standing at this instant.
    pub fn new(standing: Standing, now: DateTime<Utc>) -> Self {
        let since_epoch = (now - DateTime::UNIX_EPOCH).to_std().unwrap_or(Duration::ZERO);
        Self { standing, full_at: whole_seconds(since_epoch.saturating_add(standing.until_full)) }
    }

    /// Writes the headers into an answer.
    pub fn write(&self, headers: &mut HeaderMap) {
        let Standing { limit, remaining, .. } = self.standing;
        let policy = format!(r#""merchant";q={};w={}"#, limit.burst(), limit.window_s());
        let standing = format!(r#""merchant";r={remaining};t={}"#, self.standing.retry_after_s());
        let mut insert = |name, value| {
            headers.insert(HeaderName::from_static(name), value);
        };
        insert("x-ratelimit-limit", limit.rate_per_s().into());
        insert("x-ratelimit-remaining", remaining.into());
        insert("x-ratelimit-reset", self.full_at.into());
        // Digits and quotes: always a header's value.
        for (name, text) in [("ratelimit-policy", policy), ("ratelimit", standing)] {
            if let Ok(value) = HeaderValue::try_from(text) {
                insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rate_limit::RateLimit;

    fn headers(remaining: u32, until_next_ms: u64, until_full_ms: u64, now: &str) -> Vec<String> {
        let standing = Standing {
            limit: RateLimit::of(100, 200).unwrap(),
            remaining,
            until_next: Duration::from_millis(until_next_ms),
            until_full: Duration::from_millis(until_full_ms),
        };
        let mut headers = HeaderMap::new();
        Quota::new(standing, now.parse().unwrap()).write(&mut headers);
        assert_eq!(headers.len(), 5);
        let names = [
            "x-ratelimit-limit",
            "x-ratelimit-remaining",
            "x-ratelimit-reset",
            "ratelimit-policy",
            "ratelimit",
        ];
        names.iter().map(|name| headers.get(*name).unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_contracts_example() {
        assert_eq!(
            headers(199, 0, 10, "1970-01-01T00:01:40Z"),
            ["100", "199", "101", "\"merchant\";q=200;w=2", "\"merchant\";r=199;t=0"]
        );
    }

    #[test]
    fn seconds_are_rounded_up_and_more_quota_is_never_now_when_there_is_none() {
        assert_eq!(
            headers(0, 1, 2_000, "1970-01-01T00:01:40Z")[2..],
            ["102", "\"merchant\";q=200;w=2", "\"merchant\";r=0;t=1"]
        );
        assert_eq!(headers(0, 1_001, 1_999, "1970-01-01T00:01:40.001Z")[2], "102");
        assert_eq!(headers(0, 1_001, 2_000, "1970-01-01T00:01:40.001Z")[2], "103");
        assert_eq!(headers(0, 1_001, 2_000, "1960-01-01T00:00:00Z")[2], "2");
        assert!(headers(0, 1_001, 2_000, "1970-01-01T00:01:40Z")[4].ends_with(";t=2"));
    }
}
