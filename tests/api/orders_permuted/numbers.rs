//! Chance that is the same in every run.

/// Numbers that look random and follow from their seed (xorshift64*).
pub struct Numbers(u64);

impl Numbers {
    /// The numbers of a seed, and of a part of the test that has its own.
    pub fn of(seed: u64, part: u64) -> Self {
        let mut numbers = Self(((seed << 8) | part).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        // Close seeds begin alike.
        for _ in 0..8 {
            numbers.below(2);
        }
        numbers
    }

    /// A number below this limit.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap() % limit
    }

    /// Yes, once in so many times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Another order of these.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for end in (1..list.len()).rev() {
            list.swap(end, self.below(end + 1));
        }
    }
}
