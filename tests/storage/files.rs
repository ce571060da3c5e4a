//! Whether SQLite's files are still those that are open, while others work on them.

use std::sync::atomic::{AtomicBool, Ordering};

use conversiond::storage::{AnyConnection, Connector, Purpose, migrate};
use diesel::connection::SimpleConnection as _;

use crate::support::{Backend, TestDatabase};

fn connect(database: &TestDatabase) -> AnyConnection {
    Connector::new(database.config("").database).connect(Purpose::Write).unwrap()
}

#[test]
fn whoever_writes_empties_the_log_or_vacuums_beside_the_service_takes_nothing_away() {
    let database = Backend::Sqlite.database();
    let mut connector = Connector::new(database.config("").database);
    let files = connector.hold_files().unwrap().unwrap();
    let mut connection = connector.connect(Purpose::Write).unwrap();
    migrate::run(&mut connection).unwrap();
    connection.batch_execute("CREATE TABLE filler (content BLOB)").unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut looks = 0;
                    while !over.load(Ordering::Relaxed) {
                        files.verify().unwrap();
                        looks += 1;
                    }
                    looks
                })
            })
            .collect();
        let mut other = connect(&database);
        for round in 0..100 {
            connection.batch_execute("INSERT INTO filler VALUES (randomblob(200000))").unwrap();
            other.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
            if round % 10 == 9 {
                other.batch_execute("DELETE FROM filler; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
            }
        }
        over.store(true, Ordering::Relaxed);
        assert!(looking.into_iter().all(|thread| thread.join().unwrap() > 0));
    });
    files.verify().unwrap();
}

#[test]
fn a_connection_of_the_service_makes_no_file_and_opens_no_other_one() {
    let database = Backend::Sqlite.database();
    let file = database.folder().join("test.db");
    let mut connector = Connector::new(database.config("").database);
    let files = connector.hold_files().unwrap().unwrap();
    for purpose in [Purpose::Read, Purpose::Write, Purpose::Housekeeping] {
        connector.connect(purpose).unwrap();
    }
    let away = database.folder().join("away");
    std::fs::rename(&file, &away).unwrap();
    let refused = connector.connect(Purpose::Write).err().unwrap().to_string();
    assert!(refused.contains("was moved while it was in use, to") && refused.contains("away"), "{refused}");
    assert!(!file.exists());
    std::fs::write(&file, "").unwrap();
    let refused = connector.connect(Purpose::Write).err().unwrap().to_string();
    assert!(refused.contains("was replaced by another file"), "{refused}");
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 0);
    std::fs::rename(&away, &file).unwrap();
    connector.connect(Purpose::Write).unwrap();
    files.finish().unwrap();
}

#[test]
fn a_symbolic_link_to_the_database_that_leads_elsewhere_by_now_is_not_followed() {
    let database = Backend::Sqlite.database();
    let link = database.folder().join("link.db");
    let real = database.folder().join("re?al%20#.db");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    std::fs::write(&real, "").unwrap();
    let by_link = database.at_url(format!("sqlite:{}", link.display()));
    let mut connector = Connector::new(by_link.config("").database);
    let files = connector.hold_files().unwrap().unwrap();
    connector.connect(Purpose::Write).unwrap();
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(database.folder().join("other.db"), &link).unwrap();
    assert!(files.verify().is_err() && connector.connect(Purpose::Write).is_err());
    assert!(!database.folder().join("other.db").exists());
}

/// What is said of a service's files holds for it alone: commands beside it are not told of them.
#[test]
fn a_command_beside_the_service_makes_a_database_as_ever() {
    let database = Backend::Sqlite.database();
    drop(connect(&database));
    assert!(database.folder().join("test.db").exists());
}
