use std::net::IpAddr;

use ipnet::IpNet;

use crate::domain::client_address::client_address as address_of;

/// The lines of `X-Forwarded-For`: nobody but a trusted proxy is believed, and whatever a client puts
/// in front of what its proxies have added changes nothing.
pub fn client_address(data: &[u8]) {
    let Some((peer, rest)) = data.split_first() else { return };
    let peers: [IpAddr; 4] = [
        [10, 0, 0, 1].into(),
        [203, 0, 113, 9].into(),
        "::ffff:10.0.0.1".parse().unwrap(),
        "fd00::1".parse().unwrap(),
    ];
    let peer = peers[usize::from(peer % 4)];
    let trusted: [IpNet; 2] = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address.to_canonical()));
    let text = String::from_utf8_lossy(rest);
    let lines: Vec<&str> = text.split('\n').collect();

    let found = address_of(peer, lines.iter().copied(), &trusted);
    assert_eq!(found, found.to_canonical(), "an IPv4 address in IPv6");
    if !is_trusted(peer) {
        assert_eq!(found, peer.to_canonical(), "an untrusted peer is believed");
    }
    // It is the peer, or an entry, and all entries to its right are trusted proxies'.
    let mut entries = lines.iter().rev().flat_map(|line| line.rsplit(',')).map(|entry| entry.trim().parse());
    let mut passed = peer;
    while passed.to_canonical() != found {
        assert!(is_trusted(passed), "{passed} was believed");
        passed = entries.next().expect("an address out of nowhere").expect("beyond what is unreadable");
    }
    if !is_trusted(found) {
        for forged in ["6.6.6.6", "10.6.6.6, 6.6.6.6", ",", "\u{fffd}"] {
            let longer = format!("{forged},{}", lines[0]);
            let lines = std::iter::once(longer.as_str()).chain(lines[1..].iter().copied());
            let lines: Vec<&str> = lines.collect();
            assert_eq!(address_of(peer, lines.into_iter(), &trusted), found, "a forged entry counts");
        }
    }
}
