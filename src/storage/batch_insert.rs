//! Inserting a batch of rows: on PostgreSQL in one statement of constant text (`unnest`), on SQLite
//! in one statement of constant text run once per row. Either is prepared once per connection.
//!
//! `SELECT unnest(…), unnest(…)` goes through the arrays side by side. `SELECT * FROM unnest(…, …)` says
//! the same, but writes each of them out as a table first: a quarter of an insert's time.

/// Makes `InsertBatch` (PostgreSQL) and `InsertOne` (SQLite) of one list of columns.
///
/// Each line of the list: column, its type in Rust, its type in SQL, the array's cast on PostgreSQL,
/// and how the value is read off a row, whose fields have the columns' names. The text after the list is what follows the values; its
/// columns, if it returns any, have the type after `returning`.
macro_rules! batch_insert {
    (
        $row:ident into $table:literal returning $returned:ty {
            $($column:ident: $rust:ty => $sql:ty, $cast:literal, $read:expr;)*
        }
        $conflict:expr
    ) => {
        /// The whole batch.
        pub struct InsertBatch<'a> {
            $($column: Vec<$rust>,)*
        }

        impl<'a> InsertBatch<'a> {
            /// The statement for these rows.
            pub fn new(rows: &'a [$row<'a>]) -> Self {
                Self { $($column: rows.iter().map($read).collect(),)* }
            }
        }

        impl ::diesel::query_builder::QueryFragment<::diesel::pg::Pg> for InsertBatch<'_> {
            fn walk_ast<'b>(
                &'b self,
                mut out: ::diesel::query_builder::AstPass<'_, 'b, ::diesel::pg::Pg>,
            ) -> ::diesel::QueryResult<()> {
                out.push_sql(concat!("INSERT INTO ", $table, " ("));
                let mut separator = "";
                $(
                    out.push_sql(separator);
                    out.push_sql(stringify!($column));
                    separator = ", ";
                )*
                out.push_sql(") SELECT ");
                separator = "unnest(";
                $(
                    out.push_sql(separator);
                    out.push_bind_param::<::diesel::sql_types::Array<$sql>, _>(&self.$column)?;
                    out.push_sql($cast);
                    separator = "), unnest(";
                )*
                let _ = separator;
                out.push_sql(") ");
                out.push_sql($conflict);
                Ok(())
            }
        }

        impl ::diesel::query_builder::QueryId for InsertBatch<'_> {
            type QueryId = InsertBatch<'static>;
            const HAS_STATIC_QUERY_ID: bool = true;
        }

        impl ::diesel::query_builder::Query for InsertBatch<'_> {
            type SqlType = $returned;
        }

        impl ::diesel::RunQueryDsl<::diesel::PgConnection> for InsertBatch<'_> {}

        /// One row; with `ONLY_NEW` only if there is none with its key. That returns nothing, and what
        /// returns nothing costs SQLite a third less.
        pub struct InsertOne<'a, const ONLY_NEW: bool>(pub &'a $row<'a>);

        impl<const ONLY_NEW: bool> ::diesel::query_builder::QueryFragment<::diesel::sqlite::Sqlite> for InsertOne<'_, ONLY_NEW> {
            fn walk_ast<'b>(
                &'b self,
                mut out: ::diesel::query_builder::AstPass<'_, 'b, ::diesel::sqlite::Sqlite>,
            ) -> ::diesel::QueryResult<()> {
                out.push_sql(concat!("INSERT INTO ", $table, " ("));
                let mut separator = "";
                $(
                    out.push_sql(separator);
                    out.push_sql(stringify!($column));
                    separator = ", ";
                )*
                out.push_sql(") VALUES (");
                separator = "";
                $(
                    out.push_sql(separator);
                    out.push_bind_param::<$sql, _>(&self.0.$column)?;
                    separator = ", ";
                )*
                let _ = separator;
                out.push_sql(") ");
                out.push_sql(if ONLY_NEW { "ON CONFLICT DO NOTHING" } else { $conflict });
                Ok(())
            }
        }

        impl<const ONLY_NEW: bool> ::diesel::query_builder::QueryId for InsertOne<'_, ONLY_NEW> {
            type QueryId = InsertOne<'static, ONLY_NEW>;
            const HAS_STATIC_QUERY_ID: bool = true;
        }

        impl<const ONLY_NEW: bool> ::diesel::query_builder::Query for InsertOne<'_, ONLY_NEW> {
            type SqlType = $returned;
        }

        impl<const ONLY_NEW: bool> ::diesel::RunQueryDsl<::diesel::SqliteConnection> for InsertOne<'_, ONLY_NEW> {}
    };
}

pub(super) use batch_insert;
