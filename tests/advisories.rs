//! `security/advisories.toml` against what is locked: no affected version without a reason, and no reason
//! that has had its day.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets the unexpected fails"
)]

use std::path::Path;

use figment::Figment;
use figment::providers::{Format as _, Toml};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    checked: String,
    advisory: Vec<Advisory>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Advisory {
    #[serde(rename = "crate")]
    name: String,
    id: String,
    about: String,
    affected: Vec<String>,
    because: Option<String>,
    #[serde(default)]
    bundled: bool,
}

#[derive(serde::Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(serde::Deserialize)]
struct Package {
    name: String,
    version: String,
}

fn read<T: serde::de::DeserializeOwned>(path: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    Figment::from(Toml::file_exact(path)).extract().unwrap()
}

/// What is locked of a crate, for the service and for the fuzzers.
fn locked(advisory: &Advisory) -> Vec<String> {
    let locks = ["Cargo.lock", "fuzz/Cargo.lock"].map(read::<Lock>);
    let packages = locks.into_iter().flat_map(|lock| lock.package);
    packages.filter(|package| package.name == advisory.name).map(|package| package.version).collect()
}

/// The numbers of a version: of the crate's own, or of the C library that it says after a plus.
fn numbers(version: &str, bundled: bool) -> Vec<u64> {
    let (own, library) = version.split_once('+').unwrap_or((version, ""));
    let text = if bundled { library } else { own };
    text.split('.').map(|number| number.parse().unwrap_or_else(|_| panic!("{version}"))).collect()
}

fn is_affected(version: &str, advisory: &Advisory) -> bool {
    let version = numbers(version, advisory.bundled);
    advisory.affected.iter().any(|range| {
        let (from, fixed) = range.split_once("..").expect("a range");
        (from.is_empty() || version >= numbers(from, false))
            && (fixed.is_empty() || version < numbers(fixed, false))
    })
}

#[test]
fn every_locked_version_with_a_known_fault_has_a_reason_and_no_other_has() {
    let list: List = read("security/advisories.toml");
    assert!(list.checked.len() == 10 && list.checked.starts_with("20"), "checked = \"YYYY-MM-DD\"");
    for advisory in &list.advisory {
        let what = format!("{} {} ({})", advisory.name, advisory.id, advisory.about);
        let locked = locked(advisory);
        assert!(!locked.is_empty(), "{what}: the crate is not locked any more; take the entry out");
        let affected: Vec<_> = locked.iter().filter(|version| is_affected(version, advisory)).collect();
        let explained = advisory.because.as_ref().is_some_and(|because| !because.trim().is_empty());
        assert!(
            affected.is_empty() || explained,
            "{what}: {affected:?} is affected; update it or say why not"
        );
        assert!(
            !affected.is_empty() || !explained,
            "{what}: {locked:?} is not affected any more; drop `because`"
        );
    }
}

#[test]
fn what_the_reasons_say_is_not_compiled_in_is_not_locked() {
    let lock: Lock = read("Cargo.lock");
    for absent in ["h2", "brotli", "awc"] {
        assert!(lock.package.iter().all(|package| package.name != absent), "{absent}");
    }
}

#[test]
fn versions_are_compared_by_number_and_a_fixed_one_is_not_affected() {
    let advisory = |bundled, affected: &[&str]| Advisory {
        name: String::new(),
        id: String::new(),
        about: String::new(),
        affected: affected.iter().map(|range| (*range).to_owned()).collect(),
        because: None,
        bundled,
    };
    for (version, bundled, affected, expected) in [
        ("3.20.0", false, &["..3.21.2"][..], true),
        ("3.21.2", false, &["..3.21.2"], false),
        ("3.9.0", false, &["3.10.0..3.11.0"], false),
        ("3.18.9", false, &["3.18.10..3.20.2"], false),
        ("0.9.5", false, &["0.7.0..0.8.6", "0.9.0..0.9.3"], false),
        ("0.8.5", false, &["0.7.0..0.8.6", "0.9.0..0.9.3"], true),
        ("1.0.0", false, &["1.0.0.."], true),
        ("300.6.1+3.6.3", true, &["3.6.0..3.6.4"], true),
        ("300.6.2+3.6.4", true, &["3.6.0..3.6.4"], false),
    ] {
        assert_eq!(is_affected(version, &advisory(bundled, affected)), expected, "{version} in {affected:?}");
    }
}
