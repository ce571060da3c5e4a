//! What was found, in words for the operator.

/// One mistake, or one thing worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Finding {
    /// Its name, for programs. Names never change their meaning.
    pub code: &'static str,
    /// What happened and what to do, for people. May change.
    pub explanation: String,
}

impl Finding {
    pub(super) fn new(code: &'static str, explanation: impl Into<String>) -> Self {
        Self { code, explanation: explanation.into() }
    }
}
