//! nginx as a process of its own, with the configuration that is shipped.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

pub const SHIPPED: &str = include_str!("../../config/gateway/nginx.conf");

/// Runs nginx until standard input ends, which it does however the test ends.
const GUARDIAN: &str = r#"
nginx -e "$1/error.log" -p "$1" -c "$1/nginx.conf" -g 'daemon off;' & server=$!
cat >/dev/null
kill -TERM "$server" 2>/dev/null
wait "$server"
"#;

/// A running gateway.
pub struct Gateway {
    pub address: SocketAddr,
    folder: tempfile::TempDir,
    guardian: Child,
}

impl Gateway {
    /// A gateway in front of this service; `None` where nginx is not installed.
    pub fn start(service: SocketAddr) -> Option<Self> {
        Self::start_with(service, "")
    }

    /// The same with further lines in its `http` block, as an operator adds them.
    pub fn start_with(service: SocketAddr, lines: &str) -> Option<Self> {
        if !installed() {
            let required = std::env::var("CONVERSIOND_TEST_NGINX").is_ok_and(|value| value == "require");
            assert!(!required, "CONVERSIOND_TEST_NGINX=require, but nginx is not installed");
            // Past the test runner\'s capture: what is skipped must be seen.
            let _ = writeln!(std::io::stderr(), "skipped: nginx is not installed");
            return None;
        }
        // Another process may take the free port before nginx does; then the next.
        (0..5)
            .find_map(|_| Self::try_start(service, lines))
            .or_else(|| panic!("nginx found no port to listen on"))
    }

    fn try_start(service: SocketAddr, lines: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let configuration = rewritten(SHIPPED, folder.path(), address, service);
        let configuration = configuration.replacen("\nhttp {\n", &format!("\nhttp {{\n{lines}\n"), 1);
        std::fs::write(folder.path().join("nginx.conf"), configuration).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", GUARDIAN, "guardian"]).arg(folder.path());
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let gateway = Self { address, folder, guardian: shell.spawn().unwrap() };
        for _ in 0..1_000 {
            let log = gateway.error_log();
            if log.contains("Address already in use") {
                return None;
            }
            assert!(!log.contains("[emerg]"), "nginx does not start: {log}");
            // Its process file is written once it listens: nobody else's port answers here.
            let running = gateway.folder.path().join("nginx.pid").exists();
            if running && TcpStream::connect(gateway.address).is_ok() {
                return Some(gateway);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nginx does not listen: {}", gateway.error_log());
    }

    /// `http://…`
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The access log, once it has this many lines: each is written after its answer.
    pub fn access_log(&self, lines: usize) -> Vec<Value> {
        let read = || std::fs::read_to_string(self.folder.path().join("access.log")).unwrap();
        let mut text = read();
        for _ in 0..1_000 {
            if text.lines().count() >= lines && text.ends_with('\n') {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            text = read();
        }
        assert_eq!(text.lines().count(), lines, "{text}");
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }

    /// Both logs as they are on disk.
    pub fn raw_logs(&self) -> Vec<u8> {
        let read = |name| std::fs::read(self.folder.path().join(name)).unwrap_or_default();
        [read("access.log"), read("error.log")].concat()
    }

    /// Takes the folder away that large bodies are written to, as a full disk would.
    pub fn remove_room_for_bodies(&self) {
        std::fs::remove_dir_all(self.folder.path().join("body")).unwrap();
    }

    fn error_log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.guardian.stdin.take());
        let _ = self.guardian.wait();
    }
}

fn installed() -> bool {
    Command::new("nginx").arg("-v").output().is_ok_and(|output| output.status.success())
}

/// The shipped configuration with nothing changed but where it listens, sends and writes.
fn rewritten(shipped: &str, folder: &Path, listen: SocketAddr, service: SocketAddr) -> String {
    let folder = folder.display();
    let mut text = shipped.to_owned();
    for (from, to, times) in [
        ("listen 80 default_server;", format!("listen {listen} default_server;"), 1),
        ("server conversiond:8080;", format!("server {service};"), 1),
        ("pid /tmp/nginx.pid;", format!("pid {folder}/nginx.pid;"), 1),
        ("error_log /dev/stderr crit;", format!("error_log {folder}/error.log crit;"), 1),
        ("access_log /dev/stdout json;", format!("access_log {folder}/access.log json;"), 1),
        // One cache of kept connections, so that they are met again.
        ("worker_processes 2;", "worker_processes 1;".to_owned(), 1),
        (" /tmp/nginx-", format!(" {folder}/"), 5),
    ] {
        assert_eq!(text.matches(from).count(), times, "{from} in config/gateway/nginx.conf");
        text = text.replace(from, &to);
    }
    if nix::unistd::geteuid().is_root() {
        // Else the workers would be another user's, who may not enter the test's folder.
        text.insert_str(0, "user root;\n");
    }
    text
}
