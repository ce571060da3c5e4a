//! The open connections: how many there may be, by address and in all, and which is closed for a newer one.
//!
//! A new connection always gets in. The one that has waited longest of those that never carried a right
//! signature is closed for it: who signs has its first answer within milliseconds, who stalls is the oldest.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;

use super::connection::{Connection, Usage};
use crate::domain::peer_failures::Peer;
use crate::domain::time::Clock;
use crate::telemetry::ConnectionMetrics;

/// How many connections there may be.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// In all.
    pub all: usize,
    /// Of one address (IPv4, or IPv6 /64). A trusted proxy's are not counted so: it speaks for many.
    pub of_address: usize,
    /// How long a connection may be without a request. The framework's own limits on idle connections and on
    /// heads end most of them sooner, but not a head that trickles in behind an earlier request.
    pub idle_max: Duration,
    /// The proxies that are not counted.
    pub trusted_proxies: Vec<IpNet>,
}

/// The open connections. Clones share one table.
#[derive(Clone)]
pub struct Connections(Arc<Table>);

struct Table {
    limits: ConnectionLimits,
    clock: Arc<dyn Clock>,
    metrics: ConnectionMetrics,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    /// The oldest first.
    entries: BTreeMap<u64, Entry>,
    of_peer: HashMap<Peer, BTreeSet<u64>>,
}

struct Entry {
    /// Whose it counts as; `None` = a trusted proxy's.
    peer: Option<Peer>,
    /// A second handle of the socket, to close it by.
    socket: TcpStream,
    usage: Arc<Usage>,
}

/// A connection's place in the table, given back when it is dropped.
pub struct Place {
    table: Arc<Table>,
    id: u64,
}

impl Connections {
    /// No connection is open yet.
    pub fn new(limits: ConnectionLimits, clock: Arc<dyn Clock>, metrics: ConnectionMetrics) -> Self {
        Self(Arc::new(Table { limits, clock, metrics, open: Mutex::default() }))
    }

    /// Takes a new connection into the table, and closes another one if there are too many.
    pub fn open(&self, stream: &tokio::net::TcpStream) -> Connection {
        let Ok(address) = stream.peer_addr() else { return Connection::default() };
        // Without a second handle, as when the system has no more descriptors, it cannot be closed from here.
        let Ok(socket) = stream.as_fd().try_clone_to_owned() else { return Connection::default() };
        self.enter(address.ip(), TcpStream::from(socket))
    }

    fn enter(&self, address: IpAddr, socket: TcpStream) -> Connection {
        let table = &self.0;
        let trusted = table.limits.trusted_proxies.iter().any(|net| net.contains(&address));
        let usage = Arc::new(Usage::new(table.clock.monotonic(), trusted));
        let peer = (!trusted).then(|| Peer::of(address));
        let mut open = table.lock();
        let id = open.next;
        open.next += 1;
        if let Some(peer) = peer {
            open.of_peer.entry(peer).or_default().insert(id);
        }
        open.entries.insert(id, Entry { peer, socket, usage: usage.clone() });
        let of_peer = peer.and_then(|peer| open.of_peer.get(&peer)).map_or(0, BTreeSet::len);
        if of_peer > table.limits.of_address {
            open.close_one(id, peer);
            table.metrics.closed("address_limit");
        } else if open.entries.len() > table.limits.all {
            open.close_one(id, None);
            table.metrics.closed("limit");
        }
        drop(open);
        Connection::at(Place { table: table.clone(), id }, usage)
    }

    /// Closes the connections that have been without a request for too long.
    pub fn close_idle(&self) {
        let table = &self.0;
        let now = table.clock.monotonic();
        let mut open = table.lock();
        let too_long =
            |usage: &Usage| !usage.is_busy() && now.saturating_sub(usage.used_at()) > table.limits.idle_max;
        let idle: Vec<u64> =
            open.entries.iter().filter(|(_, entry)| too_long(&entry.usage)).map(|(id, _)| *id).collect();
        for id in idle {
            open.close(id);
            table.metrics.closed("idle");
        }
    }

    /// How many connections are open.
    pub fn count(&self) -> usize {
        self.0.lock().entries.len()
    }
}

impl Table {
    /// The table holds at every moment, also where a thread ended.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Closes a connection of this address, or of all, for the newest one, which goes itself if each of the others
    /// answers a request that was proven. The oldest that was never proven is found at once: a flood of new
    /// connections must not cost a look at all of them each.
    fn close_one(&mut self, newest: u64, peer: Option<Peer>) {
        let entry = |id: &u64| self.entries.get(id).map(|entry| (*id, entry));
        let others = |(id, _): &(u64, &Entry)| *id != newest;
        let victim = match peer.and_then(|peer| self.of_peer.get(&peer)) {
            Some(ids) => victim(ids.iter().filter_map(entry).filter(others)),
            None => victim(self.entries.iter().map(|(id, entry)| (*id, entry)).filter(others)),
        };
        self.close(victim.unwrap_or(newest));
    }

    fn close(&mut self, id: u64) {
        if let Some(entry) = self.remove(id) {
            // Whoever reads or writes it finds it at its end. One that is closed already is no error.
            let _ = entry.socket.shutdown(Shutdown::Both);
        }
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        if let Some(peer) = entry.peer
            && let Some(ids) = self.of_peer.get_mut(&peer)
        {
            ids.remove(&id);
            if ids.is_empty() {
                self.of_peer.remove(&peer);
            }
        }
        Some(entry)
    }
}

/// Which of these, the oldest first, goes: one that was never proven, the oldest, whatever it is doing, for a
/// stalled body keeps a connection busy; else the one that is longest without a request.
fn victim<'a>(connections: impl Iterator<Item = (u64, &'a Entry)> + Clone) -> Option<u64> {
    let unproven = connections.clone().find(|(_, entry)| !entry.usage.is_proven());
    let idle =
        || connections.filter(|(_, entry)| !entry.usage.is_busy()).min_by_key(|(_, e)| e.usage.used_at());
    unproven.or_else(idle).map(|(id, _)| id)
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.lock().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicU64, Ordering};

    use chrono::{DateTime, Utc};

    use super::*;

    #[derive(Default)]
    struct Seconds(AtomicU64);

    impl Clock for Seconds {
        fn now(&self) -> DateTime<Utc> {
            DateTime::UNIX_EPOCH
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    struct World {
        connections: Connections,
        clock: Arc<Seconds>,
        listener: TcpListener,
    }

    /// A connection as both sides see it.
    struct Pair {
        connection: Connection,
        client: TcpStream,
    }

    impl World {
        fn new(all: usize, of_address: usize) -> Self {
            let clock = Arc::new(Seconds::default());
            let limits = ConnectionLimits {
                all,
                of_address,
                idle_max: Duration::from_secs(50),
                trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            };
            let connections = Connections::new(limits, clock.clone(), ConnectionMetrics::default());
            Self { connections, clock, listener: TcpListener::bind("127.0.0.1:0").unwrap() }
        }

        fn open(&self, address: &str) -> Pair {
            self.clock.0.fetch_add(1, Ordering::Relaxed);
            let client = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
            let (server, _) = self.listener.accept().unwrap();
            Pair { connection: self.connections.enter(address.parse().unwrap(), server), client }
        }
    }

    impl Pair {
        fn is_closed(&self) -> bool {
            self.client.set_nonblocking(true).unwrap();
            matches!((&self.client).read(&mut [0]), Ok(0))
        }
    }

    fn closed(pairs: &[Pair]) -> Vec<usize> {
        pairs.iter().enumerate().filter(|(_, pair)| pair.is_closed()).map(|(index, _)| index).collect()
    }

    #[test]
    fn of_one_address_the_oldest_that_never_signed_goes_and_nobody_elses() {
        let world = World::new(100, 3);
        let other = world.open("198.51.100.8");
        let mut pairs: Vec<Pair> = (0..3).map(|_| world.open("198.51.100.7")).collect();
        pairs[0].connection.prove();
        pairs.push(world.open("198.51.100.7"));
        assert_eq!(closed(&pairs), [1]);
        pairs.push(world.open("198.51.100.7"));
        assert_eq!(closed(&pairs), [1, 2]);
        assert!(!other.is_closed());
        assert_eq!(world.connections.count(), 4);
        drop(pairs);
        assert_eq!((world.connections.count(), world.connections.0.lock().of_peer.len()), (1, 1));
    }

    #[test]
    fn in_all_the_oldest_unproven_goes_first_then_idle_ones_and_never_one_that_answers_a_proven_request() {
        let world = World::new(3, 100);
        let address = |number: usize| format!("198.51.100.{number}");
        let mut pairs: Vec<Pair> = (0..3).map(|number| world.open(&address(number))).collect();
        pairs[0].connection.prove();
        // A body that stalls keeps its connection busy: that does not save it from a newer one without a request.
        let _stalls = pairs[1].connection.begin(world.clock.clone());
        pairs.push(world.open(&address(3)));
        assert_eq!(closed(&pairs), [1]);
        for pair in &pairs[2..] {
            pair.connection.prove();
        }
        // All are proven: the one that is longest without a request.
        world.clock.0.fetch_add(1, Ordering::Relaxed);
        drop(pairs[0].connection.begin(world.clock.clone()));
        let _asks = pairs[2].connection.begin(world.clock.clone());
        pairs.push(world.open(&address(4)));
        assert_eq!(closed(&pairs), [1, 3]);
        pairs[4].connection.prove();
        let _ask = [0, 4].map(|index: usize| pairs[index].connection.begin(world.clock.clone()));
        pairs.push(world.open(&address(5)));
        assert_eq!(closed(&pairs), [1, 3, 5], "the newest goes itself");
        assert_eq!(world.connections.count(), 3);
    }

    #[test]
    fn a_trusted_proxys_connections_are_not_counted_by_address_and_count_as_proven() {
        let world = World::new(100, 1);
        let pairs: Vec<Pair> = (0..5).map(|_| world.open("10.0.0.1")).collect();
        assert_eq!(closed(&pairs), Vec::<usize>::new());
    }

    #[test]
    fn who_trickles_a_head_in_behind_a_request_is_closed_in_the_end() {
        let world = World::new(100, 100);
        let (idle, busy) = (world.open("198.51.100.7"), world.open("198.51.100.7"));
        let _asks = busy.connection.begin(world.clock.clone());
        world.clock.0.fetch_add(40, Ordering::Relaxed);
        drop(idle.connection.begin(world.clock.clone()));
        world.clock.0.fetch_add(50, Ordering::Relaxed);
        world.connections.close_idle();
        assert!(!idle.is_closed());
        world.clock.0.fetch_add(1, Ordering::Relaxed);
        world.connections.close_idle();
        assert!(idle.is_closed() && !busy.is_closed());
    }
}
