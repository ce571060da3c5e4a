//! Whom a request comes from.

use std::borrow::Cow;
use std::net::IpAddr;

use actix_web::HttpRequest;
use ipnet::IpNet;

use crate::domain::client_address::client_address;

/// The client's address, trusted proxies taken off; `None` where there is no socket.
pub fn client_of(request: &HttpRequest, trusted_proxies: &[IpNet]) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip();
    // Lossy: of a line that is not text only the bad entry is unreadable, and ends the walk.
    let lines: Vec<Cow<'_, str>> = request
        .headers()
        .get_all("x-forwarded-for")
        .map(|line| String::from_utf8_lossy(line.as_bytes()))
        .collect();
    Some(client_address(peer, lines.iter().map(AsRef::as_ref), trusted_proxies))
}
