//! `conversiond migrate`

use serde_json::json;

use super::{Context, Failure};
use crate::storage::{Connector, Purpose, migrate};

pub fn run(context: &Context) -> Result<(), Failure> {
    let mut connection = Connector::new(context.config.database.clone()).connect(Purpose::Write)?;
    let applied = migrate::run(&mut connection)?;
    context.output.show(&json!({ "applied": applied }), || match applied.as_slice() {
        [] => "The schema is up to date.".to_owned(),
        names => format!("Applied {}.", names.join(", ")),
    })
}
