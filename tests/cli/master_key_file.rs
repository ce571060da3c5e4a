//! The master key where the environment gives none.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::shell::{finish, run};
use crate::support::process::command;
use crate::support::service::MASTER_KEY;
use crate::support::{Backend, TestDatabase};

fn without_key(database: &TestDatabase, arguments: &[&str]) -> Command {
    let mut command = command(database, arguments);
    command.env_remove("CONVERSIOND_MASTER_KEY");
    command
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn key_files(database: &TestDatabase) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(database.folder()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("master-key")).collect()
}

#[test]
fn on_sqlite_a_key_is_made_beside_the_database_for_its_owner_alone() {
    let database = Backend::Sqlite.database();
    finish(without_key(&database, &["key", "create", "--operator"])).done();
    let made = key_files(&database);
    assert_eq!(made, [database.folder().join("test.db.master-key")]);
    assert_eq!(mode(&made[0]), 0o600);
    let text = std::fs::read_to_string(&made[0]).unwrap();
    let ran = finish(without_key(&database, &["doctor"])).done();
    assert!(!ran.out.contains(text.trim()));
    // The same key is found again: every secret still opens.
    finish(without_key(&database, &["key", "create", "--operator"])).done();
    finish(without_key(&database, &["doctor"])).done();
    assert_eq!(std::fs::read_to_string(&made[0]).unwrap(), text);
}

#[test]
fn commands_that_start_together_agree_on_one_made_key() {
    for _ in 0..5 {
        let database = Backend::Sqlite.database();
        let children: Vec<_> = (0..4)
            .map(|_| {
                let mut command = without_key(&database, &["key", "create", "--operator"]);
                command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        assert_eq!(key_files(&database).len(), 1);
        finish(without_key(&database, &["doctor"])).done();
    }
}

#[test]
fn a_key_file_that_others_may_read_is_refused() {
    let database = Backend::Sqlite.database();
    finish(without_key(&database, &["key", "create", "--operator"])).done();
    let file = database.folder().join("test.db.master-key");
    for (mode, refused) in [(0o644, true), (0o604, true), (0o602, true), (0o600, false), (0o400, false)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let ran = finish(without_key(&database, &["key", "create", "--operator"]));
        if refused {
            ran.failed_saying(&["test.db.master-key", "chmod 600"]);
            let serve = finish(without_key(&database, &["serve"]));
            assert_eq!(serve.code, Some(1), "{serve:?}");
            assert!(serve.err.contains("chmod 600"), "{serve:?}");
        } else {
            assert!(!ran.done().err.contains("chmod"));
        }
    }
}

#[test]
fn a_key_file_that_its_group_may_read_is_taken_with_a_warning() {
    let database = Backend::Sqlite.database();
    finish(without_key(&database, &["key", "create", "--operator"])).done();
    let file = database.folder().join("test.db.master-key");
    for mode in [0o640, 0o660, 0o620] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let ran = finish(without_key(&database, &["key", "create", "--operator"])).done();
        assert!(ran.err.contains("its group may read it; run: chmod 600"), "{ran:?}");
        let ran = finish(without_key(&database, &["doctor"])).done();
        assert!(ran.out.contains("its group may read it: chmod 600"), "{ran:?}");
    }
}

#[test]
fn a_key_file_can_be_named_and_the_environment_wins_over_it() {
    for backend in crate::shell::backends() {
        let database = backend.database();
        let file = database.folder().join("ring");
        std::fs::write(&file, format!("{MASTER_KEY}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let named = |arguments: &[&str]| {
            let mut command = without_key(&database, arguments);
            command.env("CONVERSIOND__SECURITY__MASTER_KEY_FILE", &file);
            command
        };
        finish(named(&["key", "create", "--operator"])).done();
        run(&database, &["doctor"]).done();
        assert!(key_files(&database).is_empty(), "no key is made where one is given");
        std::fs::write(&file, "nonsense").unwrap();
        finish(named(&["key", "create", "--operator"])).failed_saying(&["ring", "base64 of 32 bytes"]);
        let mut both = named(&["key", "create", "--operator"]);
        both.env("CONVERSIOND_MASTER_KEY", MASTER_KEY);
        finish(both).done();
        std::fs::remove_file(&file).unwrap();
        finish(named(&["key", "create", "--operator"])).failed_saying(&["ring", "No such file"]);
    }
}

#[test]
fn postgres_without_a_master_key_says_what_to_do() {
    let Some(backend) = Backend::postgres() else { return };
    let database = backend.database();
    let words = ["CONVERSIOND_MASTER_KEY", "openssl rand -base64 32", "security.master_key_file"];
    finish(without_key(&database, &["serve"])).failed_saying(&words);
    finish(without_key(&database, &["key", "create", "--operator"])).failed_saying(&words);
    let doctor = finish(without_key(&database, &["doctor"]));
    assert_eq!(doctor.code, Some(1), "{doctor:?}");
    assert!(words.iter().all(|word| doctor.out.contains(word)), "{doctor:?}");
    // What needs no secret works without.
    finish(without_key(&database, &["migrate"])).done();
    finish(without_key(&database, &["merchant", "list"])).done();
}

#[test]
fn a_key_is_not_made_by_looking() {
    let database = Backend::Sqlite.database();
    let ran = finish(without_key(&database, &["doctor"]));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(std::fs::read_dir(database.folder()).unwrap().count(), 0);
}
