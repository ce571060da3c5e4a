//! Reading what commands are given: files, standard input, the secret that signs.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use zeroize::Zeroizing;

use super::Failure;
use super::files::read_secret;
use crate::domain::secret::SigningSecret;

/// Names a secret in the environment.
const SECRET_VARIABLE: &str = "CONVERSIOND_SECRET";

/// Where the secret comes from: never from the command line, which others can see.
#[derive(Debug, Args)]
pub struct SecretSource {
    /// A file with the secret that others cannot read, `-` = standard input; else `CONVERSIOND_SECRET` is taken.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl SecretSource {
    /// Reads the secret.
    pub fn read(&self) -> Result<SigningSecret, Failure> {
        let text = match &self.secret_file {
            Some(path) => {
                let bytes = if is_stdin(path) { read(path)? } else { read_secret(path)? };
                // The error would quote it.
                Zeroizing::new(String::from_utf8(bytes.to_vec()).map_err(|_| "the secret is not text")?)
            }
            None => Zeroizing::new(std::env::var(SECRET_VARIABLE).map_err(|_| {
                format!("no secret: give --secret-file FILE (or -), or set {SECRET_VARIABLE}")
            })?),
        };
        Ok(SigningSecret::parse(text.trim()).map_err(|error| format!("the secret {error}"))?)
    }

    /// Whether it is read from standard input.
    pub fn is_stdin(&self) -> bool {
        self.secret_file.as_deref().is_some_and(is_stdin)
    }
}

/// Whether a path means standard input.
pub fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// Reads a file, or standard input.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = Zeroizing::new(Vec::new());
    if is_stdin(path) {
        std::io::stdin().read_to_end(&mut bytes)?;
    } else {
        *bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(bytes)
}
