//! Where settings come from, and what is said about wrong ones.

use std::process::Command;

use crate::shell::{finish, run};
use crate::support::process::{BINARY, command};
use crate::support::{Backend, TestDatabase};

/// A command without any setting in its environment.
fn bare(database: &TestDatabase, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments).current_dir(database.folder()).env_clear();
    command
}

fn with(database: &TestDatabase, variable: &str, value: &str) -> Command {
    let mut command = command(database, &["migrate"]);
    command.env(variable, value);
    command
}

#[test]
fn an_unknown_setting_in_the_file_is_named_with_the_nearest_known_one() {
    let database = Backend::Sqlite.database();
    std::fs::write(database.folder().join("c.toml"), "[server]\nlistne = \"127.0.0.1:1\"\n").unwrap();
    run(&database, &["--config", "c.toml", "migrate"])
        .failed_saying(&["unknown key server.listne", "did you mean server.listen?"]);
    assert!(!database.folder().join("test.db").exists());
}

#[test]
fn an_unknown_setting_in_the_environment_is_named_with_the_nearest_known_one() {
    let database = Backend::Sqlite.database();
    for (variable, words) in [
        ("CONVERSIOND__DATABASE__URI", ["database.uri", "did you mean database.url?"]),
        ("CONVERSIOND__TELEMETRY__LOGFORMAT", ["telemetry.logformat", "did you mean telemetry.log_format?"]),
        ("CONVERSIOND__SERVER__SHUTDOWN", ["server.shutdown", "did you mean server.shutdown_s?"]),
    ] {
        finish(with(&database, variable, "1")).failed_saying(&words);
    }
}

#[test]
fn a_missing_or_unreadable_configuration_file_is_an_error() {
    let database = Backend::Sqlite.database();
    std::fs::write(database.folder().join("broken.toml"), "[server\n").unwrap();
    run(&database, &["migrate", "--config", "nowhere.toml"]).failed_saying(&["nowhere.toml", "no such file"]);
    run(&database, &["migrate", "--config", "."]).failed_saying(&["configuration: "]);
    run(&database, &["migrate", "--config", "broken.toml"]).failed_saying(&["configuration: "]);
}

#[test]
fn a_database_of_another_kind_is_refused_without_showing_its_password() {
    let database = Backend::Sqlite.database();
    for url in
        ["mysql://me:hunter2@db/x", "postgre://me:hunter2@db/x", "test.db", "sqlite://test.db", "sqlite:"]
    {
        let ran = finish(with(&database, "CONVERSIOND__DATABASE__URL", url)).failed_saying(&[
            "database.url",
            "sqlite:PATH",
            "postgres://",
        ]);
        assert!(!ran.err.contains("hunter2"), "{}", ran.err);
    }
    assert_eq!(std::fs::read_dir(database.folder()).unwrap().count(), 0);
}

#[test]
fn a_value_outside_its_limits_is_refused_and_named() {
    let database = Backend::Sqlite.database();
    for (variable, value, words) in [
        ("CONVERSIOND__SIGNATURE__TOLERANCE_S", "29", ["signature.tolerance_s", "30 and 900"]),
        ("CONVERSIOND__KEYS__REFRESH_S", "5", ["keys.refresh_s", "1 and 4"]),
        ("CONVERSIOND__TELEMETRY__LOG_FORMAT", "xml", ["log_format", "json"]),
        ("CONVERSIOND__SERVER__LISTEN", "localhost", ["server.listen", "invalid"]),
        ("CONVERSIOND__SERVER__TRUSTED_PROXIES", "[\"10.0.0.0/33\"]", ["trusted_proxies", "invalid"]),
    ] {
        let mut ran = finish(with(&database, variable, value));
        // A key in the environment is shown as it is written there.
        ran.err = ran.err.to_lowercase();
        ran.failed_saying(&words);
    }
}

#[test]
fn an_unusable_log_level_is_refused_when_the_service_starts() {
    let database = Backend::Sqlite.database();
    let mut serve = command(&database, &["serve"]);
    serve.env("CONVERSIOND__TELEMETRY__LOG_LEVEL", "lo=ud=er");
    finish(serve).failed_saying(&["telemetry.log_level"]);
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let database = Backend::Sqlite.database();
    let folder = database.folder();
    std::fs::write(folder.join("c.toml"), "[database]\nurl = \"sqlite:from-file.db\"\n").unwrap();
    finish(bare(&database, &["migrate"])).done();
    assert!(folder.join("data/conversiond.db").is_file(), "the default is below the working folder");
    finish(bare(&database, &["--config", "c.toml", "migrate"])).done();
    assert!(folder.join("from-file.db").is_file());
    let mut both = bare(&database, &["--config", "c.toml", "migrate"]);
    both.env("CONVERSIOND__DATABASE__URL", "sqlite:from-environment.db");
    finish(both).done();
    assert!(folder.join("from-environment.db").is_file());
}

#[test]
fn the_printed_settings_are_a_file_that_changes_nothing() {
    let database = Backend::Sqlite.database();
    let printed = run(&database, &["serve", "--print-config"]).done();
    for setting in ["server.listen", "server.trusted_proxies", "admin.listen", "database.url", "log_format"] {
        let name = setting.rsplit('.').next().unwrap();
        assert!(printed.out.lines().any(|line| line.starts_with(&format!("{name} = "))), "{setting}");
    }
    std::fs::write(database.folder().join("printed.toml"), &printed.out).unwrap();
    run(&database, &["--config", "printed.toml", "migrate"]).done();
}
