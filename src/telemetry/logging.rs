//! Log lines: JSON for machines, or human-readable, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFormat, Telemetry};

/// Installs the process's log. A second call does nothing.
///
/// # Errors
/// `telemetry.log_level` is no filter.
pub fn init(settings: &Telemetry) -> Result<(), String> {
    let filter = EnvFilter::try_new(directives(&settings.log_level)?).map_err(|_| {
        "telemetry.log_level cannot be read as a filter, such as info,conversiond=debug".to_owned()
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let installed = match settings.log_format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true).with_current_span(true)).try_init(),
        LogFormat::Human => {
            let colours = std::io::stderr().is_terminal();
            registry.with(lines.compact().with_target(false).with_ansi(colours)).try_init()
        }
    };
    if installed.is_err() {
        tracing::debug!("the log was installed before");
    }
    Ok(())
}

/// A plain level, without the web server's own remarks: those about malformed requests could be
/// made by anybody, in any number. Anything else is taken as a filter.
fn directives(level: &str) -> Result<String, String> {
    match level {
        "error" | "warn" | "info" => Ok(format!("{level},actix_server=warn,actix_http=off")),
        "debug" | "trace" => Ok(level.to_owned()),
        filter if filter.contains(['=', ',']) => Ok(filter.to_owned()),
        _ => Err("telemetry.log_level must be error, warn, info, debug or trace, or a filter".to_owned()),
    }
}
