//! `GET /api/v1/exports/events` (contract section 12), and what `conversiond export` shares with it.
//!
//! Pages are read each in a short transaction of its own, and at most two are in memory. Why no event is
//! ever missed, `storage::exports` says.

mod body;
mod export;
mod lines;
mod places;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::http::error::{Code, Problem};
use crate::http::extract::{MerchantCall, Query};
use crate::http::state::AppState;
use crate::storage::exports::Scope;

pub use export::{Export, Reading};
pub use lines::Format;
pub use places::Places;

use places::NoPlace;

/// All events of the merchant in the key's mode, oldest first, as far as they are complete.
pub async fn export_events(
    request: HttpRequest,
    state: web::Data<AppState>,
    call: MerchantCall,
) -> Result<HttpResponse, Problem> {
    let mut query = Query::parse(request.query_string());
    let format = query.take("format", str::parse).unwrap_or_default();
    let (from, to) = (query.instant("from"), query.instant("to"));
    query.check_range("to", (from, to));
    let scope = Scope { merchant: call.merchant.id, mode: call.verified.mode(), from, to };
    let export = Export::new(scope, format).with_cells(query.cells("safe"));
    let export = query.take("cursor", |cursor| export.clone().after(cursor)).unwrap_or(export);
    query.finish()?;
    let place = state.exports.take(call.merchant.id).map_err(|why| {
        let detail = match why {
            NoPlace::Full => "As many exports run as the service takes on. Try again later.",
            NoPlace::Running => "An export of this merchant is running. Try again when it has ended.",
        };
        Problem::new(Code::Overloaded, detail)
    })?;
    // What fails until the first page is there is a problem; what fails later cuts the body.
    let (reader, merchant) = (&state.ingest.reader, call.merchant.id);
    let horizon = reader.horizon(merchant, state.limits.export_behind, state.ingest.clock.clone()).await?;
    let mut reading = export.begin(horizon);
    let (reading, first) = reader
        .run_for(merchant, move |connection| reading.next(connection).map(|page| (reading, page)))
        .await?;
    let body = body::stream(&state, place, reading, first);
    let disposition = (header::CONTENT_DISPOSITION, format.disposition());
    Ok(HttpResponse::Ok().content_type(format.media_type()).insert_header(disposition).streaming(body))
}
