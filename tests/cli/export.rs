//! `export`: the same events as over HTTP, in a file.

use std::os::unix::fs::PermissionsExt as _;

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::shell::{self, caller, key, merchant};
use crate::support::exports::Exported;
use crate::support::process::{ServeProcess, run_json};
use crate::support::service::Setup;
use crate::support::{Backend, on_both_databases};

on_both_databases! {
    async fn the_command_writes_what_the_endpoint_answers(backend: Backend) {
        let database = backend.database();
        let merchant = merchant(&database);
        let (live, test) = (key(&database, &["--merchant", &merchant]),
            key(&database, &["--merchant", &merchant, "--mode", "test"]));
        let service = ServeProcess::start(&database);
        let [live, test] = [live, test].map(|issued| caller(&service.base, issued));
        for (caller, order) in [(&live, "=O-1"), (&live, "O-2"), (&test, "O-test")] {
            let event = json!({"externalOrderId": order, "amount": "1", "currency": "USD", "metadata": {"a": "x,\"y\""}});
            assert_eq!(caller.post(&event).await.word(), "ACCEPTED");
            tokio::time::sleep(TimeDelta::milliseconds(2).to_std().unwrap()).await;
        }
        Setup::new(&database, "").age_events();
        let export = |arguments: &[&str]| {
            shell::run(&database, &[&["export", "--merchant", &merchant], arguments].concat()).done().out
        };
        for (caller, mode) in [(&live, "live"), (&test, "test")] {
            for (query, further) in [("ndjson", vec!["ndjson"]), ("csv&safe=true", vec!["csv"]), ("csv", vec!["csv", "--exact"])] {
                let answer = caller.get(&format!("/api/v1/exports/events?format={query}")).await;
                let arguments = [vec!["--mode", mode, "--format"], further].concat();
                assert_eq!(export(&arguments), answer.text, "{mode} {query}");
            }
        }
        let all = Exported::of_text(&export(&[]));
        assert_eq!(all.orders(), ["=O-1", "O-2"]);
        assert!(export(&["--format", "csv"]).contains(",'=O-1,"), "a person may open it in a spreadsheet");
        let second = all.events[1]["received_at"].as_str().unwrap();
        assert_eq!(Exported::of_text(&export(&["--from", second])).orders(), ["O-2"]);
        let early = Exported::of_text(&export(&["--to", second]));
        assert_eq!((early.orders(), early.is_complete), (vec!["=O-1"], false));
        assert!(Exported::of_text(&export(&["--to", "2000-01-01T00:00:00Z"])).is_complete);
        // A cursor leads on in either place.
        assert_eq!(Exported::of_text(&export(&["--cursor", &all.cursor])).orders(), Vec::<&str>::new());
        let answer = live.get(&format!("/api/v1/exports/events?cursor={}", all.cursor)).await;
        assert_eq!(Exported::of(&answer).cursor, all.cursor);
    }

    async fn a_file_is_its_owners_alone_and_nothing_is_written_through_a_link(backend: Backend) {
        let database = backend.database();
        let merchant = merchant(&database);
        let (folder, victim) = (database.folder(), database.folder().join("victim"));
        std::fs::write(&victim, "precious").unwrap();
        for name in ["events.ndjson", "events.ndjson.part"] {
            std::os::unix::fs::symlink(&victim, folder.join(name)).unwrap();
        }
        let file = folder.join("events.ndjson");
        let arguments = ["export", "--merchant", &merchant, "--output", file.to_str().unwrap()];
        shell::run(&database, &arguments).done();
        let status = std::fs::symlink_metadata(&file).unwrap();
        assert!(status.is_file(), "the link is replaced");
        assert_eq!(status.permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        // One that stands there already is replaced by one of the same kind.
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        shell::run(&database, &arguments).done();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(files(&folder, "events"), ["events.ndjson", "events.ndjson.part"]);
    }

    async fn a_file_appears_when_it_is_complete(backend: Backend) {
        let database = backend.database();
        let merchant = merchant(&database);
        let mut setup = Setup::new(&database, "");
        setup.fill_events(merchant.parse().unwrap(), 1_000, 10);
        let file = database.folder().join("events.ndjson");
        let path = file.to_str().unwrap();
        let arguments = ["export", "--merchant", &merchant, "--output", path];
        // The last page cannot be read.
        setup.execute("UPDATE events SET attribution = 'attributed' WHERE order_id = 'F-1000'");
        shell::run(&database, &arguments).failed_saying(&["is not readable"]);
        assert_eq!(files(&database.folder(), "events"), Vec::<String>::new());
        setup.execute("UPDATE events SET attribution = 'unattributed'");
        let result = run_json(&database, &arguments);
        assert_eq!(files(&database.folder(), "events"), ["events.ndjson"]);
        let written = Exported::of_text(&std::fs::read_to_string(&file).unwrap());
        assert_eq!(result, json!({"file": path, "events": 1_000, "next_cursor": written.cursor, "complete": false}));
        assert_eq!(written.events.len(), 1_000);
        let said = shell::run(&database, &arguments).done().out;
        assert!(said.contains("1000 events") && said.contains(&written.cursor), "{said}");
        for (to, words) in [("2000-01-01T00:00:00Z", ", complete,"), ("2999-01-01T00:00:00Z", ", incomplete: more")] {
            let said = shell::run(&database, &[&arguments[..], &["--to", to]].concat()).done().out;
            assert!(said.contains(words), "{said}");
        }
    }

    async fn wrong_usage_is_told_apart_from_failure(backend: Backend) {
        let database = backend.database();
        let merchant = merchant(&database);
        let cursor = Exported::of_text(&shell::run(&database, &["export", "--merchant", &merchant]).done().out).cursor;
        for (arguments, words) in [
            (&["--format", "xml"][..], &["ndjson or csv"][..]),
            (&["--from", "2026"], &["RFC 3339"]),
            (&["--from", "2026-01-02T00:00:00Z", "--to", "2026-01-02T00:00:00Z"], &["--to"]),
            (&["--cursor", "x"], &["--cursor"]),
            (&["--cursor", "-3x"], &["--cursor"]),
            (&["--cursor", &cursor, "--mode", "test"], &["--cursor", "--mode"]),
        ] {
            shell::run(&database, &[&["export", "--merchant", &merchant], arguments].concat()).misused_saying(words);
        }
        let unknown = "mer_01k86r3hkvfyh8z0rff08k4yyf";
        shell::run(&database, &["export", "--merchant", unknown]).failed_saying(&["no merchant", unknown]);
        let nowhere = ["export", "--merchant", &merchant, "--output", "/nowhere/file"];
        shell::run(&database, &nowhere).failed_saying(&["/nowhere/file"]);
        let _: Value = run_json(&database, &["export", "--merchant", &merchant]);
    }
}

fn files(folder: &std::path::Path, beginning: &str) -> Vec<String> {
    let names =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(beginning)).collect()
}
