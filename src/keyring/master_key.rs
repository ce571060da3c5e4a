//! Where the master key comes from: environment, file, or (SQLite only) made at first start.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::domain::time::Entropy;
use crate::domain::vault::{InvalidRing, MasterKeyRing};
use crate::storage::folder;

/// The environment variable that wins over every file.
pub const VARIABLE: &str = "CONVERSIOND_MASTER_KEY";

/// Where to look.
#[derive(Debug, Clone)]
pub struct MasterKeySource {
    /// `security.master_key_file`; empty = none.
    pub file: PathBuf,
    /// The SQLite file, beside which the key may lie.
    pub sqlite: Option<PathBuf>,
    /// Whether a key may be made beside it: not where secrets lie sealed under another already.
    pub may_make: bool,
}

/// There is no usable master key, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// PostgreSQL, and none given.
    #[error(
        "no master key: set {VARIABLE} to base64 of 32 random bytes (openssl rand -base64 32), \
         or security.master_key_file; every instance needs the same"
    )]
    Missing,
    /// SQLite, and the key is not beside it where it must be.
    #[error("no master key: set {VARIABLE} as the service has it, or bring back {path}", path = .0.display())]
    Lost(PathBuf),
    /// Unreadable text.
    #[error("{0}: {1}")]
    Invalid(String, InvalidRing),
    /// Unreadable file.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    File(PathBuf, std::io::Error),
    /// Others on the machine could read it.
    #[error("{path}: others may read it; run: chmod 600 {path}", path = .0.display())]
    TooOpen(PathBuf),
}

/// Finds the master key, or makes it on SQLite's first start.
pub fn load(source: &MasterKeySource, entropy: &dyn Entropy) -> Result<MasterKeyRing, MasterKeyError> {
    if let Some(text) = std::env::var_os(VARIABLE) {
        let text = Zeroizing::new(text.to_string_lossy().into_owned());
        return text.parse().map_err(|error| MasterKeyError::Invalid(VARIABLE.to_owned(), error));
    }
    let Some(path) = source.path() else { return Err(MasterKeyError::Missing) };
    if !source.file.as_os_str().is_empty() {
        return read(&path);
    }
    if !path.exists() && !source.may_make {
        return Err(MasterKeyError::Lost(path));
    }
    if !path.exists() {
        make(&path, entropy).map_err(|error| MasterKeyError::File(path.clone(), error))?;
    }
    read(&path)
}

impl MasterKeySource {
    /// The file that the master key is read from, if its group can use it, too.
    pub fn open_to_its_group(&self) -> Option<PathBuf> {
        let path = self.path().filter(|_| std::env::var_os(VARIABLE).is_none())?;
        let mode = fs::metadata(&path).ok()?.permissions().mode();
        (mode & 0o070 != 0).then_some(path)
    }

    fn path(&self) -> Option<PathBuf> {
        if !self.file.as_os_str().is_empty() {
            return Some(self.file.clone());
        }
        let mut name = self.sqlite.as_ref()?.as_os_str().to_owned();
        name.push(".master-key");
        Some(name.into())
    }
}

fn read(path: &Path) -> Result<MasterKeyRing, MasterKeyError> {
    let failed = |error| MasterKeyError::File(path.to_owned(), error);
    let mut file = fs::File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(MasterKeyError::TooOpen(path.to_owned()));
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(failed)?;
    text.parse().map_err(|error| MasterKeyError::Invalid(path.display().to_string(), error))
}

/// Writes a fresh key, whole and on disk, under a name that only one of several processes gets.
fn make(path: &Path, entropy: &dyn Entropy) -> std::io::Result<()> {
    folder::make_for(path)?;
    let mut random = [0u8; 8];
    entropy.fill(&mut random);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", hex::encode(random)));
    let temporary = PathBuf::from(name);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    writeln!(file, "{}", MasterKeyRing::generate(entropy).expose_text().as_str())?;
    file.sync_all()?;
    // A hard link, unlike a rename, does not replace the key of a process that was faster.
    let linked = match fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    };
    fs::remove_file(&temporary)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::File::open(folder)?.sync_all()?;
    }
    linked
}
