//! What the API says of itself: an OpenAPI 3.1 document, made of the code's own types, limits and
//! table of errors, at `/openapi.json` and at the repository's top.
//!
//! - a new endpoint: `operations`; a new kind of answer: `declare_answers` in `document`
//! - a new code: it does not compile until `problems` knows where it can be the answer
//! - the committed copy: `cargo run -- openapi > openapi.json`

mod document;
mod examples;
mod headers;
mod operation;
mod operations;
mod problems;
mod requests;
mod security;
mod serve;
pub mod values;

pub use document::Document;
pub use serve::{Description, describe};
