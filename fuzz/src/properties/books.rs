use std::collections::HashSet;

use chrono::DateTime;

use super::check_errors;
use crate::books::{read_csv, read_json, read_ndjson};
use crate::domain::event::Rejection;
use crate::domain::reconciliation::{Amount, Books, Row};

/// A merchant's books in their three forms: no order twice, and what was read is read the same when it
/// is written as CSV.
pub fn reconciliation(data: &[u8]) {
    let Some((form, body)) = data.split_first() else { return };
    let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
    let period = (at(1_700_000_000), at(1_800_000_000));
    let read = match form % 3 {
        0 => read_csv(body, period),
        1 => read_ndjson(body, period),
        _ => read_json(body),
    };
    let books = match read {
        Ok(books) => books,
        Err(Rejection::Invalid(errors)) => return check_errors(&errors),
        Err(Rejection::MalformedJson(_)) => return,
    };
    assert!(books.from < books.to);
    let orders: HashSet<&str> = books.rows.iter().map(|row| row.order.as_str()).collect();
    assert_eq!(orders.len(), books.rows.len(), "an order stands twice");
    assert!(books.unreadable_count >= u64::try_from(books.unreadable.len()).unwrap());
    books.unreadable.iter().for_each(|row| check_errors(&row.errors));

    let again = read_csv(&written(&books), period).expect("books as they are written");
    assert_eq!(again.unreadable, [], "{:?}", books.rows);
    let content = |rows: &[Row]| rows.iter().map(|row| Row { line: 0, ..row.clone() }).collect::<Vec<_>>();
    assert_eq!(content(&books.rows), content(&again.rows));
}

fn written(books: &Books) -> Vec<u8> {
    let mut csv = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
    csv.write_record(["order_id", "value", "net", "currency", "state"]).unwrap();
    for row in &books.rows {
        let amount = |amount: &Option<Amount>| amount.as_ref().map(Amount::text).unwrap_or_default();
        let currency = row.currency.map(|currency| currency.code().to_owned()).unwrap_or_default();
        let state = row.state.map(|state| state.as_str().to_owned()).unwrap_or_default();
        let order = row.order.as_str().to_owned();
        csv.write_record([order, amount(&row.value), amount(&row.net), currency, state]).unwrap();
    }
    csv.into_inner().unwrap()
}
