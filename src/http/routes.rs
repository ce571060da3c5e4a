//! Every path there is.

use actix_web::web;

use super::error::{Code, Problem};
use super::extract::drain;
use super::middleware::observe;
use super::{admin, api, webhooks};

/// An endpoint in logs, figures and the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name.
    pub name: &'static str,
    /// Whether it takes what is to be written: requests to it are journaled, all but reading ones.
    pub writes: bool,
}

const CONVERSIONS: &str = "/api/v1/conversions";
const BULK: &str = "/api/v1/conversions/bulk";
const CONVERSION: &str = "/api/v1/conversions/{event_id}";
const ORDER_STATUS: &str = "/api/v1/order-status";
const ATTEMPTS: &str = "/api/v1/attempts";
const WEBHOOK: &str = "/api/v1/webhooks/{topic}";
const WEBHOOK_ALIAS: &str = "/v1/webhooks/{topic}";

/// The endpoint behind a path's pattern.
pub fn endpoint_of(pattern: &str) -> Option<Endpoint> {
    let (name, writes) = match pattern {
        CONVERSIONS => ("conversions", true),
        BULK => ("conversions_bulk", true),
        CONVERSION => ("conversion", false),
        ORDER_STATUS => ("order_status", true),
        ATTEMPTS => ("attempts", false),
        WEBHOOK | WEBHOOK_ALIAS => ("webhooks", true),
        _ => return None,
    };
    Some(Endpoint { name, writes })
}

/// The API's paths.
pub fn api(config: &mut web::ServiceConfig) {
    let webhook = |path| {
        web::resource(path)
            .route(web::post().to(webhooks::receive))
            .default_service(web::to(|payload| refuse_method("POST", payload)))
    };
    config.service(
        web::scope("")
            .wrap(actix_web::middleware::from_fn(observe))
            .service(
                web::resource(CONVERSIONS)
                    .route(web::post().to(api::create_conversion))
                    .route(web::get().to(api::list_conversions))
                    .default_service(web::to(|payload| refuse_method("GET, POST", payload))),
            )
            .service(
                web::resource(BULK)
                    .route(web::post().to(api::create_conversions))
                    .default_service(web::to(|payload| refuse_method("POST", payload))),
            )
            .service(
                web::resource(CONVERSION)
                    .route(web::get().to(api::get_conversion))
                    .default_service(web::to(|payload| refuse_method("GET", payload))),
            )
            .service(
                web::resource(ORDER_STATUS)
                    .route(web::post().to(api::report_order_status))
                    .default_service(web::to(|payload| refuse_method("POST", payload))),
            )
            .service(
                web::resource(ATTEMPTS)
                    .route(web::get().to(api::list_attempts))
                    .default_service(web::to(|payload| refuse_method("GET", payload))),
            )
            .service(webhook(WEBHOOK))
            .service(webhook(WEBHOOK_ALIAS))
            .default_service(web::to(no_such_path)),
    );
}

/// The operator's paths.
pub fn admin(config: &mut web::ServiceConfig) {
    config
        .route("/livez", web::get().to(admin::livez))
        .route("/readyz", web::get().to(admin::readyz))
        .route("/metrics", web::get().to(admin::metrics));
}

async fn refuse_method(allow: &'static str, payload: web::Payload) -> Result<String, Problem> {
    drain(&mut payload.into_inner()).await;
    let problem = Problem::new(Code::MethodNotAllowed, format!("Allowed: {allow}."));
    Err(Problem { allow: Some(allow), ..problem })
}

async fn no_such_path(payload: web::Payload) -> Result<String, Problem> {
    drain(&mut payload.into_inner()).await;
    Err(Problem::new(Code::NotFound, "No such path."))
}
