//! Every path there is, and what its requests must be signed with.

use std::collections::BTreeSet;

use actix_web::dev::ResourceDef;
use actix_web::{HttpRequest, web};

use super::error::{Code, Problem};
use super::extract::{client_of, drain};
use super::middleware::observe;
use super::state::AppState;
use super::{admin, api, openapi, webhooks};
use crate::domain::signature::Forms;

/// What a request to an endpoint must be signed with (contract section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// Any of the three forms, by a merchant: a captured callback can be repeated here, which is harmless.
    AnyForm,
    /// The bound form, by a merchant: whoever captured a callback must not get here with its signature.
    Bound,
    /// The bound form, by the operator.
    ByOperator,
    /// Nothing.
    No,
}

/// A row of the table of endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Its method.
    pub method: &'static str,
    /// Its path, as a pattern.
    pub path: &'static str,
    /// Its name in logs, figures and the journal: that of its path.
    pub name: &'static str,
    /// What its requests must be signed with.
    pub signed: Signed,
    /// Whether it takes what is to be written: requests to its path are journaled, all but reading ones.
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

/// Every endpoint of the API. **A new endpoint is a row here**, beside its route below.
pub const ENDPOINTS: &[Endpoint] = &[
    writing(CONVERSIONS, "conversions", Signed::AnyForm),
    reading(CONVERSIONS, "conversions", Signed::Bound),
    writing(BULK, "conversions_bulk", Signed::AnyForm),
    reading(CONVERSION, "conversion", Signed::Bound),
    reading(ORDERS, "orders", Signed::Bound),
    reading(ORDER, "order", Signed::Bound),
    Endpoint { writes: false, ..writing(RECONCILIATIONS, "reconciliations", Signed::Bound) },
    writing(ORDER_STATUS, "order_status", Signed::AnyForm),
    writing(WEBHOOK, "webhooks", Signed::AnyForm),
    writing(WEBHOOK_ALIAS, "webhooks", Signed::AnyForm),
    writing(CLICKS, "clicks", Signed::ByOperator),
    reading(ATTEMPTS, "attempts", Signed::Bound),
    reading(REPORT, "report", Signed::Bound),
    reading(EXPORT, "export", Signed::Bound),
    reading(OPENAPI, "openapi", Signed::No),
];

const fn writing(path: &'static str, name: &'static str, signed: Signed) -> Endpoint {
    Endpoint { method: "POST", path, name, signed, writes: true }
}

const fn reading(path: &'static str, name: &'static str, signed: Signed) -> Endpoint {
    Endpoint { method: "GET", path, name, signed, writes: false }
}

impl Signed {
    /// The forms that are taken. An endpoint that is not signed asks for none.
    pub const fn forms(self) -> Forms {
        match self {
            Self::AnyForm => Forms::ANY,
            Self::Bound | Self::ByOperator | Self::No => Forms::BOUND,
        }
    }

    /// Whether a merchant's rate limit holds.
    pub const fn is_limited(self) -> bool {
        matches!(self, Self::AnyForm | Self::Bound)
    }
}

impl Endpoint {
    /// The endpoint of a method and a path's pattern; `None` = the path has no such method, or there is no
    /// such path.
    pub fn of(method: &str, pattern: &str) -> Option<&'static Self> {
        ENDPOINTS.iter().find(|endpoint| endpoint.path == pattern && endpoint.method == method)
    }

    /// The endpoint that a request's method and path lead to.
    pub fn at(method: &str, path: &str) -> Option<&'static Self> {
        let leads =
            |endpoint: &&Self| endpoint.method == method && ResourceDef::new(endpoint.path).is_match(path);
        ENDPOINTS.iter().find(leads)
    }
}

/// The name of a path in logs, figures and the journal, and whether any of its endpoints writes.
pub fn named(pattern: &str) -> Option<(&'static str, bool)> {
    let mut endpoints = ENDPOINTS.iter().filter(|endpoint| endpoint.path == pattern);
    let first = endpoints.next()?;
    Some((first.name, first.writes || endpoints.any(|endpoint| endpoint.writes)))
}

/// Every path of the API, as a pattern.
pub fn paths() -> BTreeSet<&'static str> {
    ENDPOINTS.iter().map(|endpoint| endpoint.path).collect()
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
                    .default_service(web::to(|request, payload| {
                        refuse_method("GET, POST", request, payload)
                    })),
            )
            .service(
                web::resource(BULK)
                    .route(web::post().to(api::create_conversions))
                    .default_service(web::to(|request, payload| refuse_method("POST", request, payload))),
            )
            .service(
                web::resource(CONVERSION)
                    .route(web::get().to(api::get_conversion))
                    .default_service(web::to(|request, payload| refuse_method("GET", request, payload))),
            )
            .service(
                web::resource(ORDERS)
                    .route(web::get().to(api::list_orders))
                    .default_service(web::to(|request, payload| refuse_method("GET", request, payload))),
            )
            .service(
                web::resource(ORDER)
                    .route(web::get().to(api::get_order))
                    .default_service(web::to(|request, payload| refuse_method("GET", request, payload))),
            )
            .service(
                web::resource(RECONCILIATIONS)
                    .route(web::post().to(api::reconcile))
                    .default_service(web::to(|request, payload| refuse_method("POST", request, payload))),
            )
            .service(
                web::resource(ORDER_STATUS)
                    .route(web::post().to(api::report_order_status))
                    .default_service(web::to(|request, payload| refuse_method("POST", request, payload))),
            )
            .service(
                web::resource(CLICKS)
                    .route(web::post().to(api::create_click))
                    .default_service(web::to(|request, payload| refuse_method("POST", request, payload))),
            )
            .service(
                web::resource(ATTEMPTS)
                    .route(web::get().to(api::list_attempts))
                    .default_service(web::to(|request, payload| refuse_method("GET", request, payload))),
            )
            .service(
                web::resource(REPORT)
                    .route(web::get().to(api::report_attribution))
                    .default_service(web::to(|request, payload| refuse_method("GET", request, payload))),
            )
            .service(
                web::resource(EXPORT)
                    .route(web::get().to(api::exports::export_events))
                    .default_service(web::to(|request, payload| refuse_method("GET", request, payload))),
            )
            .service(
                web::resource(OPENAPI)
                    .route(web::get().to(openapi::describe))
                    .default_service(web::to(|request, payload| refuse_method("GET", request, payload))),
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

async fn refuse_method(
    allow: &'static str,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<String, Problem> {
    let problem = Problem::new(Code::MethodNotAllowed, format!("Allowed: {allow}."));
    refuse(&request, payload, Problem { allow: Some(allow), ..problem }).await
}

/// What is no topic is no path, whatever the method.
async fn refuse_webhook_method(
    topic: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<String, Problem> {
    if webhooks::is_topic(&topic) {
        refuse_method("POST", request, payload).await
    } else {
        no_such_path(request, payload).await
    }
}

async fn no_such_path(request: HttpRequest, payload: web::Payload) -> Result<String, Problem> {
    refuse(&request, payload, Problem::new(Code::NotFound, "No such path.")).await
}

/// Whoever asks for what is not there has signed nothing: it is charged to its address.
async fn refuse(request: &HttpRequest, payload: web::Payload, problem: Problem) -> Result<String, Problem> {
    drain(&mut payload.into_inner()).await;
    if let Some(state) = request.app_data::<web::Data<AppState>>() {
        let client = client_of(request, &state.limits.trusted_proxies);
        state.rate_limits.charge(client, &problem, 0, state.ingest.clock.monotonic());
    }
    Err(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `api` registers, out of this file's own text: `web::resource(PATH)` and the `.route`s behind it.
    fn registered() -> BTreeSet<(String, String)> {
        let source = include_str!("routes.rs");
        let (_, api) = source.split_once("pub fn api(").unwrap();
        let (api, _) = api.split_once("\n}\n").unwrap();
        let mut registered = BTreeSet::new();
        let (mut path, mut of_webhooks) = (String::new(), Vec::new());
        for line in api.lines().map(str::trim) {
            if let Some(rest) = line.split_once("web::resource(").map(|(_, rest)| rest) {
                path = rest.split(')').next().unwrap().to_owned();
            }
            if let Some(rest) = line.strip_prefix(".route(web::") {
                let method = rest.split("()").next().unwrap().to_uppercase();
                match path.as_str() {
                    "path" => of_webhooks.push(method),
                    _ => drop(registered.insert((method, path.clone()))),
                }
            }
            if let Some(rest) = line.strip_prefix(".service(webhook(") {
                let path = rest.split(')').next().unwrap();
                registered.extend(of_webhooks.iter().map(|method| (method.clone(), path.to_owned())));
            }
        }
        registered
    }

    #[test]
    fn every_route_has_a_row_in_the_table_of_endpoints_and_the_reverse() {
        let names = [
            ("CONVERSIONS", CONVERSIONS),
            ("BULK", BULK),
            ("CONVERSION", CONVERSION),
            ("ORDERS", ORDERS),
            ("ORDER", ORDER),
            ("RECONCILIATIONS", RECONCILIATIONS),
            ("ORDER_STATUS", ORDER_STATUS),
            ("CLICKS", CLICKS),
            ("ATTEMPTS", ATTEMPTS),
            ("REPORT", REPORT),
            ("EXPORT", EXPORT),
            ("WEBHOOK", WEBHOOK),
            ("WEBHOOK_ALIAS", WEBHOOK_ALIAS),
            ("OPENAPI", OPENAPI),
        ];
        let path_of = |name: &str| names.iter().find(|(known, _)| *known == name).map(|(_, path)| *path);
        let routes: BTreeSet<(String, &str)> = registered()
            .into_iter()
            .map(|(method, name)| (method, path_of(&name).unwrap_or_else(|| panic!("{name} has no row"))))
            .collect();
        let rows = ENDPOINTS.iter().map(|endpoint| (endpoint.method.to_owned(), endpoint.path)).collect();
        assert_eq!(routes, rows);
        assert_eq!(routes.len(), ENDPOINTS.len(), "a row stands twice");
    }

    #[test]
    fn a_method_and_a_path_lead_to_one_endpoint() {
        let at = |method, path| Endpoint::at(method, path).map(|endpoint| endpoint.path);
        assert_eq!(at("POST", "/api/v1/conversions/bulk"), Some(BULK));
        assert_eq!(at("GET", "/api/v1/conversions/evt_1"), Some(CONVERSION));
        assert_eq!(at("POST", "/v1/webhooks/order-paid"), Some(WEBHOOK_ALIAS));
        assert_eq!((at("PUT", "/api/v1/conversions"), at("GET", "/")), (None, None));
    }
}
