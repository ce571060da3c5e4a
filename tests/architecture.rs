//! The rooms' order: imports point one way, and each library has its room.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that meets the unexpected fails"
)]

use std::path::{Path, PathBuf};

/// The rooms from the inside out. A room may import those before it.
const ROOMS: [&str; 10] =
    ["domain", "config", "system", "telemetry", "storage", "keyring", "ingest", "http", "server", "cli"];

/// Libraries and the rooms that may know them.
const LIBRARIES: [(&str, &[&str]); 9] = [
    ("diesel", &["storage"]),
    ("diesel_migrations", &["storage"]),
    ("actix_web", &["http", "server"]),
    ("tokio", &["storage", "http", "server", "cli"]),
    ("figment", &["config"]),
    ("clap", &["cli"]),
    ("schemars", &["http"]),
    ("csv", &["http"]),
    ("csv_core", &["ingest"]),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Every source file of a room with its text, comments and tests left out.
fn files() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    for path in sources(&root) {
        let relative = path.strip_prefix(&root).unwrap();
        let first = relative.iter().next().unwrap().to_str().unwrap();
        let room = first.trim_end_matches(".rs").to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let code =
            code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        files.push((room, path, code));
    }
    assert!(files.len() > 50, "the sources are where this test looks for them");
    files
}

/// The words that follow `prefix` in the code.
fn words_after<'a>(code: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(prefix).map(move |(at, _)| {
        let rest = &code[at + prefix.len()..];
        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("")
    })
}

#[test]
fn imports_point_one_way() {
    let rank = |room: &str| ROOMS.iter().position(|known| *known == room);
    for (room, path, code) in files() {
        if room == "lib" || room == "main" {
            continue;
        }
        let own = rank(&room).unwrap_or_else(|| panic!("{room} is no room: give it a place in ROOMS"));
        for imported in words_after(&code, "crate::") {
            let other = rank(imported).unwrap_or_else(|| panic!("{}: crate::{imported}", path.display()));
            assert!(other <= own, "{} imports {imported}, which lies further out", path.display());
        }
    }
}

#[test]
fn each_library_stays_in_its_rooms() {
    for (room, path, code) in files() {
        for (library, rooms) in LIBRARIES {
            let known = code.contains(&format!("{library}::"));
            let allowed = rooms.contains(&room.as_str()) || room == "main";
            assert!(!known || allowed, "{} knows {library}", path.display());
        }
    }
}

#[test]
fn the_domain_is_pure() {
    let forbidden =
        ["std::fs", "std::env", "std::net::Tcp", "std::thread", "std::process", "tracing::", "getrandom"];
    for (room, path, code) in files() {
        for word in forbidden {
            assert!(room != "domain" || !code.contains(word), "{} knows {word}", path.display());
        }
    }
}

#[test]
fn paths_of_the_api_stand_in_one_file() {
    for (room, path, code) in files() {
        let router = path.ends_with("http/routes.rs");
        assert!(room != "http" || router || !code.contains("\"/api/"), "{} knows a path", path.display());
    }
}

#[test]
fn no_file_outgrows_its_subject() {
    for (_, path, _) in files() {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 350, "{} has {lines} lines: does it have one subject?", path.display());
    }
}

/// The image builds the dependencies first, against an empty crate: cargo refuses a manifest that names
/// a file which is not there.
#[test]
fn the_images_empty_crate_has_every_bench_of_the_manifest() {
    let read =
        |name: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let (manifest, dockerfile) = (read("Cargo.toml"), read("Dockerfile"));
    let benches: Vec<&str> = manifest.split("[[bench]]").skip(1).collect();
    assert!(!benches.is_empty());
    for bench in benches {
        let value = |key: &str| {
            let mut lines = bench.lines().take_while(|line| !line.starts_with('['));
            lines.find_map(|line| Some(line.strip_prefix(key)?.trim_matches([' ', '=', '"']).to_owned()))
        };
        let file = value("path").unwrap_or_else(|| format!("benches/{}.rs", value("name").unwrap()));
        assert!(dockerfile.contains(&format!("> {file} ")), "the Dockerfile's empty crate lacks {file}");
    }
}

/// SECURITY.md says of each item by which test it holds: `api/isolation::name` is in tests/api/isolation.rs,
/// `src/domain/vault::name` in that file.
#[test]
fn every_test_that_security_md_names_is_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(folder.join("SECURITY.md")).unwrap();
    let named: Vec<_> = text.split('`').filter_map(|quoted| quoted.split_once("::")).collect();
    assert!(named.len() > 50, "{}", named.len());
    for (file, name) in named {
        let under = if file.starts_with("src/") { folder.to_owned() } else { folder.join("tests") };
        let path = under.join(format!("{file}.rs"));
        let code = std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("no {}", path.display()));
        let declared = code.match_indices(&format!("fn {name}(")).next();
        assert!(declared.is_some(), "{file}.rs has no test {name}");
    }
}
