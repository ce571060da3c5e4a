//! The operator's endpoints, on their own listener.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::state::AppState;
use crate::storage::StoreError;
use crate::storage::writer::Condition;

/// How long a dependency may take to answer before it counts as down.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// `GET /livez`: the process runs.
pub async fn livez() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    checks: Checks,
}

#[derive(Serialize)]
struct Checks {
    database: String,
    writer: String,
    files: String,
    disk: String,
    keys: String,
    clock: String,
    draining: String,
}

/// `GET /readyz`: whether requests should be sent here, and which dependency says no.
pub async fn readyz(state: web::Data<AppState>) -> HttpResponse {
    let checks = Checks {
        database: verdict(database(&state).await),
        writer: verdict(writer(&state).await),
        files: verdict(state.watch.as_ref().and_then(|watch| watch.files()).map_or(Ok(()), Err)),
        disk: verdict(state.watch.as_ref().and_then(|watch| watch.disk()).map_or(Ok(()), Err)),
        keys: verdict(state.ingest.keyring.current().map(|_| ()).map_err(|error| error.to_string())),
        clock: verdict(if state.clock_watch.is_reliable() {
            Ok(())
        } else {
            Err(format!("off by {} s", state.clock_watch.off_by().num_seconds()))
        }),
        draining: verdict(if state.is_draining() { Err("shutting down".to_owned()) } else { Ok(()) }),
    };
    let Checks { database, writer, files, disk, keys, clock, draining } = &checks;
    if [database, writer, files, disk, keys, clock, draining].into_iter().all(|check| check == OK) {
        HttpResponse::Ok().json(Readiness { status: "ready", checks })
    } else {
        HttpResponse::ServiceUnavailable().json(Readiness { status: "not ready", checks })
    }
}

/// `GET /metrics`: Prometheus.
pub async fn metrics(state: web::Data<AppState>) -> HttpResponse {
    state.metrics.rate_limits.set(state.rate_limits.in_use(state.ingest.clock.monotonic()));
    state.metrics.connections.open.set(i64::try_from(state.connections.count()).unwrap_or(i64::MAX));
    let (bytes, held_back) = state.ingest.reader.log_figures();
    state.metrics.log.set(bytes, held_back);
    let text = state.metrics.render(state.ingest.reader.usage(), state.ingest.keyring.age().as_secs_f64());
    HttpResponse::Ok().content_type("application/openmetrics-text; version=1.0.0; charset=utf-8").body(text)
}

const OK: &str = "ok";

fn verdict(check: Result<(), String>) -> String {
    check.err().unwrap_or_else(|| OK.to_owned())
}

/// Reads may work while nothing can be written: somebody else may hold the write lock.
async fn writer(state: &AppState) -> Result<(), String> {
    let writer = &state.ingest.writer;
    if !writer.is_available() {
        return Err("no connection to write with, or the database would not keep what it confirms".to_owned());
    }
    match writer.condition() {
        Condition::Well => Ok(()),
        Condition::Failing => Err("nothing could be written for some seconds".to_owned()),
        Condition::Unknown => match tokio::time::timeout(CHECK_TIMEOUT, state.pulse.may_write()).await {
            Ok(Ok(true)) => {
                writer.forgive();
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Ok(Ok(false)) | Err(_) => Err("the database is locked by somebody else".to_owned()),
        },
    }
}

async fn database(state: &AppState) -> Result<(), String> {
    match tokio::time::timeout(CHECK_TIMEOUT, state.pulse.run(crate::storage::ping)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(StoreError::Overloaded(_))) => Err("no answer to an earlier check".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer within 2 s".to_owned()),
    }
}
