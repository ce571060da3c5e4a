//! Limits that hold before a request is routed (contract section 3, order of checks).

use actix_web::dev::ServiceRequest;
use actix_web::http::header;

use crate::http::error::{Code, Problem};
use crate::http::state::HttpLimits;

/// Refuses what no endpoint takes: a large head, a body without a length, a WebSocket, an encoded body.
pub fn precheck(request: &ServiceRequest, limits: &HttpLimits) -> Result<(), Problem> {
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
    Ok(())
}

/// About what the head took on the wire: lines with their separators.
fn head_bytes(request: &ServiceRequest) -> usize {
    let line =
        request.method().as_str().len() + request.uri().path_and_query().map_or(1, |t| t.as_str().len()) + 12;
    request.headers().iter().fold(line, |sum, (name, value)| sum + name.as_str().len() + value.len() + 4)
}
