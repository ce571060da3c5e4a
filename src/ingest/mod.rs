//! The use cases: what the service does with a verified request, whoever carried it in.

mod read;
mod record;

use std::sync::Arc;

use crate::domain::time::{Clock, Entropy};
use crate::keyring::Keyring;
use crate::storage::Reader;
use crate::storage::writer::Writer;

pub use record::{RecordError, Submission};

/// What the use cases need.
#[derive(Clone)]
pub struct Ingest {
    /// Takes what is to be written.
    pub writer: Writer,
    /// Reads back.
    pub reader: Reader,
    /// The keys, and the ring of token keys.
    pub keyring: Arc<Keyring>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Fresh ids.
    pub entropy: Arc<dyn Entropy>,
}
