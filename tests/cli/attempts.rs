//! `attempts`: the journal for the operator.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use chrono::TimeDelta;
use conversiond::domain::ids::AttemptId;
use conversiond::domain::time::Clock as _;
use conversiond::system::{SystemClock, SystemEntropy};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::shell::{self, Ran, caller, key, merchant, text};
use crate::support::caller::unix_now;
use crate::support::process::{ServeProcess, command, run_json};
use crate::support::service::Setup;
use crate::support::{Backend, Caller, TestDatabase, eventually, on_both_databases};

const LINK: &str = "2f5e5a3e-8a53-4a1b-9a8e-2d4f7c1b0a99";

/// A service with two merchants; the first has a live and a test key.
struct Shop {
    database: TestDatabase,
    _service: ServeProcess,
    merchants: [String; 2],
    live: Caller,
    test: Caller,
    other: Caller,
}

impl Shop {
    fn open(backend: Backend) -> Self {
        let database = backend.database();
        let merchants = [merchant(&database), merchant(&database)];
        let live = key(&database, &["--merchant", &merchants[0]]);
        let test = key(&database, &["--merchant", &merchants[0], "--mode", "test"]);
        let other = key(&database, &["--merchant", &merchants[1]]);
        let service = ServeProcess::start(&database);
        let [live, test, other] = [live, test, other].map(|issued| caller(&service.base, issued));
        Self { database, _service: service, merchants, live, test, other }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        shell::run(&self.database, arguments)
    }

    /// One attempt of each, six together.
    async fn trade(&self) {
        let invalid = json!({"externalOrderId": "O-2", "amount": "x", "currency": "USD"}).to_string();
        let nobody = Caller { key_id: "ak_live_000000000000000000000000".to_owned(), ..self.live.clone() };
        for (caller, body, status) in [
            (&self.live, sale("O-1").to_string(), 202),
            (&self.test, sale("O-1").to_string(), 202),
            (&self.live, "{".to_owned(), 400),
            (&self.other, invalid, 422),
            (&nobody, sale("O-3").to_string(), 401),
            (&self.live, sale("O-1").to_string(), 202),
        ] {
            assert_eq!(caller.post_text(&body).await.status, status);
            // Of one millisecond they would stand by chance.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        eventually("all are journaled", async || self.listed(&[]).len() == 6).await;
    }

    fn listed(&self, arguments: &[&str]) -> Vec<Value> {
        let json = run_json(&self.database, &[&["attempts"], arguments].concat());
        json["attempts"].as_array().unwrap().clone()
    }

    fn reasons(&self, arguments: &[&str]) -> Vec<String> {
        self.listed(arguments).iter().map(|line| text(line, "reason")).collect()
    }
}

fn sale(order: &str) -> Value {
    json!({"externalOrderId": order, "amount": "1", "currency": "USD"})
}

/// `attempts --follow` and what it prints.
struct Following {
    child: Child,
    lines: Receiver<String>,
}

impl Following {
    fn start(database: &TestDatabase, arguments: &[&str]) -> Self {
        let mut follow = command(database, &[&["attempts", "--follow"], arguments].concat());
        let mut child = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let out: BufReader<ChildStdout> = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// The lines up to the first that holds this.
    fn until(&self, word: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(20));
            seen.push(line.unwrap_or_else(|_| panic!("{word} was not printed:\n{}", seen.join("\n"))));
            if seen.last().unwrap().contains(word) {
                return seen;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

on_both_databases! {
    async fn everybodys_attempts_are_listed_and_the_newest_stands_last(backend: Backend) {
        let shop = Shop::open(backend);
        shop.trade().await;
        let [one, two] = [shop.merchants[0].as_str(), shop.merchants[1].as_str()];
        let all = ["accepted", "accepted", "malformed_json", "validation_failed", "INVALID_API_KEY", "duplicate"];
        assert_eq!(shop.reasons(&[]), all);
        for limit in 1..=7 {
            let json = run_json(&shop.database, &["attempts", "--limit", &limit.to_string()]);
            let reasons: Vec<String> =
                json["attempts"].as_array().unwrap().iter().map(|line| text(line, "reason")).collect();
            assert_eq!(reasons, all[6_usize.saturating_sub(limit)..], "{limit}");
            assert_eq!(json["more"], limit < 6, "{limit}");
        }
        for (arguments, expected) in [
            (&["--merchant", one][..], vec!["accepted", "accepted", "malformed_json", "duplicate"]),
            (&["--merchant", two], vec!["validation_failed"]),
            (&["--mode", "test"], vec!["accepted"]),
            (&["--mode", "live", "--outcome", "refused"], vec!["malformed_json", "validation_failed"]),
            (&["--reason", "INVALID_API_KEY"], vec!["INVALID_API_KEY"]),
            (&["--authenticated", "false"], vec!["INVALID_API_KEY"]),
            (&["--authenticated", "true", "--outcome", "refused"], vec!["malformed_json", "validation_failed"]),
            (&["--order", "O-1"], vec!["accepted", "accepted", "duplicate"]),
            (&["--order", "O-2", "--outcome", "refused"], vec!["validation_failed"]),
            (&["--since", "1h", "--outcome", "duplicate"], vec!["duplicate"]),
            (&["--since", "2099-01-01T00:00:00Z"], vec![]),
            (&["--since", "0s"], vec![]),
        ] {
            assert_eq!(shop.reasons(arguments), expected, "{arguments:?}");
        }
        let lines = shop.listed(&[]);
        assert_eq!((&lines[0]["merchant_id"], &lines[0]["mode"]), (&json!(one), &json!("live")));
        assert_eq!((&lines[4]["merchant_id"], &lines[4]["mode"]), (&Value::Null, &Value::Null));
        let since = text(&lines[3], "started_at");
        assert_eq!(shop.listed(&["--since", &since]), lines[3..]);
    }

    async fn the_table_has_a_line_per_attempt_and_says_what_is_left_out(backend: Backend) {
        let shop = Shop::open(backend);
        assert_eq!(shop.run(&["attempts"]).done().out, "no attempts\n");
        shop.trade().await;
        let table = shop.run(&["attempts"]).done().out;
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 7, "{table}");
        assert!(lines[0].starts_with("TIME"), "{table}");
        let refused = lines[4];
        for word in [shop.merchants[1].as_str(), "422", "validation_failed", "127.0.0.1", "O-2", "/amount"] {
            assert!(refused.contains(word), "{word}: {refused}");
        }
        let mark = "not authenticated";
        assert!(lines[5].contains("INVALID_API_KEY") && lines[5].ends_with(mark), "{table}");
        assert_eq!(table.matches(mark).count(), 1, "{table}");
        // Every column begins where its name does.
        for (name, word) in [("REASON", "validation_failed"), ("PEER", "127.0.0.1"), ("ORDER", "O-2")] {
            assert_eq!(lines[0].find(name), refused.find(word), "{table}");
        }
        let shortened = shop.run(&["attempts", "--limit", "2"]).done().out;
        assert!(shortened.starts_with('…') && shortened.contains("--limit"), "{shortened}");
        assert_eq!(shortened.lines().count(), 4, "{shortened}");
    }

    async fn a_click_stands_with_its_merchant_and_in_no_mode(backend: Backend) {
        let shop = Shop::open(backend);
        let operator = Caller { base: shop.live.base.clone(), ..caller("", key(&shop.database, &["--operator"])) };
        let body = json!({"merchant_id": shop.merchants[0], "url_id": LINK, "domain_id": LINK}).to_string();
        let mut clicked = None;
        eventually("the operator's key is known", async || {
            let answer = operator.post_to("/api/v1/clicks", "k", &body, unix_now()).await;
            clicked = (answer.status == 201).then_some(answer);
            clicked.is_some()
        })
        .await;
        let of_merchant = |arguments: &[&str]| {
            shop.listed(&[&["--merchant", &shop.merchants[0], "--outcome", "accepted"], arguments].concat())
        };
        let lines = of_merchant(&[]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!((&lines[0]["endpoint"], &lines[0]["status"]), (&json!("clicks"), &json!(201)));
        assert_eq!((&lines[0]["mode"], &lines[0]["key_id"]), (&Value::Null, &json!(operator.key_id)));
        assert!(of_merchant(&["--mode", "live"]).is_empty());
        let explained = shop.run(&["explain", &text(&lines[0], "attempt_id")]).done().out;
        assert!(explained.contains("clicks") && explained.contains(&operator.key_id), "{explained}");
        // The token is one like any other.
        let token = text(&clicked.unwrap().json(), "nim_ct");
        assert_eq!(run_json(&shop.database, &["token", "inspect", &token])["url_id"], LINK);
    }

    async fn following_prints_each_attempt_once_also_those_that_come_late(backend: Backend) {
        let shop = Shop::open(backend);
        shop.trade().await;
        let mut following = Following::start(&shop.database, &["--json", "--limit", "2"]);
        let mut seen = following.until("\"duplicate\"");
        assert_eq!(seen.len(), 2, "{seen:?}");
        let mut setup = Setup::new(&shop.database, "");
        for round in 0..3 {
            // It began before all that is printed already, and is committed only now.
            let at = SystemClock.now() - TimeDelta::seconds(5);
            let id = AttemptId::generate(at, &SystemEntropy);
            setup.execute(&format!(
                "INSERT INTO attempts (merchant_id, attempt_id, bulk_row, mode, started_at, endpoint, request_id, \
                 body_bytes, outcome, status, reason, elapsed_us) VALUES ('{}', '{id}', -1, 'live', '{}', \
                 'conversions', 'late-{round}', 0, 'accepted', 202, 'accepted', 1)",
                shop.merchants[1],
                at.format("%Y-%m-%d %H:%M:%S%.6f")
            ));
            seen.extend(following.until(&format!("late-{round}")));
            // Everything of the last seconds is looked at again with each of these.
            assert_eq!(shop.live.post(&sale(&format!("F-{round}"))).await.word(), "ACCEPTED");
            seen.extend(following.until(&format!("F-{round}")));
        }
        following.signal(Signal::SIGTERM);
        assert_eq!(following.child.wait().unwrap().code(), Some(0));
        seen.extend(following.lines.iter());
        assert_eq!(seen.len(), 8, "{seen:#?}");
        let mut ids: Vec<String> = seen
            .iter()
            .map(|line| text(&serde_json::from_str(line).unwrap(), "attempt_id"))
            .collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 8, "{seen:#?}");
    }

    async fn following_keeps_to_its_filter_and_ends_when_interrupted(backend: Backend) {
        let shop = Shop::open(backend);
        let mut following = Following::start(&shop.database, &["--outcome", "refused"]);
        following.until("TIME");
        assert_eq!(shop.live.post(&sale("O-1")).await.word(), "ACCEPTED");
        assert_eq!(shop.other.post_text("{").await.status, 400);
        let printed = following.until("malformed_json");
        assert_eq!(printed.len(), 1, "{printed:?}");
        following.signal(Signal::SIGINT);
        assert_eq!(following.child.wait().unwrap().code(), Some(0));
    }

    async fn following_ends_quietly_when_nobody_reads_any_more(backend: Backend) {
        let shop = Shop::open(backend);
        let mut follow = command(&shop.database, &["attempts", "--follow"]);
        let mut child = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(line.starts_with("TIME"), "{line}");
        drop(out);
        let mut number = 0;
        eventually("it ends", async || {
            number += 1;
            shop.live.post(&sale(&format!("O-{number}"))).await;
            child.try_wait().unwrap().is_some()
        })
        .await;
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    }
}
