//! The only room that knows a database: two of them, one code.
//!
//! SQLite (embedded, compiled in) and PostgreSQL share one schema, one text per query and one set
//! of tests. Where their SQL truly differs two functions stand side by side ([`events`]).

mod any_connection;
pub mod backend;
pub mod error;
pub mod events;
pub mod keys;
pub mod lock;
pub mod merchants;
pub mod migrate;
pub mod pool;
mod postgres;
mod schema;
mod sqlite;
pub mod token_keys;
pub mod writer;

pub use any_connection::AnyConnection;
pub use backend::{Connector, Purpose, check_durability, database_now, ping};
pub use error::StoreError;
pub use pool::Reader;
