//! `POST /api/v1/reconciliations` (contract section 12). Nothing is written.

use actix_web::{HttpRequest, HttpResponse, web};

use super::reconciliation_answer::ReconciliationBody;
use crate::http::error::Problem;
use crate::http::extract::{BooksCall, Query};
use crate::http::state::AppState;
use crate::ingest::reconciliation::{self, BooksFormat};

/// Holds the merchant's books against what is recorded in the key's mode.
pub async fn reconcile(
    request: HttpRequest,
    state: web::Data<AppState>,
    BooksCall(call): BooksCall,
) -> Result<HttpResponse, Problem> {
    let (_, format) = call.books_body(&request)?;
    let mut query = Query::parse(request.query_string());
    let period = match format {
        BooksFormat::Json => None,
        BooksFormat::Ndjson | BooksFormat::Csv => {
            let range = (query.required_instant("from"), query.required_instant("to"));
            query.check_range("to", range);
            range.0.zip(range.1)
        }
    };
    query.finish()?;
    let body = call.body.clone();
    let read = move || reconciliation::read(&body, format, period);
    let found = state.ingest.reconcile(call.merchant.id, call.verified.mode(), read).await?;
    Ok(HttpResponse::Ok().json(ReconciliationBody::of(&found)))
}
