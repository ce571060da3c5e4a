//! `token mint`, `token inspect`, `token-key list`, `rotate`, `retire`.

use serde_json::{Value, json};

use crate::shell::{backends, merchant, run, text};
use crate::support::TestDatabase;
use crate::support::process::run_json;

const DOMAIN: &str = "0b7d9f2e-5c41-4f0a-9d3e-6a1f2b3c4d5e";
const LINK: &str = "2f5e5a3e-8a53-4a1b-9a8e-2d4f7c1b0a99";

fn mint(database: &TestDatabase, merchant: &str, arguments: &[&str]) -> Value {
    let common = ["token", "mint", "--merchant", merchant, "--domain", DOMAIN, "--url", LINK];
    run_json(database, &[&common, arguments].concat())
}

fn inspect(database: &TestDatabase, token: &str) -> Value {
    run_json(database, &["token", "inspect", token])
}

#[test]
fn a_minted_token_holds_what_was_asked_for() {
    for backend in backends() {
        let database = backend.database();
        let merchant = merchant(&database);
        let minted = mint(&database, &merchant, &["--clicked-at", "2026-01-02T03:04:05.678+02:00"]);
        let token = text(&minted, "nim_ct");
        assert_eq!(token.len(), 110);
        assert!(text(&minted, "click_id").starts_with("clk_"));
        assert_eq!((&minted["landing_url"], &minted["appended"]), (&Value::Null, &json!(false)));
        assert_eq!(
            inspect(&database, &token),
            json!({"key_number": 1, "merchant_id": merchant, "domain_id": DOMAIN, "url_id": LINK,
                   "click_id": minted["click_id"], "clicked_at": "2026-01-02T01:04:05.678Z"})
        );
        let text = run(&database, &["token", "inspect", &token]).done().out;
        assert!(text.starts_with("genuine, by token key 1") && text.contains(&merchant), "{text}");
    }
}

#[test]
fn a_token_is_appended_to_a_safe_destination_and_the_rest_stays_byte_for_byte() {
    for backend in backends() {
        let database = backend.database();
        let merchant = merchant(&database);
        for (before, after) in [
            ("https://Shop.example/a%2fb?x=%7e&y", "#part?z"),
            ("https://shop.example/?q=caf%C3%A9+x&y=", ""),
        ] {
            let minted = mint(&database, &merchant, &["--destination", &format!("{before}{after}")]);
            let token = text(&minted, "nim_ct");
            assert_eq!(minted["landing_url"], format!("{before}&nim_ct={token}{after}"));
            assert_eq!((&minted["appended"], &minted["reason"]), (&json!(true), &Value::Null));
        }
    }
}

#[test]
fn an_unsafe_destination_is_left_alone_and_the_reason_given() {
    for backend in backends() {
        let database = backend.database();
        let merchant = merchant(&database);
        let long = format!("https://shop.example/{}", "a".repeat(2_000));
        for (destination, reason) in [
            ("ftp://shop.example/", "unsupported_scheme"),
            ("https://me:pw@shop.example/", "userinfo"),
            ("https://shop.example/?nim_ct=x", "token_present"),
            ("https://shop.example/?X-Amz-Signature=x", "signed_query"),
            ("https://shop.example/?se=1&sp=2&sv=3", "signed_query"),
            ("/relative", "invalid_url"),
            (&long, "too_long"),
        ] {
            let minted = mint(&database, &merchant, &["--destination", destination]);
            assert_eq!(minted["landing_url"], destination);
            assert_eq!((&minted["appended"], &minted["reason"]), (&json!(false), &json!(reason)));
            // The click is made all the same.
            assert_eq!(inspect(&database, &text(&minted, "nim_ct"))["click_id"], minted["click_id"]);
        }
    }
}

#[test]
fn after_a_rotation_new_tokens_carry_the_new_number_and_old_ones_stay_genuine() {
    for backend in backends() {
        let database = backend.database();
        let merchant = merchant(&database);
        let mut tokens = Vec::new();
        for number in 1..=4 {
            if number > 1 {
                assert_eq!(run_json(&database, &["token-key", "rotate"]), json!({"key_number": number}));
            }
            tokens.push(text(&mint(&database, &merchant, &[]), "nim_ct"));
            for (index, token) in tokens.iter().enumerate() {
                assert_eq!(inspect(&database, token)["key_number"], index + 1);
            }
        }
    }
}

#[test]
fn the_key_that_signs_cannot_be_retired_and_a_retired_one_stays_so() {
    for backend in backends() {
        let database = backend.database();
        let merchant = merchant(&database);
        let old = text(&mint(&database, &merchant, &[]), "nim_ct");
        run(&database, &["token-key", "retire", "1"])
            .failed_saying(&["token key 1 signs", "token-key rotate"]);
        run(&database, &["token-key", "retire", "2"]).failed_saying(&["there is no token key 2"]);
        run(&database, &["token-key", "rotate"]).done();
        let later = "2999-01-01T00:00:00Z";
        let planned = run_json(&database, &["token-key", "retire", "1", "--at", later]);
        assert_eq!(planned, json!({"key_number": 1, "retired_at": later}));
        assert_eq!(inspect(&database, &old)["key_number"], 1);
        let retired = run_json(&database, &["token-key", "retire", "1"]);
        assert_ne!(retired["retired_at"], later);
        run(&database, &["token", "inspect", &old]).failed_saying(&["not a genuine click token"]);
        run(&database, &["token-key", "retire", "1", "--at", later])
            .failed_saying(&["has been retired since"]);
        run(&database, &["master-key", "rewrap"]).done();
        run(&database, &["token", "inspect", &old]).failed_saying(&["not a genuine click token"]);
        let new = text(&mint(&database, &merchant, &[]), "nim_ct");
        assert_eq!(inspect(&database, &new)["key_number"], 2);
        run(&database, &["doctor"]).done();
        run(&database, &["token-key", "retire", "1", "--at", "soon"]).misused_saying(&["--at"]);
    }
}

#[test]
fn a_token_key_can_be_retired_when_the_longest_window_has_passed_since_its_rotation() {
    for backend in backends() {
        let database = backend.database();
        let merchant = merchant(&database);
        run(&database, &["merchant", "set", &merchant, "--attribution-window-days", "45"]).done();
        mint(&database, &merchant, &[]);
        run(&database, &["token-key", "rotate"]).done();
        run(&database, &["token-key", "retire", "1", "--at", "2999-01-01T00:00:00Z"]).done();
        let listed = run_json(&database, &["token-key", "list"])["token_keys"].clone();
        let instant = |value: &Value| chrono::DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap();
        let since_rotation = instant(&listed[0]["safe_to_retire_from"]) - instant(&listed[1]["created_at"]);
        assert_eq!(since_rotation, chrono::TimeDelta::days(45));
        assert_eq!((&listed[0]["key_number"], &listed[0]["signs"]), (&json!(1), &json!(false)));
        assert_eq!(listed[0]["retired_at"], "2999-01-01T00:00:00Z");
        assert_eq!((&listed[1]["signs"], &listed[1]["safe_to_retire_from"]), (&json!(true), &Value::Null));
        let table = run(&database, &["token-key", "list"]).done().out;
        assert!(table.contains("SAFE TO RETIRE FROM") && table.contains("signs"), "{table}");
    }
}

#[test]
fn a_forged_damaged_or_foreign_token_is_not_genuine() {
    for backend in backends() {
        let database = backend.database();
        let merchant = merchant(&database);
        let token = text(&mint(&database, &merchant, &[]), "nim_ct");
        let flipped = format!("{}{}", if token.starts_with('B') { "A" } else { "B" }, &token[1..]);
        for bad in [&flipped, &token[..109], &format!("{token}="), &format!("{token}A"), "AAAA"] {
            run(&database, &["token", "inspect", bad]).failed_saying(&["conversiond: "]);
        }
        let elsewhere = backend.database();
        mint(&elsewhere, &self::merchant(&elsewhere), &[]);
        run(&elsewhere, &["token", "inspect", &token]).failed_saying(&["conversiond: "]);
        inspect(&database, &token);
    }
}

#[test]
fn a_click_before_1970_cannot_be_minted() {
    for backend in backends() {
        let database = backend.database();
        let merchant = merchant(&database);
        let common = ["token", "mint", "--merchant", &merchant, "--domain", DOMAIN, "--url", LINK];
        let clicked = |at: &'static str| run(&database, &[&common[..], &["--clicked-at", at]].concat());
        clicked("1969-12-31T23:59:59Z").failed_saying(&["1970"]);
        for unreadable in ["yesterday", "2026-01-02 03:04:05", "1767323045", "2026-01-02T03:04:60Z"] {
            clicked(unreadable).misused_saying(&["--clicked-at"]);
        }
    }
}
