//! `POST /api/v1/conversions` (contract section 4).

use actix_web::{HttpRequest, HttpResponse, web};

use super::answer::Receipt;
use crate::domain::event::Outcome;
use crate::http::error::{Code, Problem};
use crate::http::extract::MerchantCall;
use crate::http::request_context::note;
use crate::http::state::AppState;
use crate::ingest::Submission;

/// Records one event. A 202 is sent only when it is on disk.
pub async fn create_conversion(
    request: HttpRequest,
    state: web::Data<AppState>,
    call: MerchantCall,
) -> Result<HttpResponse, Problem> {
    let submission = Submission {
        verified: &call.verified,
        merchant: &call.merchant,
        idempotency_key: call.idempotency_key.clone(),
        body: call.json_body(&request)?,
    };
    let (outcome, dialect) = state.ingest.record(submission).await?;
    let (name, receipt) = match &outcome {
        Outcome::Accepted(event) => ("accepted", Receipt::accepted(event)),
        Outcome::Duplicate { original, differs } => {
            let pointers = differs.iter().map(|part| part.pointer(dialect)).collect();
            ("duplicate", Receipt::duplicate(original, pointers))
        }
        Outcome::RefundIdRequired => {
            return Err(Problem::new(
                Code::RefundIdRequired,
                "The order has a refund that may be another one. Give each refund an external_id of its own.",
            ));
        }
    };
    note(&request, |notes| {
        notes.outcome = Some(name);
        if let Outcome::Accepted(event) | Outcome::Duplicate { original: event, .. } = &outcome {
            notes.event_id = Some(event.event_id.to_string());
        }
    });
    Ok(HttpResponse::Accepted().json(receipt))
}
