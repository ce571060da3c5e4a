//! `X-Forwarded-For` from a proxy that is not trusted: all callers behind it count as one address.

use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use crate::telemetry::ConnectionMetrics;

/// How often the log tells of it.
const TOLD_EVERY: Duration = Duration::from_secs(3_600);

/// Tells of proxies that are missing in `server.trusted_proxies`.
#[derive(Default)]
pub struct UntrustedForwarding {
    /// Where such requests are counted. `doctor` reads it.
    metrics: ConnectionMetrics,
    told_at: Mutex<Option<Duration>>,
}

impl UntrustedForwarding {
    /// Nobody has forwarded anything yet.
    pub fn new(metrics: ConnectionMetrics) -> Self {
        Self { metrics, told_at: Mutex::default() }
    }

    /// A request with the header came from this address, which is no trusted proxy. Who comes from the
    /// internet may send the header, too: only an address of a private network is likely to be a proxy's.
    pub fn note(&self, from: IpAddr, now: Duration) {
        if !is_private(from.to_canonical()) {
            return;
        }
        self.metrics.forwarded_untrusted.inc();
        let mut told_at = self.told_at.lock().unwrap_or_else(PoisonError::into_inner);
        if told_at.is_none_or(|at| now.saturating_sub(at) >= TOLD_EVERY) {
            *told_at = Some(now);
            tracing::warn!(
                %from,
                "X-Forwarded-For from an address that is not a trusted proxy: all callers behind it count as one, for \
                 allowlists and for the limit on failures, by which one forger there takes the service from all. If it \
                 is your proxy, name it in server.trusted_proxies"
            );
        }
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_private_networks_count_and_those_of_the_internet_do_not() {
        let forwarding = UntrustedForwarding::default();
        for (address, counts) in [
            ("172.17.0.1", true),
            ("10.1.2.3", true),
            ("127.0.0.1", true),
            ("::1", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("::ffff:192.168.0.1", true),
            ("198.51.100.7", false),
            ("2001:db8::1", false),
        ] {
            let before = forwarding.metrics.forwarded_untrusted.get();
            forwarding.note(address.parse().unwrap(), Duration::ZERO);
            assert_eq!(forwarding.metrics.forwarded_untrusted.get() - before, u64::from(counts), "{address}");
        }
    }
}
