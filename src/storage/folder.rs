//! The folder of SQLite's files.

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

/// Makes the folder that a file is to lie in, for its owner alone, and those above it that are missing.
/// Their names are on the disk when it returns: else a power loss could take a folder away together
/// with everything that was synced in it.
///
/// # Errors
/// The file system's.
pub fn make_for(file: &Path) -> Result<()> {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => make(folder),
        _ => Ok(()),
    }
}

fn make(folder: &Path) -> Result<()> {
    let create = || DirBuilder::new().mode(0o700).create(folder);
    let created = match create() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make_for(folder)?;
            create()
        }
        created => created,
    };
    match created {
        Ok(()) => {
            let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
            File::open(above.unwrap_or(Path::new(".")))?.sync_all()
        }
        Err(_) if folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_folders_are_made_and_those_that_are_there_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("one/two/three.db");
        for _ in 0..2 {
            make_for(&file).unwrap();
            assert!(file.parent().unwrap().is_dir());
        }
        std::fs::write(&file, "").unwrap();
        assert!(make_for(&file.join("four.db")).is_err());
    }
}
