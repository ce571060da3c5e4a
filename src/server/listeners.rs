//! The two listeners.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::{Extensions, Server};
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpServer, web};

use super::ServeError;
use crate::config::Config;
use crate::http::{AppState, routes};

/// Connections that a worker takes beyond the most there may be: the table of connections closes others for
/// them, which takes a moment.
const CLOSING: usize = 1_024;

/// Where callers come.
pub fn api_server(config: &Config, state: web::Data<AppState>) -> Result<(Server, SocketAddr), ServeError> {
    let settings = &config.server;
    let workers = match settings.workers {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        workers => workers,
    };
    let connections = state.connections.clone();
    let server = HttpServer::new(move || App::new().app_data(state.clone()).configure(routes::api))
        .on_connect(move |socket, data: &mut Extensions| {
            if let Some(stream) = socket.downcast_ref::<TcpStream>() {
                data.insert(connections.open(stream));
            }
        })
        .workers(workers)
        .max_connections(settings.max_connections + CLOSING)
        .keep_alive(Duration::from_secs(settings.keep_alive_s))
        .client_request_timeout(Duration::from_secs(settings.head_timeout_s))
        // The rest of the time is the writer's and the runtime's.
        .shutdown_timeout(settings.shutdown_s.saturating_sub(3).max(1))
        .disable_signals();
    let listen = |error| ServeError::Listen { setting: "server.listen", address: settings.listen, error };
    let server = server.bind(settings.listen).map_err(listen)?;
    let address = server.addrs().first().copied().unwrap_or(settings.listen);
    Ok((server.run(), address))
}

/// Where the operator comes.
pub fn admin_server(config: &Config, state: web::Data<AppState>) -> Result<(Server, SocketAddr), ServeError> {
    let address = config.admin.listen;
    let server = HttpServer::new(move || App::new().app_data(state.clone()).configure(routes::admin))
        .workers(1)
        .max_connections(64)
        .shutdown_timeout(1)
        .disable_signals();
    let listen = |error| ServeError::Listen { setting: "admin.listen", address, error };
    let server = server.bind(address).map_err(listen)?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((server.run(), bound))
}
