//! What every problem has (contract section 8).

use super::caller::Answer;

impl Answer {
    /// Asserts that this is a whole problem document of this status and code.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str) {
        let context = format!("wanted {status} {code}, got {}: {}", self.status, self.text);
        assert_eq!(self.status, status, "{context}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{context}");
        let json = self.json();
        let mut members: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        let mut expected = vec!["code", "detail", "request_id", "retryable", "status", "title", "type"];
        if code == "validation_failed" {
            expected.insert(2, "errors");
            for error in json["errors"].as_array().unwrap() {
                for member in ["pointer", "code", "message"] {
                    assert!(error[member].is_string(), "{context}");
                }
            }
        }
        if ["rate_limited", "quota_exceeded"].contains(&code) {
            expected.insert(3, "retry_after");
            let seconds = json["retry_after"].as_u64().unwrap();
            assert!(seconds >= 1, "{context}");
            assert_eq!(self.header("retry-after"), Some(seconds.to_string().as_str()), "{context}");
        }
        assert_eq!(members, expected, "{context}");
        assert_eq!(json["code"], code, "{context}");
        assert_eq!(json["status"], status, "{context}");
        for member in ["type", "title", "detail"] {
            assert!(json[member].as_str().is_some_and(|text| !text.is_empty()), "{context}");
        }
        assert_eq!(self.header("x-request-id"), json["request_id"].as_str(), "{context}");
        assert_eq!(json["retryable"], matches!(status, 408 | 409 | 429 | 500 | 503), "{context}");
        assert_eq!(self.header("retry-after").is_some(), matches!(status, 409 | 429 | 503), "{context}");
        assert_eq!(self.header("www-authenticate").is_some(), status == 401, "{context}");
        assert_eq!(self.header("allow").is_some(), status == 405, "{context}");
    }

    /// Asserts 422 with exactly these errors, each as `pointer code`, sorted.
    #[track_caller]
    pub fn expect_errors(&self, expected: &[&str]) {
        self.expect_problem(422, "validation_failed");
        let json = self.json();
        let mut errors: Vec<String> = json["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| format!("{} {}", e["pointer"].as_str().unwrap(), e["code"].as_str().unwrap()))
            .collect();
        errors.sort_unstable();
        assert_eq!(errors, expected, "{}", self.text);
    }
}
