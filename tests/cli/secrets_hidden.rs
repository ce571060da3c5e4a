//! No command says any part of a password or a key, however it is configured wrongly; and what it prints
//! shows itself.

use std::process::{Command, Stdio};

use conversiond::domain::signature::Form;
use serde_json::json;

use crate::shell::{Ran, caller, finish, key, merchant, run};
use crate::support::process::{ServeProcess, command};
use crate::support::{Backend, TestDatabase};

const MARKER: &str = "Qz7KwXv9Jb3Tn5Rm";
const COMMANDS: [&[&str]; 4] =
    [&["migrate"], &["doctor", "--json"], &["serve"], &["serve", "--print-config"]];

/// A wrong configuration: variables of the environment, and a file.
struct Wrong {
    variables: Vec<(&'static str, String)>,
    file: Option<String>,
}

#[track_caller]
fn assert_hidden(ran: &Ran, what: &str) {
    let told = format!("{}{}", ran.out, ran.err);
    for part in MARKER.as_bytes().windows(4) {
        let part = std::str::from_utf8(part).unwrap();
        assert!(!told.contains(part), "{what}: {part} in {told}");
    }
}

fn check(database: &TestDatabase, wrong: &Wrong) {
    let what = format!("{:?} {:?}", wrong.variables, wrong.file);
    for arguments in COMMANDS {
        let mut command: Command = command(database, arguments);
        if let Some(text) = &wrong.file {
            std::fs::write(database.folder().join("wrong.toml"), text).unwrap();
            command.args(["--config", "wrong.toml"]).env_remove("CONVERSIOND__DATABASE__URL");
            command.env_remove("CONVERSIOND__SERVER__LISTEN");
        }
        if wrong.variables.iter().any(|(name, _)| *name == "CONVERSIOND__DATABASE") {
            command.env_remove("CONVERSIOND__DATABASE__URL");
        }
        command.envs(wrong.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        let ran = finish(command);
        assert!(
            ran.code == Some(1) || arguments.contains(&"--print-config"),
            "{what}: {arguments:?} {ran:?}"
        );
        assert_hidden(&ran, &what);
    }
}

/// A port on which nobody listens.
fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn no_command_shows_any_part_of_a_password_in_a_wrong_database_url() {
    let database = Backend::Sqlite.database();
    let closed = format!("127.0.0.1:{}", closed_port());
    let broken = ["%", "%zz", "@", "/", "?", "#", ":", "[", " ", "&", "=", "%00", "\\", "'", "\"", "%41", ""];
    let in_userinfo = broken.iter().map(|sign| format!("postgres://me:{MARKER}{sign}{MARKER}@{closed}/x"));
    let in_query = broken.iter().map(|sign| format!("postgres://{closed}/x?password={MARKER}{sign}{MARKER}"));
    let others = [
        format!("postgres://me:{MARKER}/x"),
        format!("postgres://{MARKER}@me:{closed}/x"),
        format!("postgres://me:{MARKER}@no such host/x"),
        format!("postgres://me:{MARKER}@[::1/x"),
        format!("postgres://me:{MARKER}@127.0.0.1:99999/x"),
        format!("postgres://me:{MARKER}@{closed}/x?sslmode=never"),
        format!("postgres://me:{MARKER}@{closed}/x?connect_timeout={MARKER}"),
        format!("host={closed} password={MARKER}"),
        format!("mysql://me:{MARKER}@{closed}/x"),
        format!("Postgres://me:{MARKER}@{closed}/x"),
        MARKER.to_owned(),
        format!("[\"{MARKER}\"]"),
        format!("{{ password = \"{MARKER}\" }}"),
    ];
    for url in in_userinfo.chain(in_query).chain(others) {
        let variables = vec![
            ("CONVERSIOND__DATABASE__CONNECT_TIMEOUT_S", "1".to_owned()),
            ("CONVERSIOND__DATABASE__URL", url),
        ];
        check(&database, &Wrong { variables, file: None });
    }
    let variables = vec![
        ("PGPASSWORD", MARKER.to_owned()),
        ("CONVERSIOND__DATABASE__URL", format!("postgres://me@{closed}/x")),
    ];
    check(&database, &Wrong { variables, file: None });
}

#[test]
fn no_command_shows_any_part_of_a_value_or_a_line_that_it_cannot_read() {
    let database = Backend::Sqlite.database();
    let url = format!("postgres://me:{MARKER}@127.0.0.1:1/x");
    for text in [
        format!("[database]\nurl = {url}\n"),
        format!("[database]\nurl = \"{url}\n"),
        format!("[database]\nurl = \"{url}\" {MARKER}\n"),
        format!("[database]\nurl = '{url}'x\n"),
        format!("[database\nurl = \"{url}\"\n"),
        format!("[database]\nurl = [\"{url}\"]\n"),
        format!("[database]\nurl = {{ password = \"{MARKER}\" }}\n"),
        format!("[database]\nurl = \"{MARKER}\\q\"\n"),
        format!("[database]\npool_size = \"{MARKER}\"\n"),
        format!("[telemetry]\nlog_format = \"{MARKER}\"\n"),
        format!("[server]\nlisten = \"{MARKER}\"\n"),
        format!("[server]\ntrusted_proxies = [\"{MARKER}\"]\n"),
        format!("[server]\ntrusted_proxies = \"{MARKER}\"\n"),
        format!("database = \"{url}\"\n"),
    ] {
        check(&database, &Wrong { variables: Vec::new(), file: Some(text) });
    }
    for (name, value) in [
        ("CONVERSIOND__DATABASE__POOL_SIZE", MARKER.to_owned()),
        ("CONVERSIOND__DATABASE__MIGRATE", MARKER.to_owned()),
        ("CONVERSIOND__DATABASE", url.clone()),
        ("CONVERSIOND__DATABASE__PASSWORD", MARKER.to_owned()),
        ("CONVERSIOND__ADMIN__LISTEN", url.clone()),
        ("CONVERSIOND__SECURITY__MASTER_KEY", MARKER.to_owned()),
    ] {
        check(&database, &Wrong { variables: vec![(name, value)], file: None });
    }
    let mut serve = command(&database, &["serve"]);
    serve.env("CONVERSIOND__TELEMETRY__LOG_LEVEL", format!("lo={MARKER}=er"));
    assert_hidden(&finish(serve), "log level");
}

#[test]
fn no_command_shows_any_part_of_a_malformed_master_key() {
    let database = Backend::Sqlite.database();
    let padded = format!("{MARKER}{MARKER}AAAAAAAAAAA");
    for ring in [
        MARKER.to_owned(),
        format!("1:{MARKER}"),
        format!("{MARKER}:{padded}="),
        format!("1:{padded}=,1:{padded}="),
    ] {
        for arguments in [&["key", "create", "--operator"][..], &["doctor"], &["serve"]] {
            let mut command = command(&database, arguments);
            command.env("CONVERSIOND_MASTER_KEY", &ring);
            let ran = finish(command);
            assert_eq!(ran.code, Some(1), "{ran:?}");
            assert_hidden(&ran, &ring);
        }
    }
    // Where a file's name is asked for.
    let mut command = command(&database, &["key", "create", "--operator"]);
    command.env_remove("CONVERSIOND_MASTER_KEY");
    command.env("CONVERSIOND__SECURITY__MASTER_KEY_FILE", format!("1:{padded}="));
    let ran = finish(command).failed_saying(&["security.master_key_file takes a file's name"]);
    assert_hidden(&ran, "the key in place of its file's name");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_id_hides_is_shown_by_every_command_in_text_and_in_json() {
    let database = Backend::Sqlite.database();
    let merchant = merchant(&database);
    let issued = key(&database, &["--merchant", &merchant]);
    let service = ServeProcess::start(&database);
    let shop = caller(&service.base, issued);
    for (number, hidden) in ['\u{202e}', '\u{2066}', '\u{200b}', '\u{ad}', '\u{61c}'].into_iter().enumerate()
    {
        let order = format!("O{hidden}-{number}");
        let sale = json!({"event_name": "sale", "custom_data": {"order_id": order, "value": "1", "currency": "USD"}});
        let answer = shop.post(&sale).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        let status = json!({"externalOrderId": order, "status": "paid"});
        let target = "/api/v1/order-status";
        let text = status.to_string();
        let headers = shop.headers(Form::Plain, "POST", target, text.as_bytes());
        assert_eq!(shop.send("POST", target, text.as_bytes(), &headers).await.status, 202);
        let books = format!("order_id,value\n{order},2\nx{hidden}y,1\n");
        std::fs::write(database.folder().join("books.csv"), books).unwrap();
        let period = ["--from", "2000-01-01T00:00:00Z", "--to", "2100-01-01T00:00:00Z"];
        let reconcile = [&["reconcile", "books.csv", "--merchant", &merchant], &period[..]].concat();
        let of_order = ["attempts", "--order", &order];
        let listed: [&[&str]; 5] =
            [&["explain", &order], &["explain", "no\u{202e}where"], &["attempts"], &of_order, &reconcile];
        for arguments in listed {
            for form in [&[][..], &["--json"]] {
                let ran = run(&database, &[arguments, form].concat());
                let told = format!("{}{}", ran.out, ran.err);
                assert!(!told.contains(hidden) && !told.contains('\u{202e}'), "{arguments:?}: {told}");
                let escaped = match form {
                    [] => format!("\\u{{{:x}}}", u32::from(hidden)),
                    _ => format!("\\u{:04x}", u32::from(hidden)),
                };
                assert!(
                    told.contains(&escaped) || arguments[1] == "no\u{202e}where",
                    "{arguments:?}: {told}"
                );
            }
        }
    }
    run(&database, &["merchant", "set", &merchant, "--name", "Shop \u{202e}pohs"]).done();
    let listed = run(&database, &["merchant", "list"]).done().out;
    assert!(listed.contains("Shop \\u{202e}pohs") && !listed.contains('\u{202e}'), "{listed}");
    assert_eq!(
        run(&database, &["merchant", "list", "--json"]).done().json()["merchants"][0]["name"],
        "Shop \u{202e}pohs"
    );
}
