//! `conversiond doctor`: checks what the promise rests on, and says what to do.

use chrono::TimeDelta;
use serde::Serialize;
use serde_json::json;

use super::output::table;
use super::{Context, Failure};
use crate::domain::vault::MasterKeyRing;
use crate::keyring::{Loader, load_master_key};
use crate::storage::{AnyConnection, Connector, Purpose, database_now, migrate};
use crate::system::{OFF_MAX, SystemEntropy};

#[derive(Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    says: String,
}

impl Check {
    fn new(name: &'static str, result: Result<String, String>) -> Self {
        let ok = result.is_ok();
        Self { name, ok, says: result.unwrap_or_else(|error| error) }
    }
}

pub fn run(context: &Context) -> Result<(), Failure> {
    let mut checks =
        vec![Check::new("configuration", Ok("every key is known and within its limits".to_owned()))];
    let master_key = master_key(context);
    let open = context.master_key_source(false).open_to_its_group();
    let open = open.map(|path| format!("; its group may read it: chmod 600 {}", path.display()));
    let describe = |ring: &MasterKeyRing| {
        format!("key {} encrypts{}", ring.newest(), open.as_deref().unwrap_or_default())
    };
    checks.push(Check::new("master key", master_key.as_ref().map(describe).map_err(Clone::clone)));
    let database = database(context);
    checks.push(Check::new(
        "database",
        database
            .as_ref()
            .map(|_| format!("{} answers, and keeps what it commits", context.config.database.url))
            .map_err(Clone::clone),
    ));
    if let Ok(mut connection) = database {
        let migrations = Check::new("migrations", migrations(&mut connection));
        let migrated = migrations.ok;
        checks.push(migrations);
        checks.push(Check::new("clock", clock(context, &mut connection)));
        if let Ok(ring) = master_key
            && migrated
        {
            checks.push(Check::new("keys", keys(context, &mut connection, ring)));
        }
    }
    if let DatabaseFile::There(says) = sqlite_file(context) {
        checks.push(Check::new("file", says));
    }
    let failed = checks.iter().filter(|check| !check.ok).count();
    context.output.show(&json!({ "ok": failed == 0, "checks": checks }), || {
        let row = |check: &Check| {
            vec![if check.ok { "ok" } else { "FAIL" }.to_owned(), check.name.to_owned(), check.says.clone()]
        };
        table(&checks.iter().map(row).collect::<Vec<_>>())
    })?;
    if failed == 0 { Ok(()) } else { Err(format!("{failed} checks failed").into()) }
}

/// Looks for the master key without making one.
fn master_key(context: &Context) -> Result<MasterKeyRing, String> {
    let source = context.master_key_source(false);
    if let Some(database) = &source.sqlite
        && !database.exists()
        && source.file.as_os_str().is_empty()
        && std::env::var_os("CONVERSIOND_MASTER_KEY").is_none()
    {
        return Err("none yet: the first start makes one beside the database".to_owned());
    }
    load_master_key(&source, &SystemEntropy).map_err(|error| error.to_string())
}

fn database(context: &Context) -> Result<AnyConnection, String> {
    if let Some(path) = context.config.database.url.sqlite_path()
        && !path.exists()
    {
        return Err(format!(
            "{} is not there yet: start the service once, or run `conversiond migrate`",
            path.display()
        ));
    }
    Connector::new(context.config.database.clone()).connect(Purpose::Write).map_err(|error| error.to_string())
}

fn migrations(connection: &mut AnyConnection) -> Result<String, String> {
    match migrate::pending(connection).map_err(|error| error.to_string())?.as_slice() {
        [] => Ok(format!("all {} applied", migrate::count())),
        names => Err(format!("{} pending: run `conversiond migrate`", names.join(", "))),
    }
}

fn clock(context: &Context, connection: &mut AnyConnection) -> Result<String, String> {
    let before = context.now();
    let there = database_now(connection).map_err(|error| error.to_string())?;
    let here = before + (context.now() - before) / 2;
    let Some(there) = there else {
        return Ok("SQLite has no clock to compare with: keep NTP running".to_owned());
    };
    let off: TimeDelta = here - there;
    if off.abs() > OFF_MAX {
        return Err(format!("{} s away from the database's: set one of the two right", off.num_seconds()));
    }
    Ok(format!("{} ms away from the database's", off.num_milliseconds()))
}

fn keys(context: &Context, connection: &mut AnyConnection, ring: MasterKeyRing) -> Result<String, String> {
    let directory = connection
        .read(|c| Loader::new(ring, &SystemEntropy).load(c, context.now()))
        .map_err(|error| format!("{error}. {TAMPERED}"))?;
    Ok(format!("{} keys, every secret opens and every key row verifies", directory.len()))
}

const TAMPERED: &str = "Is this the master key they were made with? Else somebody has changed these rows without \
     it: `conversiond key revoke` ends such a key";

enum DatabaseFile {
    There(Result<String, String>),
    None,
}

/// A network file system does not keep SQLite's locks; a full disk keeps nothing.
fn sqlite_file(context: &Context) -> DatabaseFile {
    let Some(path) = context.config.database.url.sqlite_path().filter(|path| path.exists()) else {
        return DatabaseFile::None;
    };
    let Ok(stat) = nix::sys::statvfs::statvfs(path) else {
        return DatabaseFile::There(Err(format!("{}: its file system cannot be read", path.display())));
    };
    let free = stat.blocks_available().saturating_mul(stat.fragment_size()) >> 20;
    if free < 1_024 {
        return DatabaseFile::There(Err(format!("only {free} MiB are free for {}", path.display())));
    }
    DatabaseFile::There(Ok(format!("{free} MiB are free; keep it on a local disk, never on a network one")))
}
