//! Kinds of faults, a file for each subject.

mod sqlstates;
mod wire;
