//! How much of something bounded one of many may have.

/// What there is for one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Enough.
    Enough,
    /// Some, but not for this one.
    ShareUsed,
    /// Not enough for anybody.
    None,
}

impl Room {
    /// Whether there is room for `more` where one has `own`, and all together have `all`, of at most `max`.
    ///
    /// One that has something may have as much as stays free: alone half of everything, two together two
    /// thirds. So there is always room for another one. What is larger than everything is taken when there
    /// is nothing else.
    pub const fn of(own: usize, all: usize, more: usize, max: usize) -> Self {
        if all == 0 {
            return Self::Enough;
        }
        let Some(free) = max.saturating_sub(all).checked_sub(more) else { return Self::None };
        if own == 0 || own.saturating_add(more) <= free { Self::Enough } else { Self::ShareUsed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_may_have_as_much_as_it_leaves_free() {
        assert_eq!(Room::of(0, 0, 200, 100), Room::Enough);
        assert_eq!(Room::of(40, 40, 10, 100), Room::Enough);
        assert_eq!(Room::of(40, 40, 11, 100), Room::ShareUsed);
        assert_eq!(Room::of(0, 50, 50, 100), Room::Enough);
        assert_eq!(Room::of(0, 50, 51, 100), Room::None);
        assert_eq!(Room::of(25, 75, 1, 100), Room::ShareUsed);
    }
}
