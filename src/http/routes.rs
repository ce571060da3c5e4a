//! Every path there is.

use actix_web::web;

use super::error::{Code, Problem};
use super::extract::drain;
use super::middleware::observe;
use super::{admin, api, openapi, webhooks};

/// An endpoint in logs, figures and the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name.
    pub name: &'static str,
    /// Whether it takes what is to be written: requests to it are journaled, all but reading ones.
    pub writes: bool,
}

/// The events.
pub const CONVERSIONS: &str = "/api/v1/conversions";
/// Many events at once.
pub const BULK: &str = "/api/v1/conversions/bulk";
/// One event.
pub const CONVERSION: &str = "/api/v1/conversions/{event_id}";
/// Orders.
pub const ORDERS: &str = "/api/v1/orders";
/// One order.
pub const ORDER: &str = "/api/v1/orders/{order_id}";
/// Merchants' books, held against what is recorded.
pub const RECONCILIATIONS: &str = "/api/v1/reconciliations";
/// What orders come to.
pub const ORDER_STATUS: &str = "/api/v1/order-status";
/// Clicks on short links.
pub const CLICKS: &str = "/api/v1/clicks";
/// The journal.
pub const ATTEMPTS: &str = "/api/v1/attempts";
/// What events come to, by time and by link.
pub const REPORT: &str = "/api/v1/reports/attribution";
/// All events, as a file.
pub const EXPORT: &str = "/api/v1/exports/events";
/// Merchants' webhooks.
pub const WEBHOOK: &str = "/api/v1/webhooks/{topic}";
/// The same under their older path.
pub const WEBHOOK_ALIAS: &str = "/v1/webhooks/{topic}";
/// What the API says of itself.
pub const OPENAPI: &str = "/openapi.json";

/// Every path of the API, the name of its endpoint, and whether that writes.
const ENDPOINTS: &[(&str, &str, bool)] = &[
    (CONVERSIONS, "conversions", true),
    (BULK, "conversions_bulk", true),
    (CONVERSION, "conversion", false),
    (ORDERS, "orders", false),
    (ORDER, "order", false),
    (RECONCILIATIONS, "reconciliations", false),
    (ORDER_STATUS, "order_status", true),
    (WEBHOOK, "webhooks", true),
    (WEBHOOK_ALIAS, "webhooks", true),
    (CLICKS, "clicks", true),
    (ATTEMPTS, "attempts", false),
    (REPORT, "report", false),
    (EXPORT, "export", false),
    (OPENAPI, "openapi", false),
];

/// The endpoint behind a path's pattern.
pub fn endpoint_of(pattern: &str) -> Option<Endpoint> {
    let (_, name, writes) = *ENDPOINTS.iter().find(|(path, ..)| *path == pattern)?;
    Some(Endpoint { name, writes })
}

/// Every path of the API, as a pattern.
pub fn paths() -> impl Iterator<Item = &'static str> {
    ENDPOINTS.iter().map(|(path, ..)| *path)
}

/// The API's paths.
pub fn api(config: &mut web::ServiceConfig) {
    let webhook = |path| {
        web::resource(path)
            .route(web::post().to(webhooks::receive))
            .default_service(web::to(refuse_webhook_method))
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
                web::resource(ORDERS)
                    .route(web::get().to(api::list_orders))
                    .default_service(web::to(|payload| refuse_method("GET", payload))),
            )
            .service(
                web::resource(ORDER)
                    .route(web::get().to(api::get_order))
                    .default_service(web::to(|payload| refuse_method("GET", payload))),
            )
            .service(
                web::resource(RECONCILIATIONS)
                    .route(web::post().to(api::reconcile))
                    .default_service(web::to(|payload| refuse_method("POST", payload))),
            )
            .service(
                web::resource(ORDER_STATUS)
                    .route(web::post().to(api::report_order_status))
                    .default_service(web::to(|payload| refuse_method("POST", payload))),
            )
            .service(
                web::resource(CLICKS)
                    .route(web::post().to(api::create_click))
                    .default_service(web::to(|payload| refuse_method("POST", payload))),
            )
            .service(
                web::resource(ATTEMPTS)
                    .route(web::get().to(api::list_attempts))
                    .default_service(web::to(|payload| refuse_method("GET", payload))),
            )
            .service(
                web::resource(REPORT)
                    .route(web::get().to(api::report_attribution))
                    .default_service(web::to(|payload| refuse_method("GET", payload))),
            )
            .service(
                web::resource(EXPORT)
                    .route(web::get().to(api::exports::export_events))
                    .default_service(web::to(|payload| refuse_method("GET", payload))),
            )
            .service(
                web::resource(OPENAPI)
                    .route(web::get().to(openapi::describe))
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

/// What is no topic is no path, whatever the method.
async fn refuse_webhook_method(topic: web::Path<String>, payload: web::Payload) -> Result<String, Problem> {
    if webhooks::is_topic(&topic) {
        refuse_method("POST", payload).await
    } else {
        no_such_path(payload).await
    }
}

async fn no_such_path(payload: web::Payload) -> Result<String, Problem> {
    drain(&mut payload.into_inner()).await;
    Err(Problem::new(Code::NotFound, "No such path."))
}
