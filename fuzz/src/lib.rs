//! What reads bytes from outside, with the property that each reader must have.
//!
//! The product's own sources are compiled here, not the product: these rooms know no database and no
//! web server, so that a fuzzer is built in a minute and every branch in it is theirs.

#[path = "../../src/config/mod.rs"]
pub mod config;
#[path = "../../src/domain/mod.rs"]
pub mod domain;

#[path = "../../src/ingest/reconciliation/books.rs"]
pub mod books;
#[path = "../../src/ingest/reconciliation/records.rs"]
pub mod records;
#[path = "../../src/ingest/bulk/read.rs"]
pub mod bulk;
#[path = "../../src/http/api/cursor.rs"]
pub mod cursor;

pub mod properties;

/// A reconciliation's period, as its readers take it.
pub type Period = (chrono::DateTime<chrono::Utc>, chrono::DateTime<chrono::Utc>);
