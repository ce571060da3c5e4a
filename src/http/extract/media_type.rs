//! Bodies by their media type.

use actix_web::HttpRequest;
use actix_web::http::header;

use crate::http::error::{Code, Problem};

/// The body of a request that must have one, as JSON.
pub fn json<'a>(request: &HttpRequest, body: &'a [u8]) -> Result<&'a [u8], Problem> {
    of_type(request, body, &[("application/json", ())], "application/json").map(|(body, ())| body)
}

/// The body of a request that must have one, of one of these types.
pub fn of_type<'a, T: Copy>(
    request: &HttpRequest,
    body: &'a [u8],
    types: &[(&str, T)],
    wanted: &str,
) -> Result<(&'a [u8], T), Problem> {
    if body.is_empty() {
        return Err(Problem::new(Code::MalformedRequest, "The body is empty."));
    }
    let mut lines = request.headers().get_all(header::CONTENT_TYPE);
    let media_type = lines.next().and_then(|value| value.to_str().ok());
    let essence = media_type.and_then(|text| text.split(';').next()).map(str::trim).unwrap_or("");
    let once = lines.next().is_none();
    match types.iter().find(|(name, _)| once && essence.eq_ignore_ascii_case(name)) {
        Some((_, format)) => Ok((body, *format)),
        None => Err(Problem::new(Code::UnsupportedMediaType, format!("Content-Type must be {wanted}."))),
    }
}
