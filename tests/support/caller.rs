//! A merchant's backend: it signs and sends.

use chrono::Utc;
use conversiond::domain::secret::SigningSecret;
use conversiond::domain::signature::{Covered, Form, sign};
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::contract::Contract;

/// A caller with a key.
#[derive(Clone)]
pub struct Caller {
    pub http: reqwest::Client,
    pub base: String,
    pub key_id: String,
    pub secret: SigningSecret,
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap_or_default() }
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text))
    }

    /// A member of the body, by RFC 6901 pointer; `null` where there is none.
    pub fn at(&self, pointer: &str) -> Value {
        self.json().pointer(pointer).cloned().unwrap_or(Value::Null)
    }

    /// `code` of a problem, else `status` of a receipt.
    pub fn word(&self) -> String {
        let json = self.json();
        json["code"].as_str().or(json["status"].as_str()).unwrap_or_default().to_owned()
    }

    /// Whether it is the stored answer of an idempotency key.
    pub fn is_replayed(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The pointers of all errors, sorted.
    pub fn error_pointers(&self) -> Vec<String> {
        let json = self.json();
        let mut pointers: Vec<String> = json["errors"]
            .as_array()
            .map(|errors| errors.iter().filter_map(|e| e["pointer"].as_str().map(str::to_owned)).collect())
            .unwrap_or_default();
        pointers.sort();
        pointers
    }
}

/// Seconds now, as signers take them.
#[allow(clippy::disallowed_methods, reason = "callers live in real time")]
pub fn unix_now() -> i64 {
    Utc::now().timestamp()
}

impl Caller {
    /// The headers that sign a request.
    pub fn headers(&self, form: Form, method: &str, target: &str, body: &[u8]) -> Vec<(String, String)> {
        self.headers_at(form, method, target, body, unix_now(), "")
    }

    /// The same at another time, under an idempotency key.
    pub fn headers_at(
        &self,
        form: Form,
        method: &str,
        target: &str,
        body: &[u8],
        timestamp: i64,
        idempotency_key: &str,
    ) -> Vec<(String, String)> {
        let covered = Covered { method, target, idempotency_key, external_event_id: "", body };
        let id = format!("msg_{}", uuid::Uuid::new_v4().simple());
        sign(form, &self.key_id, &self.secret, timestamp, &id, &covered)
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// Posts a callback, signed in the plain form.
    pub async fn post(&self, body: &Value) -> Answer {
        self.post_text(&body.to_string()).await
    }

    /// Posts a callback's text, signed in the plain form.
    pub async fn post_text(&self, body: &str) -> Answer {
        self.try_post(body).await.expect("an answer")
    }

    /// The same, where the connection may break.
    pub async fn try_post(&self, body: &str) -> reqwest::Result<Answer> {
        let headers = self.headers(Form::Plain, "POST", "/api/v1/conversions", body.as_bytes());
        self.try_send("POST", "/api/v1/conversions", body.as_bytes(), &headers).await
    }

    /// Posts a callback under an idempotency key.
    pub async fn post_under(&self, key: &str, body: &Value) -> Answer {
        self.post_to("/api/v1/conversions", key, &body.to_string(), unix_now()).await
    }

    /// Posts a text to any endpoint under an idempotency key, signed in the bound form at this time.
    pub async fn post_to(&self, target: &str, key: &str, text: &str, timestamp: i64) -> Answer {
        self.try_post_to(target, key, text, timestamp).await.expect("an answer")
    }

    /// The same, where the connection may break.
    pub async fn try_post_to(
        &self,
        target: &str,
        key: &str,
        text: &str,
        timestamp: i64,
    ) -> reqwest::Result<Answer> {
        let mut headers = self.headers_at(Form::Bound, "POST", target, text.as_bytes(), timestamp, key);
        headers.push(("Idempotency-Key".to_owned(), key.to_owned()));
        self.try_send("POST", target, text.as_bytes(), &headers).await
    }

    /// Reads, signed in the bound form.
    pub async fn get(&self, target: &str) -> Answer {
        let headers = self.headers(Form::Bound, "GET", target, b"");
        self.send("GET", target, b"", &headers).await
    }

    /// Sends a request with exactly these headers (and JSON's media type beside a body).
    pub async fn send(
        &self,
        method: &str,
        target: &str,
        body: &[u8],
        headers: &[(String, String)],
    ) -> Answer {
        self.try_send(method, target, body, headers).await.expect("an answer")
    }

    /// The same, where the connection may break.
    pub async fn try_send(
        &self,
        method: &str,
        target: &str,
        body: &[u8],
        headers: &[(String, String)],
    ) -> reqwest::Result<Answer> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method.clone(), format!("{}{target}", self.base));
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) && !body.is_empty() {
            request = request.header("Content-Type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if !body.is_empty() {
            request = request.body(body.to_vec());
        }
        let answer = Answer::of(request.send().await?).await;
        // What callers see is tested there: all of it must be in the API's description.
        if env!("CARGO_CRATE_NAME") == "api" {
            Contract::shared().check_answer(method.as_str(), target, &answer);
            // A line of NDJSON is JSON, too, but not the JSON that is described.
            let lines = headers.iter().any(|(_, value)| value.contains("ndjson"));
            if !lines {
                Contract::shared().check_taken(method.as_str(), target, body, &answer);
            }
        }
        Ok(answer)
    }
}
