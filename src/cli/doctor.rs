//! `conversiond doctor`: checks what the promise rests on, and says what to do.

use chrono::TimeDelta;
use serde::Serialize;
use serde_json::json;

use super::health::ask;
use super::output::table;
use super::{Context, Failure};
use crate::domain::quota::Level;
use crate::domain::vault::MasterKeyRing;
use crate::keyring::{Loader, load_master_key};
use crate::storage::disk::Free;
use crate::storage::merchants::{self, Account};
use crate::storage::placement::{self, Complaint};
use crate::storage::{
    AnyConnection, Connector, Link, Purpose, StoreError, database_now, link, migrate, usage,
};
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
        let link = link(&mut connection).map_err(|error| error.to_string()).transpose();
        checks.extend(link.map(|link| Check::new("connection", link.map(|link| encryption(&link)))));
        let migrations = Check::new("migrations", migrations(&mut connection));
        let migrated = migrate::pending(&mut connection).is_ok_and(|pending| pending.is_empty());
        checks.push(migrations);
        checks.push(Check::new("clock", clock(context, &mut connection)));
        if let Ok(ring) = master_key
            && migrated
        {
            checks.push(Check::new("keys", keys(context, &mut connection, ring)));
            checks.push(Check::new("quotas", quotas(context, &mut connection)));
        }
    }
    if let DatabaseFile::There(says) = sqlite_file(context) {
        checks.push(Check::new("file", says));
    }
    if let Ok((status, figures)) = ask(context.config.admin.listen, "/metrics")
        && status == "200"
    {
        checks.push(Check::new("proxies", Ok(proxies(&figures))));
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

/// What the running service has seen of proxies that it does not trust.
fn proxies(figures: &str) -> String {
    let seen = figures
        .lines()
        .find_map(|line| line.strip_prefix("conversiond_forwarded_untrusted_total "))
        .and_then(|count| count.trim().parse::<u64>().ok())
        .unwrap_or(0);
    if seen == 0 {
        return "no proxy that is not trusted was seen by the running service".to_owned();
    }
    format!(
        "WARNING: {seen} requests had X-Forwarded-For from a private address that is not in server.trusted_proxies: all \
         callers behind it count as one; its address stands in the log"
    )
}

/// In clear text over a network is a warning, no failure: that network may be private.
fn encryption(link: &Link) -> String {
    match link {
        Link::Encrypted(protocol) => format!("encrypted with {protocol}"),
        Link::Local => "not encrypted, and does not leave this machine".to_owned(),
        Link::Plain => {
            "WARNING: not encrypted, on a network: who reads or changes it there reads and changes \
             everything; add ?sslmode=verify-full&sslrootcert=FILE to database.url"
                .to_owned()
        }
    }
}

fn migrations(connection: &mut AnyConnection) -> Result<String, String> {
    let unknown = migrate::unknown(connection).map_err(|error| error.to_string())?;
    if !unknown.is_empty() {
        return Err(format!(
            "the schema is newer than this version: unknown migrations {}. Run the version that made them; this one may \
             only stay while instances are being replaced",
            unknown.join(", ")
        ));
    }
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

/// Tells who has nearly used up its quota of the day, which is no fault of the service.
fn quotas(context: &Context, connection: &mut AnyConnection) -> Result<String, String> {
    let read = |connection: &mut AnyConnection| -> Result<Vec<String>, StoreError> {
        let used = usage::of_day(connection, context.now().date_naive())?;
        let accounts = merchants::all(connection)?.into_iter();
        let nearly = accounts.filter_map(|Account { merchant, .. }| {
            let usage = used.get(&merchant.id)?;
            let percent =
                merchant.quota.percent(usage).filter(|_| merchant.quota.level(usage) > Level::Below)?;
            Some(format!("{} has used {percent} %", merchant.id))
        });
        Ok(nearly.collect())
    };
    let nearly = read(connection).map_err(|error| error.to_string())?;
    Ok(if nearly.is_empty() { "nobody has used 80 % of the day's".to_owned() } else { nearly.join(", ") })
}

enum DatabaseFile {
    There(Result<String, String>),
    None,
}

/// Where SQLite's file lies, and how much room there is.
fn sqlite_file(context: &Context) -> DatabaseFile {
    let Some(path) = context.config.database.url.sqlite_path().filter(|path| path.exists()) else {
        return DatabaseFile::None;
    };
    let unreadable = |error: std::io::Error| format!("{}: cannot look at its place: {error}", path.display());
    let place = match placement::look(path).map_err(unreadable) {
        Err(why) | Ok(Some(Complaint::Refused(why))) => return DatabaseFile::There(Err(why)),
        Ok(Some(Complaint::Warned(why))) => why,
        Ok(None) => "keep it on a local disk, never on a network one".to_owned(),
    };
    let free = match Free::at(path).map_err(unreadable) {
        Err(why) => return DatabaseFile::There(Err(why)),
        Ok(free) => free,
    };
    DatabaseFile::There(match free.complaint(context.config.database.disk_free_min_bytes) {
        Some(why) => Err(why),
        None => Ok(format!("{} MiB are free; {place}", free.bytes >> 20)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_that_are_not_trusted_are_warned_of() {
        let figures =
            |count| format!("# TYPE x counter\nconversiond_forwarded_untrusted_total {count}\n# EOF\n");
        assert!(proxies(&figures(3)).starts_with("WARNING: 3 requests"));
        assert!(!proxies(&figures(0)).contains("WARNING") && !proxies("").contains("WARNING"));
    }

    #[test]
    fn a_connection_in_clear_text_over_a_network_is_warned_of_and_no_other() {
        let warns = |link| encryption(&link).contains("WARNING");
        assert!(warns(Link::Plain));
        assert!(!warns(Link::Local) && !warns(Link::Encrypted("TLSv1.3".to_owned())));
    }
}
