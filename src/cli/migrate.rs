//! `conversiond migrate`

use serde_json::json;

use super::{Context, Failure};
use crate::storage::{Connector, Purpose, migrate};

pub fn run(context: &Context) -> Result<(), Failure> {
    let mut connection = Connector::new(context.config.database.clone()).connect(Purpose::Write)?;
    let applied = migrate::run(&mut connection)?;
    let unknown = migrate::unknown(&mut connection)?;
    let result = match unknown.as_slice() {
        [] => json!({ "applied": applied }),
        newer => json!({ "applied": applied, "unknown": newer }),
    };
    context.output.show(&result, || match (applied.as_slice(), unknown.as_slice()) {
        ([], []) => "The schema is up to date.".to_owned(),
        ([], newer) => format!(
            "The schema is newer than this version, which does not know {}: nothing to apply.",
            newer.join(", ")
        ),
        (names, _) => format!("Applied {}.", names.join(", ")),
    })
}
