use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use figment::Figment;
use figment::providers::{Format as _, Toml};

use crate::config::load_from;
use crate::cursor::{Place, QueryTag};
use crate::domain::attempt::LinePlace;
use crate::domain::ids::EventId;

/// A configuration file: refused in words, or within the limits that the rest relies on.
pub fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match load_from(Figment::from(Toml::string(text))) {
        Err(error) => assert!(error.to_string().len() > "configuration: ".len()),
        Ok(config) => {
            assert!((30..=900).contains(&config.signature.tolerance_s));
            assert!((1..=720).contains(&config.idempotency.ttl_hours));
            assert!(config.ingest.queue_events > 0 && config.ingest.batch_events > 0);
            assert!(config.server.max_connections > 0);
        }
    }
}

/// A cursor: there is one way to write a place, and only for the query it came from.
pub fn cursor(data: &[u8]) {
    let (tag, other) = (QueryTag::of(&["conversions", "live"]), QueryTag::of(&["conversions", "test"]));
    fn check<P: Place>(tag: QueryTag, other: QueryTag, text: &str) {
        if let Ok(place) = tag.read::<P>(text) {
            assert_eq!(tag.cursor(place), text, "two cursors of one place");
            assert!(other.read::<P>(text).is_err(), "a cursor of another query is taken");
        }
    }
    let mut texts = vec![String::from_utf8_lossy(data).into_owned()];
    // And what nobody else can make: the right tag before any bytes.
    let of_event = tag.cursor(EventId::from_uuid(uuid::Uuid::nil()));
    let mut bytes = URL_SAFE_NO_PAD.decode(of_event).unwrap();
    bytes.truncate(8);
    bytes.extend_from_slice(data);
    texts.push(URL_SAFE_NO_PAD.encode(bytes));
    for text in texts {
        check::<EventId>(tag, other, &text);
        check::<LinePlace>(tag, other, &text);
    }
}
