//! `GET /openapi.json`

use actix_web::http::header::{
    self, CacheControl, CacheDirective, ETag, EntityTag, Header as _, IfNoneMatch,
};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use sha2::{Digest, Sha256};

use super::Document;
use crate::http::error::Problem;
use crate::http::extract::client_of;
use crate::http::request_context::note;
use crate::http::state::{AppState, HttpLimits};

/// How long a copy may be kept without asking again, in seconds.
const MAX_AGE_S: u32 = 300;

/// The document, made once and ready to be sent.
pub struct Description {
    text: Bytes,
    tag: EntityTag,
}

impl Description {
    /// The description of a service with these limits.
    pub fn new(limits: &HttpLimits) -> Self {
        let text = Document::new(limits).text();
        let tag = EntityTag::new_strong(hex::encode(Sha256::digest(&text)));
        Self { text: text.into(), tag }
    }

    /// Whether the caller has it already.
    fn is_known(&self, request: &HttpRequest) -> bool {
        match IfNoneMatch::parse(request) {
            Ok(IfNoneMatch::Any) => true,
            Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|tag| tag.weak_eq(&self.tag)),
            Err(_) => false,
        }
    }
}

/// Says what the API is. Nothing is asked of the caller.
pub async fn describe(request: HttpRequest, state: web::Data<AppState>) -> Result<HttpResponse, Problem> {
    let description = &state.description;
    let known = description.is_known(&request);
    if !known {
        let client = client_of(&request, &state.limits.trusted_proxies);
        state.rate_limits.admit_document(client, state.ingest.clock.monotonic())?;
    }
    note(&request, |notes| notes.outcome = Some("ok"));
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header(ETag(description.tag.clone()))
        .insert_header(CacheControl(vec![CacheDirective::Public, CacheDirective::MaxAge(MAX_AGE_S)]));
    if known {
        return Ok(response.finish());
    }
    Ok(response.insert_header((header::CONTENT_TYPE, "application/json")).body(description.text.clone()))
}
