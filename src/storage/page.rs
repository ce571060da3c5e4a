//! Pages of lists.

use super::StoreError;

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

/// How many rows of a list are looked at for one page where no index leads to those that fit: a filter may
/// fit nothing of what a merchant has. In growing steps, as most filters fit enough of the newest.
const STEPS: [i64; 3] = [500, 2_000, 7_500];

impl<T, P: Copy> Scan<T, P> {
    /// Fills a page step by step. `step` looks at so many rows of its page's part of the list; it returns
    /// what fits, and the last place that it looked at unless the list ends before that.
    ///
    /// # Errors
    /// Those of `step`.
    pub fn along(
        page: Page<P>,
        mut step: impl FnMut(Page<P>, i64) -> Result<(Vec<T>, Option<P>), StoreError>,
    ) -> Result<Self, StoreError> {
        let mut found: Vec<T> = Vec::new();
        let mut before = page.before;
        for rows in STEPS {
            let missing = page.limit.saturating_sub(i64::try_from(found.len()).unwrap_or(i64::MAX));
            let (part, last) = step(Page { before, limit: missing }, rows)?;
            found.extend(part);
            let is_full = i64::try_from(found.len()).is_ok_and(|count| count >= page.limit);
            if is_full || last.is_none() {
                return Ok(Self { found, stopped_at: None });
            }
            before = last;
        }
        Ok(Self { found, stopped_at: before })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of the numbers below `size`, of which those fit that can be divided by `by`.
    fn scan(size: i64, by: i64, page: Page<i64>) -> (Vec<i64>, Option<i64>, i64) {
        let mut looked_at = 0;
        let scan = Scan::along(page, |page, rows| {
            let top = page.before.unwrap_or(size);
            let bottom = (top - rows).max(0);
            looked_at += top - bottom;
            let fitting = (bottom..top).rev().filter(|number| number % by == 0);
            let limit = usize::try_from(page.limit).unwrap();
            Ok((fitting.take(limit).collect(), (bottom > 0).then_some(bottom)))
        });
        let Scan { found, stopped_at } = scan.unwrap();
        (found, stopped_at, looked_at)
    }

    #[test]
    fn a_page_looks_at_a_bounded_number_of_rows_and_says_where_it_stopped() {
        let all = 1_000_000;
        assert_eq!(scan(all, all, Page { before: None, limit: 5 }), (vec![], Some(990_000), 10_000));
        let (found, stopped_at, looked_at) = scan(all, 1, Page { before: None, limit: 5 });
        assert_eq!((found.len(), stopped_at, looked_at), (5, None, 500));
        let (found, stopped_at, _) = scan(all, 400, Page { before: Some(2_001), limit: 5 });
        assert_eq!((found, stopped_at), (vec![2_000, 1_600, 1_200, 800, 400], None));
        assert_eq!(scan(100, 30, Page { before: None, limit: 5 }), (vec![90, 60, 30, 0], None, 100));
    }
}
