//! A request as somebody copied it: from a log, from `curl -v`, from a proxy.

use crate::domain::signature::{Covered, RequestHeaders};

/// The method and target of a request that does not say them.
const METHOD_ASSUMED: &str = "POST";
const TARGET_ASSUMED: &str = "/api/v1/conversions";

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRequest {
    method: String,
    target: String,
    assumed: bool,
    headers: Vec<(String, String)>,
}

/// Why a text is no head of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableRequest {
    /// Nothing in it looks like a header.
    #[error("holds no header: one a line is wanted, as `Name: value`")]
    NoHeader,
    /// Which of them was refused?
    #[error("holds several requests: keep only the one that was refused")]
    SeveralRequests,
}

impl RecordedRequest {
    /// Reads headers, one a line. What is no header is passed over; where `curl -v` marked lines
    /// with `>`, only these count. A method and target given here win over the request line's.
    pub fn read(text: &str, method: Option<&str>, target: Option<&str>) -> Result<Self, UnreadableRequest> {
        let lines: Vec<&str> =
            text.trim_start_matches('\u{feff}').lines().map(|line| line.trim_end_matches('\r')).collect();
        let by_curl = lines.iter().any(|line| line.starts_with('>'));
        let (mut headers, mut request_line) = (Vec::new(), None);
        for line in lines.iter().filter(|line| !by_curl || line.starts_with('>')) {
            let line = if by_curl { line.trim_start_matches('>') } else { line }.trim();
            if line.is_empty() && !headers.is_empty() && !by_curl {
                // What follows is the body.
                break;
            }
            if let Some(found) = as_request_line(line) {
                if request_line.replace(found).is_some() {
                    return Err(UnreadableRequest::SeveralRequests);
                }
            } else if let Some(header) = as_header(line) {
                headers.push(header);
            }
        }
        if headers.is_empty() {
            return Err(UnreadableRequest::NoHeader);
        }
        let (read_method, read_target) = request_line.unzip();
        Ok(Self {
            assumed: (method.is_none() && read_method.is_none())
                || (target.is_none() && read_target.is_none()),
            method: method.or(read_method).unwrap_or(METHOD_ASSUMED).to_owned(),
            target: origin_form(target.or(read_target).unwrap_or(TARGET_ASSUMED)).to_owned(),
            headers,
        })
    }

    /// Whether method or target had to be guessed.
    pub const fn is_assumed(&self) -> bool {
        self.assumed
    }

    /// The method as sent.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The lines of a header, as the service sees them: `None` is no visible ASCII.
    pub fn lines(&self, name: &str) -> Vec<Option<&str>> {
        let visible = |value: &str| value.bytes().all(|byte| byte == b'\t' || (32..127).contains(&byte));
        let of_name = |(own, _): &&(String, String)| own.eq_ignore_ascii_case(name);
        let lines = self.headers.iter().filter(of_name);
        lines.map(|(_, value)| Some(value.as_str()).filter(|value| visible(value))).collect()
    }

    /// The first readable line of a header that is not empty.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.lines(name).into_iter().flatten().find(|value| !value.is_empty())
    }

    /// Every header's name and value.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The headers that the service reads signatures from.
    pub fn signature_headers(&self) -> RequestHeaders<'_> {
        RequestHeaders {
            api_key: self.lines("X-API-Key"),
            timestamp: self.lines("X-Timestamp"),
            signature: self.lines("X-Signature"),
            nim_timestamp: self.lines("X-Nim-Timestamp"),
            nim_signature: self.lines("X-Nim-Signature"),
            webhook_id: self.lines("webhook-id"),
            webhook_timestamp: self.lines("webhook-timestamp"),
            webhook_signature: self.lines("webhook-signature"),
        }
    }

    /// What a signature on this request covers.
    pub fn covered<'a>(&'a self, body: &'a [u8]) -> Covered<'a> {
        let mut keys = self.lines("Idempotency-Key");
        keys.extend(self.lines("X-Idempotency-Key"));
        Covered {
            method: &self.method,
            target: &self.target,
            idempotency_key: keys.first().copied().flatten().unwrap_or_default(),
            external_event_id: self
                .lines("X-External-Event-Id")
                .first()
                .copied()
                .flatten()
                .unwrap_or_default(),
            body,
        }
    }
}

fn as_request_line(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace();
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(method), Some(target), Some(version), None)
            if version.starts_with("HTTP/")
                && method.bytes().all(|byte| byte.is_ascii_alphabetic())
                && target.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            Some((method, target))
        }
        _ => None,
    }
}

fn as_header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let named = !name.is_empty() && name.bytes().all(token);
    named.then(|| (name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

/// Path and query of `https://host/path?query`; anything else as it is.
fn origin_form(target: &str) -> &str {
    match target.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
        }
        _ => target,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> RecordedRequest {
        RecordedRequest::read(text, None, None).unwrap()
    }

    #[test]
    fn of_curls_output_only_what_was_sent_counts() {
        let copied = "* Host localhost:8080 was resolved.\r\n> POST /api/v1/conversions?a=b HTTP/1.1\r\n\
            > Host: localhost:8080\r\n> x-api-key: ak_live_x\r\n> X-Timestamp:1764109104 \r\n>\r\n\
            } [41 bytes data]\r\n< HTTP/1.1 401 Unauthorized\r\n< x-timestamp: 1\r\n< \r\n";
        let request = read(copied);
        assert_eq!((request.method(), request.target()), ("POST", "/api/v1/conversions?a=b"));
        assert_eq!(request.lines("X-Timestamp"), [Some("1764109104")]);
        assert_eq!(request.lines("X-API-Key"), [Some("ak_live_x")]);
        assert_eq!(request.headers().count(), 3);
        assert!(!request.is_assumed());
    }

    #[test]
    fn bare_header_lines_are_taken_up_to_the_body() {
        let request = read("\u{feff}X-Timestamp: 1\nno header\nX-Timestamp: 2\n\nX-Timestamp: 3\n");
        assert_eq!(request.lines("x-timestamp"), [Some("1"), Some("2")]);
        assert_eq!((request.method(), request.target()), (METHOD_ASSUMED, TARGET_ASSUMED));
        assert!(request.is_assumed());
        let named = RecordedRequest::read("A: b", Some("GET"), Some("https://h/x?y")).unwrap();
        assert_eq!((named.method(), named.target(), named.is_assumed()), ("GET", "/x?y", false));
    }

    #[test]
    fn what_is_no_head_of_one_request_is_refused() {
        for text in ["", "nothing here", "{\"event_name\": \"sale\"}", "* Host: x"] {
            assert_eq!(RecordedRequest::read(text, None, None), Err(UnreadableRequest::NoHeader), "{text}");
        }
        let redirected = "> POST / HTTP/1.1\n> A: b\n>\n< HTTP/1.1 301\n> GET /x HTTP/1.1\n> A: b\n";
        assert_eq!(RecordedRequest::read(redirected, None, None), Err(UnreadableRequest::SeveralRequests));
    }

    #[test]
    fn a_value_that_is_no_visible_ascii_is_seen_as_the_service_sees_it() {
        assert_eq!(read("X-Signature: caf\u{e9}\nX-Signature: ok").lines("x-signature"), [None, Some("ok")]);
    }
}
