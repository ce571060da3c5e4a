//! `conversiond sign`: prints the headers of a signed request, one a line, as `curl -H @-` reads
//! them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::input::{SecretSource, is_stdin, read};
use super::{Context, Failure, Usage};
use crate::domain::ids::uuid_v7;
use crate::domain::signature::{self, Covered};
use crate::system::SystemEntropy;

#[derive(Debug, Args)]
pub struct Sign {
    /// The key that signs.
    #[arg(long, value_name = "KEY", value_parser = visible)]
    key_id: String,
    #[command(flatten)]
    secret: SecretSource,
    /// What the signature binds.
    #[arg(long, value_enum, default_value_t = Form::V1)]
    form: Form,
    /// The request's method.
    #[arg(long, default_value = "POST")]
    method: String,
    /// The request's path and query.
    #[arg(long, default_value = "/api/v1/conversions")]
    target: String,
    /// Unix seconds; now unless given.
    #[arg(long)]
    timestamp: Option<i64>,
    /// The request's Idempotency-Key, which v2 binds.
    #[arg(long, default_value = "", value_parser = visible)]
    idempotency_key: String,
    /// The request's X-External-Event-Id, which v2 binds.
    #[arg(long, default_value = "", value_parser = visible)]
    external_event_id: String,
    /// The message id of Standard Webhooks; fresh unless given.
    #[arg(long, value_parser = visible)]
    webhook_id: Option<String>,
    /// The body, `-` = standard input.
    file: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    /// Timestamp and body.
    V1,
    /// The whole request.
    V2,
    /// Standard Webhooks 1.0.
    StandardWebhooks,
}

impl Sign {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        if is_stdin(&self.file) && self.secret.is_stdin() {
            return Err(Usage("the secret and the body cannot both be standard input").into());
        }
        let secret = self.secret.read()?;
        let body = read(&self.file)?;
        let form = match self.form {
            Form::V1 => signature::Form::Plain,
            Form::V2 => signature::Form::Bound,
            Form::StandardWebhooks => signature::Form::StandardWebhooks,
        };
        let method = self.method.to_uppercase();
        let covered = Covered {
            method: &method,
            target: &self.target,
            idempotency_key: &self.idempotency_key,
            external_event_id: &self.external_event_id,
            body: &body,
        };
        let now = context.now();
        let webhook_id =
            self.webhook_id.unwrap_or_else(|| format!("msg_{}", uuid_v7(now, &SystemEntropy).simple()));
        let timestamp = self.timestamp.unwrap_or_else(|| now.timestamp());
        let headers = signature::sign(form, &self.key_id, &secret, timestamp, &webhook_id, &covered);
        let object: Map<String, Value> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))).collect();
        context.output.show(&object, || {
            headers.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n")
        })
    }
}

/// What a header can carry: a line break would begin another one.
fn visible(text: &str) -> Result<String, String> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("must be visible ASCII".to_owned())
    }
}
