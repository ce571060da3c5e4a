//! Everything that a database holds, as text.

use conversiond::storage::AnyConnection;
use diesel::{QueryableByName, RunQueryDsl as _, sql_query, sql_types};

use super::service::Setup;

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = sql_types::Text)]
    line: String,
}

impl Setup {
    /// A query's rows, whose one column is called `line`.
    pub fn lines(&mut self, sql: &str) -> Vec<String> {
        let found: Vec<Line> = match &mut self.connection {
            AnyConnection::Postgres(c) => sql_query(sql).load(c).unwrap(),
            AnyConnection::Sqlite(c) => sql_query(sql).load(c).unwrap(),
        };
        found.into_iter().map(|one| one.line).collect()
    }

    /// Every row of every table, each behind its table's name.
    pub fn dump(&mut self) -> Vec<String> {
        let is_postgres = matches!(self.connection, AnyConnection::Postgres(_));
        let tables = self.lines(if is_postgres {
            "SELECT tablename::text AS line FROM pg_tables WHERE schemaname = 'public'"
        } else {
            "SELECT name AS line FROM sqlite_schema WHERE type = 'table'"
        });
        assert!(tables.len() > 10, "{tables:?}");
        let mut dump = Vec::new();
        for table in tables {
            let row = if is_postgres {
                "t::text".to_owned()
            } else {
                let columns = self.lines(&format!(
                    "SELECT 'quote(' || name || ')' AS line FROM pragma_table_info('{table}')"
                ));
                columns.join(" || ',' || ")
            };
            let rows = self.lines(&format!("SELECT {row} AS line FROM {table} t"));
            dump.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
        }
        dump
    }
}
