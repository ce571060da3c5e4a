//! Pages of lists.

/// Which part of a list that stands newest first.
#[derive(Debug, Clone, Copy)]
pub struct Page<P> {
    /// Only what stands behind this place.
    pub before: Option<P>,
    /// How many at most.
    pub limit: i64,
}
