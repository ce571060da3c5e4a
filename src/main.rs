//! The binary: parse the command line, run, exit code. Everything else is in the library.

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    conversiond::cli::run(conversiond::cli::Cli::parse())
}
