//! What the rows of a report are.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::period::Unit;

/// Something that rows are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// A period.
    Time(Unit),
    /// The short link that a sale is credited to.
    UrlId,
    /// Its domain.
    DomainId,
    /// Whether there is one.
    Attribution,
}

/// One or two different dimensions, of which one at most is a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupBy {
    first: Dimension,
    second: Option<Dimension>,
}

/// Not what a report can be grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be one or two different ones of day, week, month, url_id, domain_id, attribution, separated by a \
     comma, with one of day, week and month at most"
)]
pub struct InvalidGroupBy;

impl Dimension {
    /// Each of them.
    pub const ALL: [Self; 6] = [
        Self::Time(Unit::Day),
        Self::Time(Unit::Week),
        Self::Time(Unit::Month),
        Self::UrlId,
        Self::DomainId,
        Self::Attribution,
    ];

    /// Its name in queries and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Time(Unit::Day) => "day",
            Self::Time(Unit::Week) => "week",
            Self::Time(Unit::Month) => "month",
            Self::UrlId => "url_id",
            Self::DomainId => "domain_id",
            Self::Attribution => "attribution",
        }
    }
}

impl GroupBy {
    /// The dimensions, in the order in which rows are sorted.
    pub fn dimensions(self) -> impl Iterator<Item = Dimension> {
        std::iter::once(self.first).chain(self.second)
    }

    /// Whether rows are told apart by this.
    pub fn has(self, dimension: Dimension) -> bool {
        self.dimensions().any(|one| one == dimension)
    }

    /// What its periods are.
    pub fn unit(self) -> Option<Unit> {
        self.dimensions().find_map(|dimension| match dimension {
            Dimension::Time(unit) => Some(unit),
            Dimension::UrlId | Dimension::DomainId | Dimension::Attribution => None,
        })
    }

    /// Whether rows are told apart by time alone: then there is one of every period.
    pub fn is_time_alone(self) -> bool {
        self.second.is_none() && self.unit().is_some()
    }

    /// The row for what happened in a period to what is credited so.
    pub fn key(self, period: usize, credit: &Credit) -> Key {
        let link = |id: Option<Uuid>| id.map_or(Part::NoLink, Part::Link);
        let part = |dimension| match dimension {
            Dimension::Time(_) => Part::Period(period),
            Dimension::UrlId => link(credit.url_id),
            Dimension::DomainId => link(credit.domain_id),
            Dimension::Attribution if credit.attributed => Part::Attributed,
            Dimension::Attribution => Part::Unattributed,
        };
        Key([Some(part(self.first)), self.second.map(part)])
    }
}

impl Default for GroupBy {
    /// By day.
    fn default() -> Self {
        Self { first: Dimension::Time(Unit::Day), second: None }
    }
}

impl FromStr for GroupBy {
    type Err = InvalidGroupBy;

    fn from_str(text: &str) -> Result<Self, InvalidGroupBy> {
        let dimension = |name: &str| {
            Dimension::ALL.into_iter().find(|dimension| dimension.as_str() == name).ok_or(InvalidGroupBy)
        };
        let Some((first, second)) = text.split_once(',') else {
            return Ok(Self { first: dimension(text)?, second: None });
        };
        let (first, second) = (dimension(first)?, dimension(second)?);
        let both_times = matches!((first, second), (Dimension::Time(_), Dimension::Time(_)));
        if first == second || both_times {
            return Err(InvalidGroupBy);
        }
        Ok(Self { first, second: Some(second) })
    }
}

impl fmt::Display for GroupBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.first.as_str())?;
        self.second.map_or(Ok(()), |second| write!(f, ",{}", second.as_str()))
    }
}

/// What a sale, lead or click is credited to. What the report does not ask for may be left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Credit {
    /// The short link.
    pub url_id: Option<Uuid>,
    /// Its domain.
    pub domain_id: Option<Uuid>,
    /// Whether there is one.
    pub attributed: bool,
}

/// Tells a row from others. Rows stand in its order: by time, by id, and without a link last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key([Option<Part>; 2]);

impl Key {
    /// The value of each dimension.
    pub fn parts(self) -> impl Iterator<Item = Part> {
        self.0.into_iter().flatten()
    }
}

/// A dimension's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The period of this number.
    Period(usize),
    /// A link, or a domain.
    Link(Uuid),
    /// None.
    NoLink,
    /// Credited to a link.
    Attributed,
    /// To none.
    Unattributed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_grouped_by_one_or_two_different_dimensions() {
        for text in ["day", "week", "month", "url_id", "url_id,day", "month,attribution", "domain_id,url_id"]
        {
            assert_eq!(text.parse::<GroupBy>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "day,",
            ",day",
            "day,day",
            "day,week",
            "month,day",
            "day,url_id,attribution",
            "Day",
            "day, url_id",
            "hour",
        ] {
            assert_eq!(text.parse::<GroupBy>(), Err(InvalidGroupBy), "{text}");
        }
        assert_eq!(GroupBy::default().to_string(), "day");
    }

    #[test]
    fn rows_are_sorted_as_they_are_grouped_and_without_a_link_last() {
        let group: GroupBy = "url_id,day".parse().unwrap();
        let link = |number| Credit { url_id: Some(Uuid::from_u128(number)), ..Credit::default() };
        let none = Credit::default();
        let keys =
            [group.key(0, &link(1)), group.key(1, &link(1)), group.key(0, &link(2)), group.key(0, &none)];
        assert!(keys.is_sorted(), "{keys:?}");
        let group: GroupBy = "day,url_id".parse().unwrap();
        let keys = [group.key(0, &link(2)), group.key(0, &none), group.key(1, &link(1))];
        assert!(keys.is_sorted(), "{keys:?}");
    }
}
