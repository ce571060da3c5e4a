//! Rebuilds the crate when a migration changes: they are compiled in. Refuses to build with a SQLite that
//! the service would not start with.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-changed=config/default.toml");
    println!("cargo:rerun-if-env-changed=LIBSQLITE3_FLAGS");
    let flags = std::env::var("LIBSQLITE3_FLAGS").unwrap_or_default();
    assert!(
        flags.contains("SQLITE_ENABLE_DBPAGE_VTAB"),
        "LIBSQLITE3_FLAGS lacks -DSQLITE_ENABLE_DBPAGE_VTAB: build in the project's folder, whose .cargo/config.toml sets it"
    );
}
