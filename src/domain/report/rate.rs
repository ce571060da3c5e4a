//! Sales per click.

/// Decimals of a rate.
const SCALE: u128 = 1_000_000;

/// Sales per click to six decimals, a half to the even neighbour; `None` without clicks.
pub fn conversion_rate(sales: u64, clicks: u64) -> Option<String> {
    let clicks = u128::from(clicks);
    let scaled = u128::from(sales) * SCALE;
    let (quotient, rest) = (scaled.checked_div(clicks)?, scaled.checked_rem(clicks)?);
    let up = match (2 * rest).cmp(&clicks) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => quotient % 2,
        std::cmp::Ordering::Greater => 1,
    };
    let rounded = quotient + up;
    Some(format!("{}.{:06}", rounded / SCALE, rounded % SCALE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_six_decimals_and_halves_go_to_the_even_neighbour() {
        let rate = |sales, clicks| conversion_rate(sales, clicks).unwrap_or_default();
        assert_eq!(rate(1, 3), "0.333333");
        assert_eq!(rate(2, 3), "0.666667");
        assert_eq!(rate(1, 2_000_000), "0.000000");
        assert_eq!(rate(3, 2_000_000), "0.000002");
        assert_eq!((rate(5, 4), rate(0, 7)), ("1.250000".to_owned(), "0.000000".to_owned()));
        assert_eq!(rate(u64::MAX, 1), "18446744073709551615.000000");
        assert_eq!(conversion_rate(1, 0), None);
    }
}
