//! `conversiond diagnose`: which mistake a refused signature is. It opens no database.

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use serde_json::{Map, Value, json};

use super::input::{SecretSource, is_stdin, read};
use super::{Context, Failure, Usage};
use crate::domain::instant;
use crate::domain::signature::diagnosis::{Case, Diagnosis, Expected, RecordedRequest, Verdict, diagnose};
use crate::domain::signature::{Form, Forms};
use crate::http::routes::Endpoint;

/// A string to sign longer than this is shown without its middle, in characters.
const SHOWN_CHARS_MAX: usize = 480;
/// How much of its beginning and its end is shown then.
const SHOWN_BEGINNING_CHARS: usize = 320;
const SHOWN_END_CHARS: usize = 120;

#[derive(Debug, Args)]
pub struct Diagnose {
    /// The request's headers as copied, one a line, with or without the request line; what
    /// `curl -v` prints will do. `-` = standard input.
    #[arg(long, value_name = "FILE")]
    headers: PathBuf,
    /// The request's body, byte for byte; `-` = standard input.
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    #[command(flatten)]
    secret: SecretSource,
    /// The request's method; else the request line's, else POST.
    #[arg(long)]
    method: Option<String>,
    /// The request's path and query as received; else the request line's, else
    /// /api/v1/conversions.
    #[arg(long)]
    target: Option<String>,
    /// When the request was refused, RFC 3339 or Unix seconds; now unless given.
    #[arg(long, value_name = "T", value_parser = instant_or_seconds)]
    now: Option<DateTime<Utc>>,
}

impl Diagnose {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let from_stdin = [is_stdin(&self.headers), is_stdin(&self.body), self.secret.is_stdin()];
        if from_stdin.into_iter().filter(|is| *is).count() > 1 {
            return Err(Usage("only one of headers, body and secret can be standard input").into());
        }
        let secret = self.secret.read()?;
        let head = read(&self.headers)?;
        let method = self.method.map(|method| method.to_uppercase());
        let request =
            RecordedRequest::read(&String::from_utf8_lossy(&head), method.as_deref(), self.target.as_deref())
                .map_err(|error| format!("{}: {error}", self.headers.display()))?;
        let diagnosis = diagnose(&Case {
            request: &request,
            body: &read(&self.body)?,
            secret: &secret,
            now: self.now.unwrap_or_else(|| context.now()),
            tolerance: TimeDelta::seconds(context.config.signature.tolerance_s),
            forms: Endpoint::at(request.method(), request.target().split('?').next().unwrap_or("/"))
                .map_or(Forms::ANY, |endpoint| endpoint.signed.forms())
                .and(context.config.signature.forms()),
        });
        context.output.show(&as_json(&diagnosis), || as_text(&diagnosis))?;
        if diagnosis.verdict == Verdict::Unexplained {
            return Err("no known mistake explains the signature".into());
        }
        Ok(())
    }
}

fn instant_or_seconds(text: &str) -> Result<DateTime<Utc>, String> {
    match text.parse::<i64>() {
        Ok(seconds) => DateTime::from_timestamp(seconds, 0).ok_or_else(|| "is no Unix time".to_owned()),
        Err(_) => instant::parse(text).map_err(|error| format!("{error}, or Unix seconds")),
    }
}

fn as_json(diagnosis: &Diagnosis) -> Value {
    let Diagnosis { verdict, findings, expected } = diagnosis;
    let findings: Vec<Value> = findings
        .iter()
        .map(|finding| json!({ "code": finding.code, "explanation": finding.explanation }))
        .collect();
    let headers: Map<String, Value> = expected
        .headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())))
        .collect();
    let signed = match std::str::from_utf8(&expected.string_to_sign) {
        Ok(text) => json!({ "string_to_sign": text }),
        // JSON holds no bytes: what is no text is escaped.
        Err(_) => json!({ "string_to_sign_escaped": escaped(&expected.string_to_sign) }),
    };
    let mut right = Map::from_iter([("form".to_owned(), Value::from(expected.form.as_str()))]);
    right.extend(signed.as_object().cloned().unwrap_or_default());
    right.insert("headers".to_owned(), Value::Object(headers));
    json!({ "verdict": verdict.as_str(), "findings": findings, "expected": right })
}

fn as_text(diagnosis: &Diagnosis) -> String {
    let Diagnosis { verdict, findings, expected } = diagnosis;
    let mut lines = vec![match verdict {
        Verdict::Right => "The signature is right.".to_owned(),
        Verdict::RightButRefused => {
            "The signature is right, but the request is refused all the same:".to_owned()
        }
        Verdict::MistakeFound => "The signature is wrong:".to_owned(),
        Verdict::Unexplained => "The signature is wrong, and it is not clear why:".to_owned(),
    }];
    for (index, finding) in findings.iter().enumerate() {
        lines.push(format!("\n{}. {}\n   {}", index + 1, finding.code, finding.explanation));
    }
    if *verdict == Verdict::Right {
        lines.push(
            "\nIf the service refuses it all the same, look at the key (revoked? expired? --require-v2? an \
             allowlist of addresses?) and the merchant (suspended?): `conversiond key list`."
                .to_owned(),
        );
    }
    lines.push(format!("\n{}", right_signature(expected)));
    lines.join("\n")
}

fn right_signature(expected: &Expected) -> String {
    let (what, key) = match expected.form {
        Form::Plain => ("timestamp and body", "the secret's whole text, whsec_ included"),
        Form::Bound => ("seven lines", "the secret's whole text, whsec_ included"),
        Form::StandardWebhooks => {
            ("id, timestamp and body", "the bytes that the base64 behind whsec_ stands for")
        }
    };
    let headers: Vec<String> =
        expected.headers.iter().map(|(name, value)| format!("  {name}: {value}")).collect();
    format!(
        "Right is this string ({}: {what}; {} bytes; \\n is a line feed, \\\\ a backslash):\n\n  {}\n\nthrough \
         HMAC-SHA256 with {key}, as the key. The headers then are:\n\n{}",
        expected.form.as_str(),
        expected.string_to_sign.len(),
        shortened(&escaped(&expected.string_to_sign)),
        headers.join("\n"),
    )
}

/// Shows every byte that people could overlook.
fn escaped(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let plain = c == ' ' || !(c.is_control() || c.is_whitespace() || matches!(c, '\\' | '\u{feff}'));
            if plain { shown.push(c) } else { shown.extend(c.escape_default()) }
        }
        shown.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    shown
}

fn shortened(text: &str) -> String {
    let count = text.chars().count();
    if count <= SHOWN_CHARS_MAX {
        return text.to_owned();
    }
    let beginning: String = text.chars().take(SHOWN_BEGINNING_CHARS).collect();
    let end: String = text.chars().skip(count - SHOWN_END_CHARS).collect();
    let left_out = count - SHOWN_BEGINNING_CHARS - SHOWN_END_CHARS;
    format!("{beginning} … {left_out} characters left out; --json has them … {end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_could_overlook_is_shown() {
        assert_eq!(escaped("a\n\t\\\u{feff}\u{a0} é\"".as_bytes()), "a\\n\\t\\\\\\u{feff}\\u{a0} é\"");
        assert_eq!(escaped(b"\xffz"), "\\xffz");
    }

    #[test]
    fn the_middle_of_a_long_text_is_left_out() {
        assert_eq!(shortened(&"é".repeat(SHOWN_CHARS_MAX)), "é".repeat(SHOWN_CHARS_MAX));
        let short = shortened(&"é".repeat(1_000));
        assert!(short.contains(" 560 characters left out"), "{short}");
    }

    #[test]
    fn now_is_an_instant_or_unix_seconds() {
        let at = instant_or_seconds("2025-11-25T22:18:24Z").unwrap();
        assert_eq!(instant_or_seconds("1764109104"), Ok(at));
        assert!(instant_or_seconds("yesterday").is_err());
    }
}
