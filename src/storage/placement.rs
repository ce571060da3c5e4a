//! Where SQLite's files may lie: what a file system or a mount does to the log and to locks.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::StoreError;

/// What is known of a database's place before it is opened.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The database's file by its real name, whether or not it exists.
    pub database: &'a Path,
    /// How many names the file has; `None` = there is no file.
    pub links: Option<u64>,
    /// The magic number of the folder's file system, as statfs tells it.
    pub magic: i64,
    /// The text of `/proc/self/mountinfo`; empty where it cannot be read.
    pub mounts: &'a str,
}

/// What is wrong with a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Complaint {
    /// What is acknowledged could be lost there: the database is not opened.
    Refused(String),
    /// It works, at a price.
    Warned(String),
}

/// Network file systems by their magic numbers (statfs(2)): one machine's locks and shared memory do not
/// hold for another.
const NETWORK: [(i64, &str); 11] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB 2"),
    (0x0102_1997, "9p"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x564C, "NCP"),
    (0x00C3_6400, "Ceph"),
    (0x0BD0_0BD0, "Lustre"),
];

/// The magic numbers of file systems that run as programs, and of those that lie in memory.
const FUSE: i64 = 0x6573_5546;
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58F6];

/// FUSE file systems by their names in mountinfo whose files lie on another machine.
const NETWORK_FUSE: [&str; 12] = [
    "fuse.sshfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.s3ql",
    "fuse.goofys",
    "fuse.gcsfuse",
    "fuse.glusterfs",
    "fuse.cephfs",
    "fuse.ceph-fuse",
    "fuse.davfs",
    "fuse.mount-s3",
    "fuse.juicefs",
];

/// Judges a place.
pub fn judge(place: &Place<'_>) -> Option<Complaint> {
    let shown = place.database.display();
    if place.links.is_some_and(|links| links > 1) {
        return Some(Complaint::Refused(format!(
            "{shown} has several names (hard links): under each name SQLite would keep another log, and two services \
             could write at once; remove all names but one (`find -samefile` lists them)"
        )));
    }
    for file in ["", "-wal", "-shm"].map(|suffix| beside(place.database, suffix)) {
        if mounts(place.mounts).any(|mount| mount.point == file) {
            return Some(Complaint::Refused(format!(
                "{} is mounted by itself: the log beside it would lie elsewhere, and be lost with that place; mount \
                 the folder {} instead",
                file.display(),
                folder(place.database).display()
            )));
        }
    }
    if let Some((_, name)) = NETWORK.iter().find(|(magic, _)| *magic == place.magic) {
        return Some(Complaint::Refused(on_network(place.database, name)));
    }
    let kind = mount_of(place.mounts, place.database).map_or("FUSE", |mount| mount.kind);
    if place.magic == FUSE && NETWORK_FUSE.contains(&kind) {
        return Some(Complaint::Refused(on_network(place.database, kind)));
    }
    if place.magic == FUSE {
        return Some(Complaint::Warned(format!(
            "{shown} lies on {kind}, a file system that another program serves: where that does not keep locks, shared \
             memory and syncs, acknowledged events are lost; a local disk is safe"
        )));
    }
    IN_MEMORY.contains(&place.magic).then(|| {
        Complaint::Warned(format!(
            "{shown} lies in memory (tmpfs): everything acknowledged is gone when the machine restarts; use a disk"
        ))
    })
}

fn on_network(database: &Path, kind: &str) -> String {
    format!(
        "{} lies on a network file system ({kind}): SQLite's locks and shared memory do not hold there, and \
         acknowledged events could be lost; use a local disk, or PostgreSQL",
        database.display()
    )
}

/// Looks at a database's place, which need not exist yet.
///
/// # Errors
/// The file system's.
pub fn look(database: &Path) -> std::io::Result<Option<Complaint>> {
    let links = match std::fs::metadata(database) {
        Ok(found) => Some(found.nlink()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let database = real_name(database)?;
    let magic = nix::sys::statfs::statfs(folder(&database)).map_err(std::io::Error::from)?;
    #[allow(
        clippy::useless_conversion,
        reason = "the type differs between systems; the numbers have 32 bits"
    )]
    let magic = i64::from(magic.filesystem_type().0) & 0xFFFF_FFFF;
    let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let mounts = String::from_utf8_lossy(&mounts);
    Ok(judge(&Place { database: &database, links, magic, mounts: &mounts }))
}

/// Refuses to open a database at a place where it could lose what it confirms.
///
/// # Errors
/// [`StoreError::Unusable`] says why, and what to do.
pub fn check(database: &Path) -> Result<(), StoreError> {
    let cannot_look = |error: std::io::Error| {
        StoreError::Unusable(format!("cannot look at the place of {}: {error}", database.display()))
    };
    if let Some(Complaint::Refused(why)) = look(database).map_err(cannot_look)? {
        return Err(StoreError::Unusable(why));
    }
    let log = beside(&real_name(database).map_err(cannot_look)?, "-wal");
    let is_empty = std::fs::metadata(database).map_or(true, |found| found.len() == 0);
    // SQLite would delete the log of a database that is not there.
    if is_empty && log.exists() {
        return Err(StoreError::Unusable(format!(
            "{} is missing or empty, but its log {} is there: the file was moved, removed or cut, or its disk is not \
             mounted. Put the file back; only where nothing of it is wanted any more remove the log",
            database.display(),
            log.display()
        )));
    }
    Ok(())
}

/// The file that a path leads to, by a name without symbolic links; of a file that is not there its
/// folder's.
pub fn real_name(database: &Path) -> std::io::Result<PathBuf> {
    match database.canonicalize() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let name = database.file_name().unwrap_or_default();
            Ok(folder(database).canonicalize()?.join(name))
        }
        found => found,
    }
}

/// The folder of a file.
pub fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file whose name begins with another's.
pub fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

struct Mount<'a> {
    point: PathBuf,
    kind: &'a str,
}

/// The mounts that mountinfo lists (proc(5)): the fifth field is the place, the first one behind the
/// hyphen the file system's type.
fn mounts(text: &str) -> impl Iterator<Item = Mount<'_>> {
    text.lines().filter_map(|line| {
        let (place, rest) = line.split_once(" - ")?;
        Some(Mount { point: unescaped(place.split(' ').nth(4)?), kind: rest.split(' ').next()? })
    })
}

/// The mount that a file lies on: of the longest place, the one that was mounted last.
fn mount_of<'a>(text: &'a str, file: &Path) -> Option<Mount<'a>> {
    mounts(text)
        .filter(|mount| file.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.as_os_str().len())
}

/// Space, tab, newline and backslash stand in mountinfo as three octal digits.
fn unescaped(place: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(place.len());
    let mut rest = place.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match octal {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXT4: i64 = 0xEF53;
    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:21 / /proc rw,relatime - proc proc rw
31 22 0:40 / /srv/remote rw,relatime shared:3 - fuse.sshfs host:/ rw
32 22 0:41 / /srv/crypt rw,relatime - fuse.gocryptfs /enc rw
33 22 254:0 /a /srv/one\\040place/c.db rw,relatime - ext4 /dev/vda rw
34 22 254:0 /b /srv/log/c.db-wal rw,relatime - ext4 /dev/vda rw
";

    fn judged(database: &str, links: Option<u64>, magic: i64) -> Option<Complaint> {
        judge(&Place { database: Path::new(database), links, magic, mounts: MOUNTS })
    }

    fn refused(complaint: &Option<Complaint>, word: &str) {
        assert!(matches!(complaint, Some(Complaint::Refused(why)) if why.contains(word)), "{complaint:?}");
    }

    fn warned(complaint: &Option<Complaint>, word: &str) {
        assert!(matches!(complaint, Some(Complaint::Warned(why)) if why.contains(word)), "{complaint:?}");
    }

    #[test]
    fn a_file_with_one_name_on_a_local_disk_is_good_and_so_is_one_that_is_still_to_be_made() {
        assert_eq!(judged("/srv/data/c.db", Some(1), EXT4), None);
        assert_eq!(judged("/srv/data/c.db", None, EXT4), None);
        // An unlinked file has no name. Whoever opens it by a name has another one.
        assert_eq!(judged("/srv/data/c.db", Some(0), EXT4), None);
        let place = Place { database: Path::new("/c.db"), links: None, magic: EXT4, mounts: "" };
        assert_eq!(judge(&place), None);
    }

    #[test]
    fn several_names_are_refused() {
        refused(&judged("/srv/data/c.db", Some(2), EXT4), "hard links");
    }

    #[test]
    fn a_file_that_is_mounted_by_itself_is_refused_and_so_is_a_log() {
        refused(&judged("/srv/one place/c.db", Some(1), EXT4), "mount the folder /srv/one place instead");
        refused(&judged("/srv/log/c.db", Some(1), EXT4), "/srv/log/c.db-wal is mounted by itself");
        assert_eq!(judged("/srv/one place/d.db", Some(1), EXT4), None);
    }

    #[test]
    fn network_file_systems_are_refused_by_name() {
        for (magic, name) in NETWORK {
            refused(&judged("/srv/data/c.db", None, magic), name);
        }
        refused(&judged("/srv/remote/c.db", Some(1), FUSE), "fuse.sshfs");
    }

    #[test]
    fn what_may_be_safe_is_taken_with_a_warning() {
        warned(&judged("/srv/crypt/c.db", Some(1), FUSE), "fuse.gocryptfs");
        warned(&judged("/dev/shm/c.db", Some(1), 0x0102_1994), "in memory");
    }

    #[test]
    fn a_log_without_its_database_is_not_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        check(&database).unwrap();
        std::fs::write(folder.path().join("a.db-wal"), "log").unwrap();
        for content in [None, Some("")] {
            content.iter().for_each(|text| std::fs::write(&database, text).unwrap());
            let refused = check(&database).unwrap_err().to_string();
            assert!(refused.contains("Put the file back"), "{refused}");
        }
        std::fs::write(&database, "content").unwrap();
        check(&database).unwrap();
        std::fs::hard_link(&database, folder.path().join("b.db")).unwrap();
        assert!(check(&database).unwrap_err().to_string().contains("hard links"));
    }
}
