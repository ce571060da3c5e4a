//! Limits that hold before a request is routed (contract section 3, order of checks).

use actix_web::dev::ServiceRequest;
use actix_web::http::header;

use crate::http::error::{Code, Problem};
use crate::http::routes::Endpoint;
use crate::http::state::HttpLimits;

/// Refuses what no endpoint takes: a large head, a body without a length, a WebSocket, an encoded body,
/// a body on a GET.
pub fn precheck(
    request: &ServiceRequest,
    limits: &HttpLimits,
    endpoint: Option<&Endpoint>,
) -> Result<(), Problem> {
    let headers = request.headers();
    if head_bytes(request) > limits.headers_bytes_max {
        let detail = format!("The head may have {} bytes.", limits.headers_bytes_max);
        return Err(Problem::new(Code::HeadersTooLarge, detail).closing());
    }
    // Chunked bodies are where proxies and servers have disagreed most about where a request ends.
    if headers.contains_key(header::TRANSFER_ENCODING) {
        let detail = "Transfer-Encoding is not taken: send the body with a Content-Length.";
        return Err(Problem::new(Code::LengthRequired, detail).closing());
    }
    // The framework takes all that follows such an offer for a body without end, whatever its length says.
    if headers
        .get_all(header::UPGRADE)
        .any(|offer| offer.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket"))
    {
        let detail = "Upgrade is not taken: a callback is one request.";
        return Err(Problem::new(Code::MalformedRequest, detail).closing());
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "Content-Encoding is not taken: send the body as it is.",
        ));
    }
    // What a GET asks for stands in its target alone. A body could only be somebody else's, whose signature
    // is to pass for one of the GET.
    if endpoint.is_some_and(|endpoint| endpoint.method == "GET") && has_body(request) {
        return Err(Problem::new(Code::MalformedRequest, "A GET has no body."));
    }
    Ok(())
}

/// Whether a body is announced; a length that is no number announces one, too.
fn has_body(request: &ServiceRequest) -> bool {
    let lengths = request.headers().get_all(header::CONTENT_LENGTH);
    lengths.into_iter().any(|length| length.as_bytes().iter().any(|digit| *digit != b'0'))
}

/// About what the head took on the wire: lines with their separators.
fn head_bytes(request: &ServiceRequest) -> usize {
    let line =
        request.method().as_str().len() + request.uri().path_and_query().map_or(1, |t| t.as_str().len()) + 12;
    request.headers().iter().fold(line, |sum, (name, value)| sum + name.as_str().len() + value.len() + 4)
}
