//! Pages of lists.

/// Which part of a list that stands newest first.
#[derive(Debug, Clone, Copy)]
pub struct Page<P> {
    /// Only what stands behind this place.
    pub before: Option<P>,
    /// How many at most.
    pub limit: i64,
}

/// A part of a list that was found by looking at a bounded number of rows.
#[derive(Debug, Clone)]
pub struct Scan<T, P> {
    /// What fits, newest first.
    pub found: Vec<T>,
    /// Where it stopped before the end, having looked at as much as one page may.
    pub stopped_at: Option<P>,
}
