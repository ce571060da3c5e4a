//! From a prepared submission to the answer: the one way of every writing endpoint.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use super::words::{Words, refund_id_required};
use crate::domain::attempt::AttemptOutcome;
use crate::domain::submission::{Content, ContentOutcome, Render as _, StoredAnswer, SubmissionOutcome};
use crate::http::error::Problem;
use crate::http::request_context::note;
use crate::http::state::AppState;
use crate::ingest::Prepared;

/// Has it written and says what became of it. A 2xx is made only of what is on disk.
pub async fn respond(
    request: &HttpRequest,
    state: &AppState,
    prepared: Prepared,
) -> Result<HttpResponse, Problem> {
    let submission = prepared.submission();
    let (content, request_id) = (submission.content.clone(), submission.attempt.request_id.clone());
    let order = match content.as_ref() {
        Content::One(entry) => entry.order().cloned(),
        Content::Bulk(_) | Content::Click(_) => None,
    };
    note(request, |notes| notes.order = order);
    match state.ingest.write(prepared).await? {
        SubmissionOutcome::Refused(conflict) => Err(conflict.into()),
        SubmissionOutcome::Replayed(answer) => {
            note(request, |notes| notes.outcome = Some(AttemptOutcome::Replayed.as_str()));
            let mut response = send(answer);
            let header = (HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));
            response.headers_mut().insert(header.0, header.1);
            Ok(response)
        }
        SubmissionOutcome::Done(outcome, answer) => {
            note(request, |notes| {
                notes.outcome = Some(outcome.word().as_str());
                if let ContentOutcome::One(outcome) = &outcome {
                    notes.event_id = outcome.event_id().map(|id| id.to_string());
                }
            });
            answer.or_else(|| words(&request_id, &content, &outcome)).map(send).ok_or_else(refund_id_required)
        }
    }
}

/// The answer of a submission that stored none.
fn words(request_id: &str, content: &Content, outcome: &ContentOutcome) -> Option<StoredAnswer> {
    match (content, outcome) {
        (Content::One(entry), ContentOutcome::One(outcome)) => Words.entry(entry, outcome),
        (Content::Bulk(rows), ContentOutcome::Bulk(outcomes)) => Some(Words.bulk(request_id, rows, outcomes)),
        (Content::Click(click), ContentOutcome::Click) => Some(click.answer.clone()),
        (Content::One(_) | Content::Bulk(_) | Content::Click(_), _) => None,
    }
}

fn send(answer: StoredAnswer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    HttpResponse::build(status).content_type("application/json").body(answer.body)
}
