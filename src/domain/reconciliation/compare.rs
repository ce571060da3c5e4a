//! What differs between a row and an order.

use super::row::{Amount, Row};
use crate::domain::ids::ExternalId;
use crate::domain::money::{Currency, Total};
use crate::domain::order::{Figures, State};

/// Something that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The order.
    pub order: ExternalId,
    /// What differs.
    pub finding: Finding,
}

/// What differs.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// The merchant has the order, and no sale of it within the period is recorded.
    MissingHere {
        /// Why, as far as it is known.
        reason: Option<String>,
    },
    /// A sale is recorded, and the merchant does not have the order.
    MissingThere,
    /// An amount.
    Amount {
        /// `value` or `net`.
        field: &'static str,
        /// As recorded.
        here: Total,
        /// As the merchant says.
        there: Amount,
    },
    /// The currency. Then amounts are not compared.
    Currency {
        /// As recorded.
        here: Currency,
        /// As the merchant says.
        there: Currency,
    },
    /// The state.
    State {
        /// As recorded.
        here: State,
        /// As the merchant says.
        there: State,
    },
}

impl Finding {
    /// Its kind, in one word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::MissingHere { .. } => "missing_here",
            Self::MissingThere => "missing_there",
            Self::Amount { .. } => "amount_differs",
            Self::Currency { .. } => "currency_differs",
            Self::State { .. } => "state_differs",
        }
    }
}

/// Everything that differs between a row and its order, whose sale is recorded.
pub fn compare(row: &Row, figures: &Figures) -> Vec<Finding> {
    let mut findings = Vec::new();
    let currencies = figures.currency.zip(row.currency).filter(|(here, there)| here != there);
    if let Some((here, there)) = currencies {
        findings.push(Finding::Currency { here, there });
    } else {
        let amounts = [("value", figures.sold, &row.value), ("net", figures.net, &row.net)];
        for (field, here, there) in amounts {
            if let (Some(here), Some(there)) = (here, there)
                && !there.is(here)
            {
                findings.push(Finding::Amount { field, here, there: there.clone() });
            }
        }
    }
    if let Some(there) = row.state.filter(|state| *state != figures.state) {
        findings.push(Finding::State { here: figures.state, there });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::EventName;
    use crate::domain::money::Money;
    use crate::domain::order::{Fact, Ledger};
    use crate::domain::reconciliation::read_row;

    fn figures() -> Figures {
        let money = |text: &str| Some(Money::parse(text, "EUR".parse().unwrap()).unwrap());
        let fact = |name, value| Fact { name, value, differed: false };
        Ledger::of([fact(EventName::Sale, money("10")), fact(EventName::Refund, money("4"))]).figures()
    }

    fn found(row: &str) -> Vec<(&'static str, String)> {
        compare(&read_row(1, row.as_bytes()).unwrap(), &figures())
            .into_iter()
            .map(|finding| match &finding {
                Finding::Amount { field, here, there } => {
                    (finding.kind(), format!("{field} {here} {}", there.text()))
                }
                Finding::Currency { here, there } => {
                    (finding.kind(), format!("{} {}", here.code(), there.code()))
                }
                Finding::State { here, there } => {
                    (finding.kind(), format!("{} {}", here.as_str(), there.as_str()))
                }
                Finding::MissingHere { .. } | Finding::MissingThere => (finding.kind(), String::new()),
            })
            .collect()
    }

    #[test]
    fn what_is_left_out_is_not_compared_and_equal_numbers_are_equal() {
        for row in [
            r#"{"order_id":"A"}"#,
            r#"{"order_id":"A","value":"10","net":6.0}"#,
            r#"{"order_id":"A","value":"10.000","net":"6"}"#,
            r#"{"order_id":"A","value":10.00,"currency":"eur","state":"partially_refunded"}"#,
        ] {
            assert_eq!(found(row), [], "{row}");
        }
    }

    #[test]
    fn every_difference_is_told_and_amounts_of_another_currency_are_not_compared() {
        assert_eq!(
            found(r#"{"order_id":"A","value":"10.01","net":"6.001","state":"open"}"#),
            [
                ("amount_differs", "value 10.00 10.01".to_owned()),
                ("amount_differs", "net 6.00 6.001".to_owned()),
                ("state_differs", "partially_refunded open".to_owned())
            ]
        );
        assert_eq!(
            found(r#"{"order_id":"A","value":"10","currency":"USD"}"#),
            [("currency_differs", "EUR USD".to_owned())]
        );
    }

    #[test]
    fn a_row_that_cannot_be_read_says_everything_that_is_wrong() {
        let row = r#"{"value":"1,5","net":"1.001","currency":"EUR","state":"lost"}"#;
        let errors = read_row(7, row.as_bytes()).unwrap_err();
        let pointers: Vec<&str> = errors.errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!((errors.line, pointers), (7, vec!["/order_id", "/value", "/net", "/state"]));
        assert_eq!(read_row(1, b"{").unwrap_err().errors.len(), 1);
    }
}
