//! A throw-away PostgreSQL server from installed binaries, as an unprivileged user, gone with the
//! test process that started it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

/// A running server.
pub struct Cluster {
    pub(super) binaries: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) port: u16,
    pub(super) user: Option<(u32, u32)>,
    /// Stops the server when the pipe to it closes, which it does however the tests end.
    pub(super) guardian: Mutex<Child>,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Runs the server until standard input ends, then stops it at once and removes its folder.
const GUARDIAN: &str = r#"
"$1/postgres" -D "$2/data" >>"$2/log" 2>&1 & server=$!
cat >/dev/null
kill -CONT "$server" $(cat "/proc/$server/task/$server/children" 2>/dev/null) 2>/dev/null
kill -QUIT "$server" 2>/dev/null
wait "$server"
rm -rf "$2"
"#;

impl Cluster {
    /// The server that the tests of this process share; `None` where PostgreSQL is not installed.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&[])).as_ref()
    }

    /// A server of its own, with further settings.
    pub fn start(settings: &[&str]) -> Option<Self> {
        let Some(binaries) = installed() else {
            let required = std::env::var("CONVERSIOND_TEST_POSTGRES").is_ok_and(|value| value == "require");
            assert!(!required, "CONVERSIOND_TEST_POSTGRES=require, but no PostgreSQL server is installed");
            // Past the test runner's capture: a skipped half must be seen.
            let _ = writeln!(
                std::io::stderr(),
                "skipped: PostgreSQL's server is not installed (looked in `pg_config --bindir`)"
            );
            return None;
        };
        let user = unprivileged();
        // Its name is nobody's of before: process ids come again, and a killed run leaves its folder.
        let folder = folder_of(user).keep();
        let port = free_port();
        initialise(&binaries, &folder, user, port, settings);
        let guardian = guard(&binaries, &folder, user);
        let cluster = Self { binaries, folder, port, user, guardian: Mutex::new(guardian) };
        cluster.wait_until_up();
        Some(cluster)
    }

    /// The URL of a database of this server.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://conversiond@127.0.0.1:{}/{database}", self.port)
    }

    /// Where the server keeps its data and its own settings.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The TCP port, for proxies in between.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A fresh, empty database.
    pub fn create_database(&self) -> String {
        let name = format!("t{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut admin = PgConnection::establish(&self.url("postgres")).expect("PostgreSQL answers");
        admin.batch_execute(&format!("CREATE DATABASE {name}")).expect("a database");
        name
    }

    /// Stops the server at once (`pg_ctl stop -m immediate`), as a crash would, and waits until it is gone.
    pub fn stop(&self) {
        self.dismiss_guardian();
        let _ = std::fs::remove_file(self.folder.join("data/postmaster.pid"));
    }

    /// Kills the server's first process, and waits until the others are gone, which notice it by
    /// themselves: as long as one is there the server cannot be started.
    pub fn kill(&self) {
        let children = children_of(self.process());
        assert!(!children.is_empty(), "the server has no processes");
        signal::kill(Pid::from_raw(self.process()), Signal::SIGKILL).unwrap();
        for _ in 0..2_000 {
            if children.iter().all(|child| !is_running(*child)) {
                return self.dismiss_guardian();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("PostgreSQL's processes live on without the first one");
    }

    /// Stops all of the server's processes where they are, until what is returned is dropped.
    pub fn hang(&self) -> Hung {
        // The first one first: it starts no others then.
        let mut processes = vec![self.process()];
        send(processes[0], Signal::SIGSTOP);
        processes.extend(children_of(processes[0]));
        for process in &processes {
            send(*process, Signal::SIGSTOP);
        }
        Hung(processes)
    }

    /// The server's first process.
    fn process(&self) -> i32 {
        let text = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        text.lines().next().unwrap().trim().parse().unwrap()
    }

    /// What the server has logged, all its starts together.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap()
    }

    /// Ends the server, if it runs, and the guardian.
    fn dismiss_guardian(&self) {
        let mut guardian = self.guardian.lock().unwrap();
        let keep = self.folder.with_extension("kept");
        // The guardian removes the folder; the data must outlive it.
        std::fs::rename(&self.folder, &keep).unwrap();
        drop(guardian.stdin.take());
        guardian.wait().unwrap();
        std::fs::rename(&keep, &self.folder).unwrap();
    }

    /// Starts the server again on its data.
    pub fn start_again(&self) {
        *self.guardian.lock().unwrap() = guard(&self.binaries, &self.folder, self.user);
        self.wait_until_up();
    }

    pub(super) fn wait_until_up(&self) {
        for _ in 0..600 {
            if PgConnection::establish(&self.url("postgres")).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("PostgreSQL did not start:\n{}", self.log());
    }
}

/// Processes that were stopped.
pub struct Hung(Vec<i32>);

impl Drop for Hung {
    fn drop(&mut self) {
        for process in self.0.iter().rev() {
            send(*process, Signal::SIGCONT);
        }
    }
}

/// It may be gone.
fn send(process: i32, what: Signal) {
    let _ = signal::kill(Pid::from_raw(process), what);
}

/// A process's state and parent, as Linux tells them.
fn state_of(process: i32) -> Option<(char, i32)> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before it stands in parentheses, and may hold any character.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn is_running(process: i32) -> bool {
    state_of(process).is_some_and(|(state, _)| state != 'Z')
}

fn children_of(process: i32) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").unwrap();
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(|id| state_of(*id).is_some_and(|(_, parent)| parent == process)).collect()
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut guardian = self.guardian.lock().unwrap();
        drop(guardian.stdin.take());
        let _ = guardian.wait();
        // The guardian has done it, unless it had been dismissed.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn installed() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let folder = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file()).then_some(folder)
}

/// A free port below those that outgoing connections take, given to nobody else in this process:
/// nobody takes it while the server is being made, or stopped for a while.
pub(super) fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let mut given = GIVEN.lock().unwrap();
    (first..30_000)
        .chain(20_000..first)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok() && given.insert(*port))
        .expect("a free port")
}

/// Whom servers run as that refuse to run as root; `None` = whoever this is.
pub fn unprivileged() -> Option<(u32, u32)> {
    nix::unistd::geteuid().is_root().then(|| {
        let user = ["postgres", "nobody"].iter().find_map(|name| nix::unistd::User::from_name(name).ok()?);
        let user = user.expect("root needs a user to run servers as");
        (user.uid.as_raw(), user.gid.as_raw())
    })
}

/// A fresh folder that belongs to this user alone.
pub(super) fn folder_of(user: Option<(u32, u32)>) -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("conversiond-pg-").tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    if let Some((uid, gid)) = user {
        chown(folder.path(), Some(uid), Some(gid)).expect("the folder's owner");
    }
    folder
}

/// The command, run as this user.
pub(super) fn as_user(command: &mut Command, user: Option<(u32, u32)>) -> &mut Command {
    match user {
        Some((uid, gid)) => command.uid(uid).gid(gid),
        None => command,
    }
}

fn initialise(binaries: &Path, folder: &Path, user: Option<(u32, u32)>, port: u16, settings: &[&str]) {
    let mut initdb = Command::new(binaries.join("initdb"));
    initdb.current_dir(folder).arg("-D").arg(folder.join("data"));
    initdb.args(["-U", "conversiond", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
    let output = as_user(&mut initdb, user).output().expect("initdb runs");
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    let mut text = format!(
        "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\n\
         max_connections = 200\nshared_buffers = 64MB\n"
    );
    for setting in settings {
        text.push_str(setting);
        text.push('\n');
    }
    let file = folder.join("data/postgresql.auto.conf");
    std::fs::write(&file, text).unwrap();
    if let Some((uid, gid)) = user {
        chown(&file, Some(uid), Some(gid)).unwrap();
    }
}

pub(super) fn guard(binaries: &Path, folder: &Path, user: Option<(u32, u32)>) -> Child {
    let mut shell = Command::new("sh");
    shell.current_dir(folder).args(["-c", GUARDIAN, "guardian"]).arg(binaries).arg(folder);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // Of its own, so that Ctrl-C on the tests does not kill the guardian before it has tidied up.
    as_user(&mut shell, user).process_group(0).spawn().expect("the guardian starts")
}
