//! `conversiond master-key …`

use clap::Subcommand;
use serde_json::json;

use super::{Context, Failure};
use crate::keyring::rewrap;
use crate::system::SystemEntropy;

#[derive(Debug, Subcommand)]
pub enum MasterKey {
    /// Encrypt every secret and tag every key anew with the ring's newest key; then the older ones can go.
    Rewrap,
}

impl MasterKey {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::Rewrap = self;
        let mut connection = context.database()?;
        let ring = context.master_key(&mut connection)?;
        let (secrets, token_keys) = rewrap(&mut connection, &ring, context.now(), &SystemEntropy)?;
        let newest = ring.newest();
        let result = json!({ "master_key": newest, "secrets": secrets, "token_keys": token_keys });
        context.output.show(&result, || {
            format!(
                "{secrets} secrets and {token_keys} token keys are now encrypted with master key {newest}."
            )
        })
    }
}
