//! The load: so many connections on one thread, each sends a request when it has the answer to the
//! one before. It must cost little, for it runs on the service's machine: the requests are bytes
//! already, and of an answer only status and length are read.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::now;
use super::requests::Requests;

/// What is to be sent.
pub struct Load<'a> {
    /// The requests.
    pub requests: &'a Requests,
    /// Which of them.
    pub range: Range<usize>,
    /// Whether to begin again at the end.
    pub cycle: bool,
    /// Over so many connections.
    pub connections: usize,
    /// No longer than this.
    pub limit: Duration,
}

/// What came of it.
pub struct Driven {
    /// Requests answered.
    pub answered: usize,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// In microseconds, from sending a request to having its whole answer.
    pub latency: Histogram<u64>,
}

/// Sends them; every answer must have the status that is expected.
pub fn drive(address: SocketAddr, load: &Load<'_>) -> Driven {
    let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll");
    let mut callers: Vec<Caller> = (0..load.connections)
        .map(|number| {
            let stream = TcpStream::connect(address).expect("a connection");
            stream.set_nodelay(true).expect("no delay");
            stream.set_nonblocking(true).expect("set");
            let event = EpollEvent::new(EpollFlags::EPOLLIN, number as u64);
            epoll.add(&stream, event).expect("watched");
            Caller::new(stream, number as u64)
        })
        .collect();
    let started = now();
    let mut turns = Turns { load, next: load.range.start, open: 0, end: started + load.limit };
    let mut latency = Histogram::<u64>::new(3).expect("a histogram");
    let mut answered = 0;
    for caller in &mut callers {
        caller.go_on(&mut turns, &epoll);
    }
    let mut events = vec![EpollEvent::empty(); load.connections];
    while turns.open > 0 {
        let count = epoll.wait(&mut events, EpollTimeout::from(30_000u16)).expect("events");
        assert!(count > 0, "no answer within 30 s");
        for event in &events[..count] {
            let caller = &mut callers[usize::try_from(event.data()).expect("a small number")];
            if event.events().contains(EpollFlags::EPOLLOUT) {
                caller.send(load.requests, &epoll);
            }
            if caller.receive(load.requests.status) {
                answered += 1;
                turns.open -= 1;
                let micros = u64::try_from(caller.sent.elapsed().as_micros()).unwrap_or(u64::MAX);
                latency.record(micros).expect("recorded");
                caller.go_on(&mut turns, &epoll);
            }
        }
    }
    Driven { answered, elapsed: started.elapsed(), latency }
}

/// Who sends what next.
struct Turns<'a> {
    load: &'a Load<'a>,
    next: usize,
    /// Requests under way.
    open: usize,
    end: Instant,
}

impl Turns<'_> {
    fn take(&mut self, at: Instant) -> Option<usize> {
        if at >= self.end {
            return None;
        }
        if self.next >= self.load.range.end {
            if !self.load.cycle {
                return None;
            }
            self.next = self.load.range.start;
        }
        self.next += 1;
        self.open += 1;
        Some(self.next - 1)
    }
}

/// One connection.
struct Caller {
    stream: TcpStream,
    number: u64,
    request: usize,
    /// How much of the request is on its way.
    written: usize,
    sent: Instant,
    buffer: Vec<u8>,
    filled: usize,
    /// How long the answer is, once its head was read.
    length: Option<usize>,
}

impl Caller {
    fn new(stream: TcpStream, number: u64) -> Self {
        Self {
            stream,
            number,
            request: 0,
            written: 0,
            sent: now(),
            buffer: vec![0; 8_192],
            filled: 0,
            length: None,
        }
    }

    fn go_on(&mut self, turns: &mut Turns<'_>, epoll: &Epoll) {
        self.sent = now();
        if let Some(request) = turns.take(self.sent) {
            (self.request, self.written) = (request, 0);
            self.send(turns.load.requests, epoll);
        }
    }

    fn send(&mut self, requests: &Requests, epoll: &Epoll) {
        let bytes = requests.get(self.request);
        let waited = self.written > 0;
        while self.written < bytes.len() {
            match self.stream.write(&bytes[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.watch(epoll, EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT);
                    return;
                }
                Err(error) => panic!("a request was not taken: {error}"),
            }
        }
        if waited {
            self.watch(epoll, EpollFlags::EPOLLIN);
        }
    }

    fn watch(&self, epoll: &Epoll, what: EpollFlags) {
        epoll.modify(&self.stream, &mut EpollEvent::new(what, self.number)).expect("watched");
    }

    /// Reads what is there; whether the answer is complete.
    fn receive(&mut self, status: &str) -> bool {
        match self.stream.read(&mut self.buffer[self.filled..]) {
            Ok(0) => panic!("the service closed a connection"),
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => panic!("no answer: {error}"),
        }
        if self.length.is_none() {
            self.length = length(&self.buffer[..self.filled]);
            if let Some(length) = self.length {
                let text = || String::from_utf8_lossy(&self.buffer[..self.filled.min(2_000)]);
                assert_eq!(self.buffer.get(9..12), Some(status.as_bytes()), "{}", text());
                if self.buffer.len() < length {
                    self.buffer.resize(length, 0);
                }
            }
        }
        if self.length.is_none_or(|length| self.filled < length) {
            return false;
        }
        (self.filled, self.length) = (0, None);
        true
    }
}

/// How long an answer is, its head included, if that is there.
fn length(answer: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"\ncontent-length: ";
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let name = answer[..head].windows(NAME.len()).position(|bytes| bytes.eq_ignore_ascii_case(NAME));
    let digits = &answer[name.expect("an answer with a length") + NAME.len()..head];
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit());
    Some(head + length.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0')))
}
