//! Examples. Tests post those of requests to a running service and hold those of answers against
//! their schemas and against what the service really answers.

pub mod answers;
pub mod orders;
pub mod reconciliations;
pub mod reports;
pub mod requests;

use serde_json::Value;

/// A click token as the link shortener appends it.
pub const TOKEN: &str = "AQABmg2Bxnt_oo-DD3gRMnvPPHyD4A2US0Gv0qO0KnQ_o1iU48BMYEaKiymTSV8fncsBmqgAjntyDL1j8-uc25IQOCtFHI5kzT1SVYqoZcBmmQ";

/// A body as it may be.
pub struct Example {
    /// Its name among the others.
    pub name: &'static str,
    /// What it shows.
    pub summary: &'static str,
    /// The body.
    pub value: Value,
}

/// An example.
const fn example(name: &'static str, summary: &'static str, value: Value) -> Example {
    Example { name, summary, value }
}
