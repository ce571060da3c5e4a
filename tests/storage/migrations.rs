//! The schema: equal on both databases, reversible, safe from several instances at once.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::Duration;

use conversiond::storage::{AnyConnection, Connector, Purpose, migrate};
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, QueryableByName, RunQueryDsl as _, SqliteConnection, sql_query, sql_types};

use crate::support::{Backend, TestDatabase, on_both_databases};

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = sql_types::Text)]
    table_name: String,
    #[diesel(sql_type = sql_types::Text)]
    column_name: String,
    #[diesel(sql_type = sql_types::Bool)]
    nullable: bool,
}

fn connect(database: &TestDatabase) -> AnyConnection {
    Connector::new(database.config("").database).connect(Purpose::Write).unwrap()
}

/// Tables, columns and whether they may be NULL.
fn catalogue(connection: &mut AnyConnection) -> BTreeSet<(String, String, bool)> {
    let columns: Vec<Column> = match connection {
        AnyConnection::Postgres(c) => sql_query(
            "SELECT table_name::text, column_name::text, is_nullable = 'YES' AS nullable \
             FROM information_schema.columns WHERE table_schema = 'public'",
        )
        .load(c)
        .unwrap(),
        AnyConnection::Sqlite(c) => sql_query(
            "SELECT t.name AS table_name, c.name AS column_name, c.\"notnull\" = 0 AS nullable \
             FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type = 'table'",
        )
        .load(c)
        .unwrap(),
    };
    columns
        .into_iter()
        .filter(|column| {
            !column.table_name.starts_with("__diesel") && !column.table_name.starts_with("sqlite")
        })
        .filter(|column| column.table_name != "conversiond_migration_lock")
        .map(|column| (column.table_name, column.column_name, column.nullable))
        .collect()
}

on_both_databases! {
    async fn migrating_down_and_up_again_gives_the_same_schema(backend: Backend) {
        let database = backend.database();
        let mut connection = connect(&database);
        assert_eq!(migrate::run(&mut connection).unwrap().len(), migrate::count());
        let first = catalogue(&mut connection);
        assert!(first.len() > 40, "{first:?}");
        for _ in 0..migrate::count() {
            migrate::revert_last(&mut connection).unwrap();
        }
        assert_eq!(catalogue(&mut connection), BTreeSet::new());
        migrate::run(&mut connection).unwrap();
        assert_eq!(catalogue(&mut connection), first);
        assert_eq!(migrate::run(&mut connection).unwrap(), Vec::<String>::new());
    }

    async fn several_instances_migrate_an_empty_database_at_once(backend: Backend) {
        for _ in 0..5 {
            let database = backend.database();
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let database = database.clone();
                    std::thread::spawn(move || migrate::run(&mut connect(&database)).unwrap().len())
                })
                .collect();
            let applied: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
            assert_eq!(applied, migrate::count());
            assert!(migrate::pending(&mut connect(&database)).unwrap().is_empty());
        }
    }
}

#[test]
fn both_databases_have_the_same_tables_columns_and_nullability() {
    if Backend::postgres().is_none() {
        return;
    }
    let of = |backend: Backend| {
        let database = backend.database();
        let mut connection = connect(&database);
        migrate::run(&mut connection).unwrap();
        catalogue(&mut connection)
    };
    assert_eq!(of(Backend::Sqlite), of(Backend::Postgres));
}

#[test]
fn both_databases_have_migrations_of_the_same_names() {
    let names = |folder: &str| -> BTreeSet<String> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
        let entries = std::fs::read_dir(path).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(names("sqlite"), names("postgres"));
}

/// SQLite's own time limit does not hold for the step to WAL: a file that another one holds is
/// "locked" at once. Commands that start together on a new file failed by it.
#[test]
fn a_new_sqlite_file_that_another_one_is_preparing_is_waited_for() {
    let database = Backend::Sqlite.database();
    let path = database.folder().join("test.db");
    let mut other = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    other.batch_execute("CREATE TABLE other (id INTEGER); BEGIN IMMEDIATE").unwrap();
    let (opened, open) = mpsc::channel();
    std::thread::scope(|scope| {
        let database = &database;
        scope.spawn(move || {
            connect(database);
            opened.send(()).unwrap();
        });
        assert!(open.recv_timeout(Duration::from_millis(200)).is_err(), "opened though it was held");
        other.batch_execute("COMMIT").unwrap();
        open.recv_timeout(Duration::from_secs(10)).unwrap();
    });
}
