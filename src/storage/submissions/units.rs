//! What can hold an idempotency key: a request, a bulk request as a whole, each of its rows.

use crate::domain::submission::{
    Claim, Conflict, Content, Entry, EntryOutcome, RowContent, StoredAnswer, Submission,
};

/// One of them, on its way through the transaction.
pub struct Unit<'a> {
    /// The submission that it is (a part of), by its place in the batch.
    pub submission: usize,
    /// Which.
    pub part: Part,
    /// Its key.
    pub claim: Option<&'a Claim>,
    /// What it reports; a bulk request as a whole reports nothing, and a click is no report.
    pub entry: Option<&'a Entry>,
    /// What is to become of it.
    pub fate: Fate,
    /// What became of what it reports.
    pub outcome: Option<EntryOutcome>,
    /// What was stored under its key when it was claimed.
    pub proposed: Option<StoredAnswer>,
    /// What its key stands for in the end.
    pub answer: Option<StoredAnswer>,
}

/// What part of a submission a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it: it reports one thing.
    One,
    /// A bulk request as a whole.
    Bulk,
    /// A row of one.
    Row,
    /// All of it: it is a click.
    Click,
}

/// What is to become of a unit.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// It is run.
    Run,
    /// It is answered from what is stored.
    Replay(StoredAnswer),
    /// It must not be run.
    Refuse(Conflict),
    /// Another unit of this batch has its key.
    Follow(usize),
    /// A row of a bulk request that is not run.
    Skip,
}

impl Unit<'_> {
    /// Whether it has something to record.
    pub fn runs(&self) -> bool {
        self.fate == Fate::Run
    }
}

/// The units of a batch: a bulk request stands before its rows.
pub fn of(batch: &[Submission]) -> Vec<Unit<'_>> {
    let mut units = Vec::with_capacity(batch.len());
    for (submission, one) in batch.iter().enumerate() {
        let mut add = |part, claim, entry| {
            let fate = Fate::Run;
            let unit =
                Unit { submission, part, claim, entry, fate, outcome: None, proposed: None, answer: None };
            units.push(unit);
        };
        match one.content.as_ref() {
            Content::One(entry) => add(Part::One, one.claim.as_ref(), Some(entry)),
            Content::Click(_) => add(Part::Click, one.claim.as_ref(), None),
            Content::Bulk(rows) => {
                add(Part::Bulk, one.claim.as_ref(), None);
                for row in rows {
                    if let RowContent::Entry { claim, entry } = &row.content {
                        add(Part::Row, claim.as_ref(), Some(entry));
                    }
                }
            }
        }
    }
    units
}
