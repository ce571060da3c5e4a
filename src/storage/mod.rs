//! The only room that knows a database: two of them, one code.
//!
//! SQLite (embedded, compiled in) and PostgreSQL share one schema, one text per query and one set
//! of tests. Where their SQL truly differs two functions stand side by side ([`events`]).

mod any_connection;
pub mod attempts;
pub mod backend;
mod batch_insert;
pub mod checkpoints;
mod clicks;
mod deliveries;
pub mod disk;
pub mod erasure;
pub mod error;
pub mod events;
pub mod exports;
pub mod files;
pub mod folder;
pub mod housekeeping;
pub mod idempotency;
pub mod keys;
pub mod lock;
mod log;
mod log_gate;
pub mod merchants;
pub mod migrate;
mod order_statuses;
pub mod orders;
mod page;
pub mod placement;
pub mod pool;
mod postgres;
pub mod reports;
mod retention;
mod schema;
mod shares;
mod sqlite;
pub mod submissions;
mod time_column;
mod time_limit;
pub mod token_keys;
pub mod trail;
pub mod usage;
pub mod writer;

pub use any_connection::AnyConnection;
pub use backend::{Connector, Purpose, check_durability, database_now, link, ping};
pub use error::StoreError;
pub use page::{Page, Scan};
pub use pool::Reader;
pub use postgres::Link;
