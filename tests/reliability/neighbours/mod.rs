//! What one merchant does, and what another one notices of it.

mod bulk;
mod forger;
mod reads;
