use super::*;
use crate::domain::reconciliation::ROW_BYTES_MAX;

fn period() -> Period {
    (instant::parse("2026-11-01T00:00:00Z").unwrap(), instant::parse("2026-12-01T00:00:00Z").unwrap())
}

fn lines(books: &Books) -> (Vec<(u64, &str)>, Vec<u64>) {
    let read = books.rows.iter().map(|row| (row.line, row.order.as_str())).collect();
    (read, books.unreadable.iter().map(|row| row.line).collect())
}

fn pointers(rejection: Rejection) -> Vec<String> {
    let Rejection::Invalid(errors) = rejection else { panic!("{rejection:?}") };
    errors.into_iter().map(|error| error.pointer).collect()
}

#[test]
fn the_three_forms_are_read_alike_and_lines_are_the_files() {
    let json = br#"{"from":"2026-11-01T00:00:00Z","to":"2026-12-01T01:00:00+01:00",
        "rows":[{"order_id":"A","value":"1"},{"order_id":7},{"order_id":"B"}]}"#;
    let books = read_json(json).unwrap();
    assert_eq!((books.from, books.to), period());
    assert_eq!(lines(&books), (vec![(1, "A"), (3, "B")], vec![2]));
    let ndjson = b"{\"order_id\":\"A\",\"value\":\"1\"}\n\n{\r\n{\"order_id\":\"B\"}";
    assert_eq!(lines(&read_ndjson(ndjson, period()).unwrap()), (vec![(1, "A"), (4, "B")], vec![3]));
    let csv = "\u{feff}note,order_id,value\n\"a\nb\",A,1\n,,2\n,\"B\",\n,A,3\n,\"C, \"\"D\"\"\"\n";
    let books = read_csv(csv.as_bytes(), period()).unwrap();
    assert_eq!(lines(&books), (vec![(2, "A"), (5, "B"), (7, "C, \"D\"")], vec![4, 6]));
    assert_eq!(books.rows[1].value, None);
    let crlf = read_csv(csv.replace('\n', "\r\n").as_bytes(), period()).unwrap();
    assert_eq!(lines(&crlf), (vec![(2, "A"), (5, "B"), (7, "C, \"D\"")], vec![4, 6]));
}

#[test]
fn books_that_cannot_be_read_as_a_whole_say_everything_that_is_wrong() {
    assert_eq!(pointers(read_json(b"{}").unwrap_err()), ["/from", "/to", "/rows"]);
    assert_eq!(pointers(read_json(b"[]").unwrap_err()), [""]);
    let backwards = br#"{"from":"2026-12-01T00:00:00Z","to":"2026-11-01T00:00:00Z","rows":{}}"#;
    assert_eq!(pointers(read_json(backwards).unwrap_err()), ["/rows", "/to"]);
    assert!(matches!(read_json(b"{"), Err(Rejection::MalformedJson(_))));
    assert_eq!(pointers(read_csv(b"value\n1\n", period()).unwrap_err()), ["/order_id"]);
    assert_eq!(pointers(read_csv(b"", period()).unwrap_err()), ["/order_id"]);
}

#[test]
fn an_order_stands_once_and_rows_are_limited() {
    let twice = b"{\"order_id\":\"A\"}\n{\"order_id\":\"A\"}";
    let books = read_ndjson(twice, period()).unwrap();
    assert_eq!(lines(&books), (vec![(1, "A")], vec![2]));
    assert_eq!(books.unreadable[0].errors[0].message, "stands in row 1 already");
    let many: String = (0..=ROWS_MAX).map(|n| format!("{n}\n")).collect();
    assert_eq!(pointers(read_csv(format!("order_id\n{many}").as_bytes(), period()).unwrap_err()), ["/rows"]);
    let bad: String = "x\n".repeat(UNREADABLE_MAX + 5);
    let books = read_ndjson(bad.as_bytes(), period()).unwrap();
    assert_eq!((books.unreadable.len(), books.unreadable_count), (UNREADABLE_MAX, 1_005));
    let worse = format!("order_id\n0\n{}", "\"\u{1}\"\n".repeat(ROWS_MAX));
    assert_eq!(pointers(read_csv(worse.as_bytes(), period()).unwrap_err()), ["/rows"]);
    let json = |rows: usize| format!(r#"{{"to":"x","rows":[0{}]}}"#, ",0".repeat(rows - 1));
    assert_eq!(pointers(read_json(json(ROWS_MAX).as_bytes()).unwrap_err()), ["/from", "/to"]);
    assert_eq!(pointers(read_json(json(ROWS_MAX + 1).as_bytes()).unwrap_err()), ["/from", "/to", "/rows"]);
}

#[test]
fn rows_that_cannot_be_read_keep_their_orders() {
    let long = format!(r#"{{"order_id":"long","note":"{}"}}"#, "x".repeat(ROW_BYTES_MAX));
    let ndjson = format!(
        "{}\n{}\n{}\n{long}",
        r#"{"order_id":"A","value":"10,00"}"#, r#"{"order_id":"B","a":1,"a":2}"#, r#"{"order_id":7}"#
    );
    let orders = |books: &Books| {
        let mut orders: Vec<String> = books.unreadable_orders.iter().cloned().collect();
        orders.sort();
        orders
    };
    let books = read_ndjson(ndjson.as_bytes(), period()).unwrap();
    assert_eq!((orders(&books).join(" "), books.unreadable_count), ("A B long".to_owned(), 4));
    assert_eq!(books.unreadable[3].errors[0].code, "too_long");
    let books = read_csv(b"value,state,order_id\n\xFF,\xFF,A\n1,,\xFF\n1,lost,B\n", period()).unwrap();
    assert_eq!((orders(&books).join(" "), books.unreadable_count), ("A B".to_owned(), 3));
    assert_eq!(books.unreadable[0].errors.len(), 2);
}

#[test]
fn no_column_that_is_read_stands_twice() {
    let twice = b"value,note,order_id, value,note,value,net,net\n1,,A,2,,3,4,5\n";
    let Err(Rejection::Invalid(errors)) = read_csv(twice, period()) else { panic!() };
    let found: Vec<_> = errors.iter().map(|error| (error.pointer.as_str(), error.code)).collect();
    assert_eq!(found, [("/value", "repeated"), ("/net", "repeated")]);
    assert!(read_csv(b"note,order_id,note\n,A,\n", period()).is_ok());
}
