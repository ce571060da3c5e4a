//! Programs of others that tests run: interpreters, curl.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

/// The first of these that is installed; `None` and a word where none is.
pub fn installed(names: &[&'static str]) -> Option<&'static str> {
    // Not every shell knows --version: that it starts is enough.
    let found = names.iter().find(|name| Command::new(name).arg("--version").output().is_ok());
    if found.is_none() {
        let required = std::env::var("CONVERSIOND_TEST_SAMPLES").is_ok_and(|value| value == "require");
        assert!(!required, "CONVERSIOND_TEST_SAMPLES=require, but {} is not installed", names[0]);
        // Past the test runner's capture: what is skipped must be seen.
        let _ = writeln!(std::io::stderr(), "skipped: {} is not installed", names[0]);
    }
    found.copied()
}

/// Whether a program that a kind of fault needs is there and succeeds with these arguments; a word where it
/// does not, and a failure under `CONVERSIOND_TEST_FAULTS=require`.
pub fn runs_for_faults(name: &str, arguments: &[&str]) -> bool {
    let found = Command::new(name).args(arguments).output().is_ok_and(|output| output.status.success());
    if !found {
        missing_for_faults(&format!("{name} does not run here"));
    }
    found
}

/// A program that a kind of fault needs, wherever it is installed; `None` and a word where it is not.
pub fn for_faults(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Servers' folders are in root's path alone.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = folders.map(|folder| folder.join(name)).find(|program| program.is_file());
    if found.is_none() {
        missing_for_faults(&format!("{name} ({package}) is not installed"));
    }
    found
}

/// Says that a kind of fault cannot be tried here; a failure under `CONVERSIOND_TEST_FAULTS=require`.
pub fn missing_for_faults(what: &str) {
    let required = std::env::var("CONVERSIOND_TEST_FAULTS").is_ok_and(|value| value == "require");
    assert!(!required, "CONVERSIOND_TEST_FAULTS=require, but {what}");
    skipped(what);
}

/// Says why a test is skipped, past the test runner's capture.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// Makes a command's own way to the service: no proxy of this environment's is in between.
pub fn without_proxies(command: &mut Command) -> &mut Command {
    for variable in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(variable);
    }
    command
}
