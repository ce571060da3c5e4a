//! The command line (contract section 11): a file per command.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage. Results go to standard output, logs and errors to
//! standard error.

mod attempts;
mod context;
mod demo;
mod diagnose;
mod doctor;
mod erase;
mod explain;
mod export;
mod files;
mod health;
mod input;
mod key;
mod master_key;
mod merchant;
mod migrate;
mod openapi;
mod output;
mod reconcile;
mod report;
mod serve;
mod sign;
mod signals;
mod token;
mod token_key;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use context::Context;

/// Takes signed conversion callbacks and records each business event exactly once.
#[derive(Debug, Parser)]
#[command(name = "conversiond", version, about, arg_required_else_help = true)]
pub struct Cli {
    /// A configuration file over the defaults (see `conversiond serve --print-config`).
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Results as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service.
    Serve(serve::Serve),
    /// Bring the database's schema up to date.
    Migrate,
    /// Check configuration, database, durability and clock, and say what to do.
    Doctor,
    /// Ask the running service whether it is ready (for HEALTHCHECK).
    Health,
    /// Merchants and their settings.
    #[command(subcommand)]
    Merchant(merchant::Merchant),
    /// API keys and their secrets.
    #[command(subcommand)]
    Key(key::Key),
    /// Click tokens.
    #[command(subcommand)]
    Token(token::Token),
    /// The keys that click tokens are made with.
    #[command(subcommand)]
    TokenKey(token_key::TokenKey),
    /// The key that secrets are encrypted with.
    #[command(subcommand)]
    MasterKey(master_key::MasterKey),
    /// Print the headers that sign a request.
    Sign(sign::Sign),
    /// Say which mistake a refused signature is.
    Diagnose(diagnose::Diagnose),
    /// Print the description of the API that `GET /openapi.json` serves.
    Openapi,
    /// Show the journal: every request to a writing endpoint, whatever became of it.
    Attempts(attempts::Attempts),
    /// Hold a merchant's books against what is recorded.
    Reconcile(reconcile::Reconcile),
    /// Show what a merchant's events come to, by time and by link.
    Report(report::Report),
    /// Write all of a merchant's events to a file, oldest first; a cursor leads on from there.
    Export(export::Export),
    /// Say why an event, an attempt or an order is as it is.
    Explain(explain::Explain),
    /// Erase an order's personal data; its figures stay.
    Erase(erase::Erase),
}

/// What went wrong, in words for the operator.
type Failure = Box<dyn std::error::Error>;

/// Wrong usage that the parser does not see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(&'static str);

/// The exit code of wrong usage, as the parser's own.
const USAGE_CODE: u8 = 2;

/// Runs a command.
pub fn run(cli: Cli) -> ExitCode {
    let result = Context::new(cli.config.as_deref(), cli.json).and_then(|context| match cli.command {
        Command::Serve(command) => command.run(context),
        Command::Migrate => migrate::run(&context),
        Command::Doctor => doctor::run(&context),
        Command::Health => health::run(&context),
        Command::Merchant(command) => command.run(&context),
        Command::Key(command) => command.run(&context),
        Command::Token(command) => command.run(&context),
        Command::TokenKey(command) => command.run(&context),
        Command::MasterKey(command) => command.run(&context),
        Command::Sign(command) => command.run(&context),
        Command::Diagnose(command) => command.run(&context),
        Command::Openapi => openapi::run(&context),
        Command::Attempts(command) => command.run(&context),
        Command::Reconcile(command) => command.run(&context),
        Command::Report(command) => command.run(&context),
        Command::Export(command) => command.run(&context),
        Command::Explain(command) => command.run(&context),
        Command::Erase(command) => command.run(&context),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::error(&failure.to_string());
            if failure.is::<Usage>() { USAGE_CODE.into() } else { ExitCode::FAILURE }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
