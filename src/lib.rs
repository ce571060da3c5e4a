//! conversiond takes signed conversion callbacks, records each business event exactly once,
//! attributes it to a click and keeps it durably. **An answer of 2xx means on disk, once.**
//!
//! # The way of a callback
//!
//! 1. [`http`] reads head and body within their limits and collects the signature headers.
//! 2. [`domain::access`] judges the signature against the in-memory snapshot that [`keyring`]
//!    keeps: no database is asked, and an unknown key costs what a known one costs. Out comes a
//!    [`domain::access::Verified`], which nothing else can make. Then the merchant's rate limit.
//! 3. [`domain::event::parse`] turns the body into a [`domain::event::Callback`], or into every
//!    error it has; the click token is checked without a look-up ([`domain::click_token`]).
//! 4. [`ingest`] makes a [`domain::submission::Submission`] of it and hands it to the
//!    [`storage::writer`]: a bounded queue, and a thread that writes all that waits in one
//!    transaction.
//! 5. [`storage::submissions`] claims idempotency keys, has each event inserted or found under its
//!    identity ([`storage::events`]), judges repeats ([`domain::repeat`]), writes the journal, and
//!    COMMITs.
//! 6. Only then the caller is answered.
//!
//! # The rooms
//!
//! Imports point one way: [`domain`] ← [`config`], [`system`] ← [`telemetry`] ← [`storage`] ←
//! [`keyring`] ← [`ingest`] ← [`http`] ← [`server`] ← [`cli`]. `tests/architecture.rs` checks it.

pub mod cli;
pub mod config;
pub mod domain;
pub mod http;
pub mod ingest;
pub mod keyring;
pub mod server;
pub mod storage;
pub mod system;
pub mod telemetry;
