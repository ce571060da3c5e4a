//! Every path there is.

use actix_web::dev::Service as _;
use actix_web::web;

use super::error::{Code, Problem};
use super::extract::drain;
use super::middleware::observe;
use super::request_context::note;
use super::{admin, api};

/// The API's paths.
pub fn api(config: &mut web::ServiceConfig) {
    config.service(
        web::scope("")
            .wrap(actix_web::middleware::from_fn(observe))
            .service(
                web::resource("/api/v1/conversions")
                    .wrap_fn(|request, service| {
                        note(request.request(), |notes| notes.endpoint = Some("conversions"));
                        service.call(request)
                    })
                    .route(web::post().to(api::create_conversion))
                    .route(web::get().to(api::list_conversions))
                    .default_service(web::to(|payload| refuse_method("GET, POST", payload))),
            )
            .service(
                web::resource("/api/v1/conversions/{event_id}")
                    .wrap_fn(|request, service| {
                        note(request.request(), |notes| notes.endpoint = Some("conversion"));
                        service.call(request)
                    })
                    .route(web::get().to(api::get_conversion))
                    .default_service(web::to(|payload| refuse_method("GET", payload))),
            )
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
