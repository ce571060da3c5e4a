//! Files that commands read secrets from and write results to.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Failure, output};
use crate::domain::time::Entropy as _;
use crate::system::SystemEntropy;

/// Reads a file that holds a secret. Others on the machine must not be able to; that its group can is said.
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // A secret in place of a file's name is not repeated.
    if path.to_string_lossy().starts_with("whsec_") {
        return Err("--secret-file takes a file's name, not the secret".into());
    }
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut file = File::open(path).map_err(failed)?;
    let status = file.metadata().map_err(failed)?;
    let mode = status.permissions().mode();
    // A pipe has no others.
    if status.is_file() && mode & 0o007 != 0 {
        return Err(format!("{0}: others may read it; run: chmod 600 {0}", path.display()).into());
    }
    if status.is_file() && mode & 0o070 != 0 {
        output::warning(&format!("{0}: its group may read it; run: chmod 600 {0}", path.display()));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// A file for its owner alone that has its name only when it is complete.
pub struct Unfinished<'a> {
    /// Takes what is written.
    pub writer: BufWriter<File>,
    part: PathBuf,
    path: &'a Path,
    finished: bool,
}

impl<'a> Unfinished<'a> {
    /// Begins a file beside where it is to be, under a name that nobody can have foreseen: what stands
    /// there already, a link to elsewhere even, is not written through.
    pub fn create(path: &'a Path) -> Result<Self, Failure> {
        let mut random = [0u8; 8];
        SystemEntropy.fill(&mut random);
        let mut part = path.as_os_str().to_owned();
        part.push(format!(".{}.part", hex::encode(random)));
        let part = PathBuf::from(part);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
        let file = file.map_err(|error| format!("{}: {error}", part.display()))?;
        Ok(Self { writer: BufWriter::new(file), part, path, finished: false })
    }

    /// Gives it its name.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.writer.flush()?;
        self.writer.get_ref().sync_all()?;
        std::fs::rename(&self.part, self.path)
            .map_err(|error| format!("{}: {error}", self.path.display()))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.finished
            && let Err(error) = std::fs::remove_file(&self.part)
            && error.kind() != ErrorKind::NotFound
        {
            output::warning(&format!("{}: {error}", self.part.display()));
        }
    }
}
