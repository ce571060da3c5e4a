//! `reconcile`: a merchant's books on the command line.

use conversiond::domain::signature::Form;
use serde_json::json;

use crate::shell::{self, caller, key, merchant};
use crate::support::process::ServeProcess;
use crate::support::{Backend, TestDatabase, on_both_databases};

const NOVEMBER: [&str; 4] = ["--from", "2025-11-01T00:00:00Z", "--to", "2025-12-01T00:00:00Z"];

/// A database with two sales of November, and their merchant.
async fn shop(backend: Backend) -> (TestDatabase, String) {
    let database = backend.database();
    let merchant = merchant(&database);
    let issued = key(&database, &["--merchant", &merchant]);
    let service = ServeProcess::start(&database);
    let caller = caller(&service.base, issued);
    for (order, value) in [("O-1", "10.00"), ("O-2", "20.00")] {
        let body = json!({"event_name": "sale", "event_time": "2025-11-05T10:00:00Z",
            "custom_data": {"order_id": order, "value": value, "currency": "EUR"}})
        .to_string();
        let path = "/api/v1/conversions";
        let headers = caller.headers(Form::Plain, "POST", path, body.as_bytes());
        assert_eq!(caller.send("POST", path, body.as_bytes(), &headers).await.status, 202);
    }
    (database, merchant)
}

on_both_databases! {
    async fn books_that_agree_exit_0_and_books_that_differ_exit_1(backend: Backend) {
        let (database, merchant) = shop(backend).await;
        let file = database.folder().join("books.csv");
        let path = file.to_str().unwrap().to_owned();
        let arguments = [&["reconcile", &path, "--merchant", &merchant], NOVEMBER.as_slice()].concat();
        std::fs::write(&file, "order_id,value,state\nO-1,10,open\nO-2,20.00,open\n").unwrap();
        let agrees = shell::run(&database, &arguments).done();
        assert_eq!(agrees.out.trim(), "2 compared: 2 matched, 0 missing here, 0 missing there, 0 amounts, \
            0 currencies and 0 states differ, 0 rows unreadable");
        std::fs::write(&file, "order_id,value,state\nO-1,11,refunded\nO-3,1,\n,5,\n").unwrap();
        let differs = shell::run(&database, &arguments);
        assert_eq!(differs.code, Some(1), "{differs:?}");
        for line in ["O-1    amount_differs  value 10.00  11", "O-1    state_differs   open         refunded",
            "O-2    missing_there", "O-3    missing_here", "line 4 cannot be read: /order_id is required",
            "2 compared: 0 matched, 1 missing here, 1 missing there, 1 amounts"] {
            assert!(differs.out.contains(line), "{line:?} is not in:\n{}", differs.out);
        }
        let told = shell::run(&database, &[arguments.as_slice(), &["--json"]].concat());
        let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
        assert_eq!((&told["summary"]["compared"], &told["unreadable"][0]["line"]), (&json!(2), &json!(4)));
    }

    async fn json_books_tell_their_period_and_test_orders_are_apart(backend: Backend) {
        let (database, merchant) = shop(backend).await;
        let file = database.folder().join("books.json");
        let path = file.to_str().unwrap();
        let books = json!({"from": NOVEMBER[1], "to": NOVEMBER[3],
            "rows": [{"order_id": "O-1", "value": "10.00"}, {"order_id": "O-2", "net": 20}]});
        std::fs::write(&file, books.to_string()).unwrap();
        shell::run(&database, &["reconcile", path, "--merchant", &merchant]).done();
        let test = shell::run(&database, &["reconcile", path, "--merchant", &merchant, "--mode", "test"]);
        assert_eq!(test.code, Some(1));
        assert!(test.out.contains("its sale is recorded in live mode as evt_"), "{}", test.out);
    }

    async fn wrong_usage_exits_2_and_unreadable_books_say_why(backend: Backend) {
        let database = backend.database();
        let merchant = merchant(&database);
        let file = database.folder().join("books.csv");
        let path = file.to_str().unwrap();
        std::fs::write(&file, "value\n1\n").unwrap();
        let whole = [&["reconcile", path, "--merchant", &merchant], NOVEMBER.as_slice()].concat();
        shell::run(&database, &whole).failed_saying(&["/order_id", "the first line must name the columns"]);
        let backwards = ["reconcile", path, "--merchant", &merchant, "--from", NOVEMBER[3], "--to", NOVEMBER[1]];
        for arguments in [&["reconcile", path, "--merchant", &merchant], backwards.as_slice()] {
            assert_eq!(shell::run(&database, arguments).code, Some(2), "{arguments:?}");
        }
        let unknown = "mer_01kam013kve86btrzkxeedq4gg";
        std::fs::write(&file, "order_id\n1\n").unwrap();
        let whole = [&["reconcile", path, "--merchant", unknown], NOVEMBER.as_slice()].concat();
        shell::run(&database, &whole).failed_saying(&["there is no merchant"]);
    }
}
