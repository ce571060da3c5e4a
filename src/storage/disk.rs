//! How much room is left on the disk of SQLite's files.

use std::path::Path;

/// How many files there must be room for: the log, the shared memory, temporary ones.
const FILES_MIN: u64 = 64;

/// What a file system has left for this process's user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Free {
    /// Bytes.
    pub bytes: u64,
    /// New files; `None` where the file system has no such limit.
    pub files: Option<u64>,
}

impl Free {
    /// Asks the file system of a folder, or of a file.
    ///
    /// # Errors
    /// The file system's.
    pub fn at(path: &Path) -> std::io::Result<Self> {
        let found = nix::sys::statvfs::statvfs(path)?;
        let files = (found.files() > 0).then(|| found.files_available());
        Ok(Self { bytes: found.blocks_available().saturating_mul(found.fragment_size()), files })
    }

    /// Why that is too little, if it is.
    pub fn complaint(&self, bytes_min: u64) -> Option<String> {
        if self.bytes < bytes_min {
            return Some(format!(
                "only {} MiB are free on the database's disk, less than database.disk_free_min_bytes ({} MiB): once it \
                 is full, callbacks are answered 503",
                self.bytes >> 20,
                bytes_min >> 20
            ));
        }
        let files = self.files.filter(|files| bytes_min > 0 && *files < FILES_MIN)?;
        Some(format!("only {files} more files fit on the database's disk (inodes): make room"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_bytes_or_files_are_complained_about_unless_that_is_turned_off() {
        let free = |bytes, files| Free { bytes, files };
        assert_eq!(free(256, None).complaint(256), None);
        assert_eq!(free(256, Some(64)).complaint(256), None);
        assert!(free(255, Some(64)).complaint(256).unwrap().contains("disk_free_min_bytes"));
        assert!(free(256, Some(63)).complaint(256).unwrap().contains("inodes"));
        assert_eq!(free(0, Some(0)).complaint(0), None);
    }

    #[test]
    fn a_folder_has_room() {
        assert!(Free::at(Path::new("/")).unwrap().bytes > 0);
    }
}
