//! In the service's place: a server that keeps connections, and hangs up on a request to `…/lost`
//! once it has it whole. What is sent to `…/fails` fails.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub struct Upstream {
    pub address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    requests: AtomicUsize,
    lost_on_a_kept_connection: AtomicUsize,
}

impl Upstream {
    /// Serves until the test process ends.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Counts::default());
        let counted = counts.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let counted = counted.clone();
                std::thread::spawn(move || converse(stream, &counted));
            }
        });
        Self { address, counts }
    }

    /// How many whole requests arrived, all connections together.
    pub fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }

    /// How many were hung up on after another had been answered on their connection.
    pub fn lost_on_a_kept_connection(&self) -> usize {
        self.counts.lost_on_a_kept_connection.load(Ordering::SeqCst)
    }
}

fn converse(stream: TcpStream, counts: &Counts) {
    let mut reader = BufReader::new(stream);
    let mut answered = false;
    while let Some(line) = read_request(&mut reader) {
        counts.requests.fetch_add(1, Ordering::SeqCst);
        if line.contains("/lost ") {
            counts.lost_on_a_kept_connection.fetch_add(usize::from(answered), Ordering::SeqCst);
            return;
        }
        let status = if line.contains("/fails ") { "500 Internal Server Error" } else { "200 OK" };
        let answer =
            format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}");
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
        answered = true;
    }
}

/// Reads head and body; the request line, or `None` when the connection ended before.
fn read_request(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let (mut request_line, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        if !matches!(reader.read_line(&mut line), Ok(1..)) {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
        request_line.get_or_insert(line);
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    request_line
}
