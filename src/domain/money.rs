//! Money: integer minor units and a currency, never a float (contract section 2).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// An ISO 4217 currency that has a minor unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Currency(iso_currency::Currency);

/// The code is unknown, or names something without a minor unit (XAU, XXX, XTS).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an ISO 4217 currency code such as USD")]
pub struct InvalidCurrency;

impl Currency {
    /// How many decimals an amount of this currency has.
    pub fn exponent(self) -> usize {
        self.0.exponent().map_or(0, usize::from)
    }

    /// The upper-case code.
    pub fn code(self) -> &'static str {
        self.0.code()
    }
}

impl Ord for Currency {
    /// By code.
    fn cmp(&self, other: &Self) -> Ordering {
        self.code().cmp(other.code())
    }
}

impl PartialOrd for Currency {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Currency {
    type Err = InvalidCurrency;

    fn from_str(code: &str) -> Result<Self, InvalidCurrency> {
        iso_currency::Currency::from_code(&code.to_ascii_uppercase())
            .filter(|currency| currency.exponent().is_some())
            .map(Self)
            .ok_or(InvalidCurrency)
    }
}

/// Why a text is no amount of its currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMoney {
    /// Not `^(0|[1-9][0-9]*)(\.[0-9]+)?$`.
    #[error("must be a plain decimal number such as 129.90, without sign, exponent or leading zeros")]
    Format,
    /// More decimals than the currency has: refused, never rounded.
    #[error("has more decimals than {currency} allows ({exponent})")]
    Scale {
        /// The currency's code.
        currency: &'static str,
        /// The decimals it has.
        exponent: usize,
    },
    /// Beyond [`Money::MINOR_MAX`].
    #[error("is beyond 10^15 minor units")]
    TooLarge,
}

/// A decimal number as written, whose currency is not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal<'a> {
    whole: &'a str,
    fraction: &'a str,
}

impl<'a> Decimal<'a> {
    /// Whether two writings are one number: `10` and `10.00` are.
    pub fn same_number(self, other: Decimal<'_>) -> bool {
        self.whole == other.whole
            && self.fraction.trim_end_matches('0') == other.fraction.trim_end_matches('0')
    }

    /// Reads `^(0|[1-9][0-9]*)(\.[0-9]+)?$`.
    pub fn parse(text: &'a str) -> Result<Self, InvalidMoney> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return Err(InvalidMoney::Format),
            None => (text, ""),
        };
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        if whole.is_empty() || leading_zero || !digits(whole) || !digits(fraction) {
            return Err(InvalidMoney::Format);
        }
        Ok(Self { whole, fraction })
    }
}

impl fmt::Display for Decimal<'_> {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fraction {
            "" => f.write_str(self.whole),
            fraction => write!(f, "{}.{fraction}", self.whole),
        }
    }
}

/// An amount of money, zero or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

impl Money {
    /// The largest amount, in minor units.
    pub const MINOR_MAX: i64 = 1_000_000_000_000_000;

    /// Reads an amount from its literal digits.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, InvalidMoney> {
        Self::from_decimal(Decimal::parse(text)?, currency)
    }

    /// An amount of this currency: the scale must fit, nothing is rounded.
    pub fn from_decimal(decimal: Decimal<'_>, currency: Currency) -> Result<Self, InvalidMoney> {
        let Decimal { whole, fraction } = decimal;
        let exponent = currency.exponent();
        let Some(padding) = exponent.checked_sub(fraction.len()) else {
            return Err(InvalidMoney::Scale { currency: currency.code(), exponent });
        };
        let literal = format!("{whole}{fraction}{}", "0".repeat(padding));
        // All are digits: the only way to fail is to be too long.
        let minor: i64 = literal.parse().map_err(|_| InvalidMoney::TooLarge)?;
        Self::from_minor(minor, currency)
    }

    /// An amount from its minor units.
    pub fn from_minor(minor: i64, currency: Currency) -> Result<Self, InvalidMoney> {
        match minor {
            0..=Self::MINOR_MAX => Ok(Self { minor, currency }),
            i64::MIN..=-1 => Err(InvalidMoney::Format),
            _ => Err(InvalidMoney::TooLarge),
        }
    }

    /// The amount in minor units (cents, yen, fils).
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }
}

impl fmt::Display for Money {
    /// The decimal at the currency's full scale, without the currency: `129.90`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Total::from(*self).fmt(f)
    }
}

/// A sum or a difference of amounts of one currency. It has room for more amounts than a database
/// can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    /// In minor units.
    pub minor: i128,
    /// The currency.
    pub currency: Currency,
}

impl From<Money> for Total {
    fn from(money: Money) -> Self {
        Self { minor: money.minor.into(), currency: money.currency }
    }
}

impl fmt::Display for Total {
    /// The decimal at the currency's full scale, without the currency: `-129.90`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = self.currency.exponent();
        let sign = if self.minor < 0 { "-" } else { "" };
        let digits = format!("{:0width$}", self.minor.unsigned_abs(), width = exponent + 1);
        match digits.split_at_checked(digits.len() - exponent) {
            Some((whole, fraction)) if exponent > 0 => write!(f, "{sign}{whole}.{fraction}"),
            _ => write!(f, "{sign}{digits}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn currency(code: &str) -> Currency {
        code.parse().unwrap()
    }

    #[test]
    fn the_scale_is_the_currencys() {
        let minor = |text, code| Money::parse(text, currency(code)).map(Money::minor);
        assert_eq!(minor("1580", "JPY"), Ok(1580));
        assert_eq!(minor("129.9", "USD"), Ok(12_990));
        assert_eq!(minor("0.001", "KWD"), Ok(1));
        assert!(matches!(minor("1580.50", "JPY"), Err(InvalidMoney::Scale { .. })));
        assert!(matches!(minor("1580.00", "JPY"), Err(InvalidMoney::Scale { .. })));
        assert!(matches!(minor("1.001", "USD"), Err(InvalidMoney::Scale { .. })));
    }

    #[test]
    fn only_plain_decimals_are_amounts() {
        for text in ["", "-1", "+1", "01", "1.", ".5", "1e3", "NaN", "1,000", " 1", "1 ", "٣", "0x1"] {
            assert_eq!(Money::parse(text, currency("USD")), Err(InvalidMoney::Format), "{text:?}");
        }
        assert_eq!(Money::parse(&"9".repeat(5000), currency("USD")), Err(InvalidMoney::TooLarge));
    }

    #[test]
    fn the_limit_is_ten_to_the_fifteenth_minor_units() {
        assert!(Money::parse("10000000000000.00", currency("USD")).is_ok());
        assert_eq!(Money::parse("10000000000000.01", currency("USD")), Err(InvalidMoney::TooLarge));
    }

    #[test]
    fn currencies_without_a_minor_unit_are_refused() {
        assert_eq!("usd".parse::<Currency>().map(Currency::code), Ok("USD"));
        for code in ["XAU", "XXX", "XTS", "ABC", "", "US", "ÜSD"] {
            assert!(code.parse::<Currency>().is_err(), "{code}");
        }
    }

    proptest! {
        #[test]
        fn an_amount_survives_writing_and_reading(minor in 0..=Money::MINOR_MAX, code in "USD|JPY|KWD|EUR") {
            let money = Money::from_minor(minor, currency(&code)).unwrap();
            prop_assert_eq!(Money::parse(&money.to_string(), money.currency()), Ok(money));
        }
    }
}
