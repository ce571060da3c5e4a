//! Commands beside a running service, and services beside each other.

use std::net::TcpListener;
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::shell::{self, caller, finish, key, merchant};
use crate::support::cluster::Cluster;
use crate::support::process::{ServeProcess, command, run_json};
use crate::support::{Backend, Caller, TestDatabase, eventually, on_both_databases};

fn sale(order: &str) -> serde_json::Value {
    json!({"event_name": "sale", "custom_data": {"order_id": order, "value": "129.90", "currency": "USD"}})
}

/// Polls until a callback is answered like this, for at most five seconds.
async fn answered_within_5_s(caller: &Caller, status: u16, word: &str) {
    let body = sale(&format!("ORD-{}", uuid::Uuid::new_v4()));
    let polling = eventually(word, async || {
        let answer = caller.post(&body).await;
        answer.status == status && answer.word() == word
    });
    tokio::time::timeout(std::time::Duration::from_secs(5), polling)
        .await
        .unwrap_or_else(|_| panic!("{status} {word} is not in force after 5 s"));
}

fn health(database: &TestDatabase, admin: &str) -> crate::shell::Ran {
    let mut health = command(database, &["health", "--json"]);
    health.env("CONVERSIOND__ADMIN__LISTEN", admin.trim_start_matches("http://"));
    finish(health)
}

on_both_databases! {
    async fn what_short_commands_do_is_in_force_on_the_running_service_within_5_s(backend: Backend) {
        let database = backend.database();
        let service = ServeProcess::start(&database);
        let shop = merchant(&database);
        let issued = key(&database, &["--merchant", &shop]);
        let first = caller(&service.base, issued.clone());
        answered_within_5_s(&first, 202, "ACCEPTED").await;
        // A second secret; both sign until the overlap ends.
        let rotated = run_json(&database, &["key", "rotate", &issued.0]);
        let secret = rotated["secret"].as_str().unwrap().to_owned();
        let second = caller(&service.base, (issued.0.clone(), secret));
        answered_within_5_s(&second, 202, "ACCEPTED").await;
        assert_eq!(first.post(&sale("ORD-1001")).await.word(), "ACCEPTED");
        shell::run(&database, &["merchant", "suspend", &shop]).done();
        answered_within_5_s(&second, 401, "unauthorized").await;
        shell::run(&database, &["merchant", "resume", &shop]).done();
        answered_within_5_s(&second, 202, "ACCEPTED").await;
        shell::run(&database, &["key", "revoke", &issued.0]).done();
        answered_within_5_s(&second, 401, "unauthorized").await;
        assert_eq!(first.post(&sale("ORD-1002")).await.status, 401);
        assert_eq!(service.terminate().0, Some(0));
    }

    async fn a_token_minted_beside_the_service_attributes_an_event(backend: Backend) {
        let database = backend.database();
        let service = ServeProcess::start(&database);
        let shop = merchant(&database);
        let caller = caller(&service.base, key(&database, &["--merchant", &shop]));
        answered_within_5_s(&caller, 202, "ACCEPTED").await;
        let link = "2f5e5a3e-8a53-4a1b-9a8e-2d4f7c1b0a99";
        let minted =
            run_json(&database, &["token", "mint", "--merchant", &shop, "--domain", link, "--url", link]);
        let mut body = sale("ORD-1001");
        body["nim_ct"] = minted["nim_ct"].clone();
        let answer = caller.post(&body).await;
        assert_eq!(answer.at("/attribution/status"), "attributed", "{}", answer.text);
        assert_eq!(answer.at("/attribution/click_id"), minted["click_id"]);
        assert_eq!(answer.at("/attribution/url_id"), link);
    }

    async fn short_commands_and_a_service_under_load_do_not_get_in_each_others_way(backend: Backend) {
        let database = backend.database();
        let shop = merchant(&database);
        let issued = key(&database, &["--merchant", &shop]);
        let service = ServeProcess::start(&database);
        let caller = caller(&service.base, issued);
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let callers: Vec<_> = (0..4)
            .map(|caller_number| {
                let (caller, stopped) = (caller.clone(), stopped.clone());
                tokio::spawn(async move {
                    let mut posted = 0;
                    while !*stopped.borrow() {
                        let answer = caller.post(&sale(&format!("ORD-{caller_number}-{posted}"))).await;
                        assert_eq!(answer.word(), "ACCEPTED", "{}", answer.text);
                        posted += 1;
                    }
                    posted
                })
            })
            .collect();
        let commands: Vec<_> = (0..12)
            .map(|_| {
                let mut create = command(&database, &["key", "create", "--merchant", &shop]);
                create.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        for command in commands {
            let output = command.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        stop.send_replace(true);
        for caller in callers {
            assert!(caller.await.unwrap() > 0);
        }
        assert_eq!(run_json(&database, &["key", "list"])["keys"].as_array().unwrap().len(), 13);
    }

    async fn headers_printed_by_sign_are_accepted_in_every_form(backend: Backend) {
        let database = backend.database();
        let shop = merchant(&database);
        let issued = key(&database, &["--merchant", &shop]);
        let service = ServeProcess::start(&database);
        let caller = caller(&service.base, issued.clone());
        for form in ["v1", "v2", "standard-webhooks"] {
            let body = sale(&format!("ORD-{form}")).to_string();
            std::fs::write(database.folder().join("body"), &body).unwrap();
            let mut sign = command(&database, &["sign", "--key-id", &issued.0, "--form", form, "body"]);
            sign.env("CONVERSIOND_SECRET", &issued.1);
            let printed = finish(sign).done().out;
            let headers: Vec<(String, String)> = printed
                .lines()
                .map(|line| line.split_once(": ").map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap())
                .collect();
            let answer = caller.send("POST", "/api/v1/conversions", body.as_bytes(), &headers).await;
            assert_eq!((answer.status, answer.word().as_str()), (202, "ACCEPTED"), "{form}: {}", answer.text);
        }
    }

    async fn health_is_0_while_the_service_is_ready_and_1_when_nothing_listens(backend: Backend) {
        let database = backend.database();
        let service = ServeProcess::start(&database);
        let admin = service.admin.clone();
        assert_eq!(health(&database, &admin).done().json(), json!({"status": "ready"}));
        let anywhere = admin.replace("127.0.0.1", "0.0.0.0");
        health(&database, &anywhere).done();
        assert_eq!(service.terminate().0, Some(0));
        health(&database, &admin).failed_saying(&["no answer from 127.0.0.1:"]);
    }

    async fn a_service_that_is_asked_to_end_exits_0_by_whichever_signal(backend: Backend) {
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
            let database = backend.database();
            let mut service = ServeProcess::start(&database);
            service.signal(signal);
            let (code, log) = service.wait();
            assert_eq!(code, Some(0), "{}", log.join("\n"));
            assert!(log.iter().any(|line| line.contains("everything taken is on disk")), "{log:?}");
        }
    }

    async fn a_service_says_which_address_it_cannot_listen_on(backend: Backend) {
        let database = backend.database();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        for (variable, setting) in
            [("CONVERSIOND__SERVER__LISTEN", "server.listen"), ("CONVERSIOND__ADMIN__LISTEN", "admin.listen")]
        {
            let mut serve = command(&database, &["serve"]);
            serve.env(variable, &address);
            let ran = finish(serve);
            assert_eq!(ran.code, Some(1), "{ran:?}");
            assert!(ran.err.contains(&format!("cannot listen on {setting} = {address}")), "{ran:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_service_on_the_same_sqlite_file_is_refused_and_the_first_goes_on() {
    let database = Backend::Sqlite.database();
    let shop = merchant(&database);
    let issued = key(&database, &["--merchant", &shop]);
    let service = ServeProcess::start(&database);
    let refused = shell::run(&database, &["serve"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for words in ["another conversiond serves", "test.db", "PostgreSQL"] {
        assert!(refused.err.contains(words), "{refused:?}");
    }
    let answer = caller(&service.base, issued).post(&sale("ORD-1001")).await;
    assert_eq!(answer.word(), "ACCEPTED", "{}", answer.text);
    // Once the first has ended, however it did, the next may start.
    service.kill();
    assert_eq!(ServeProcess::start(&database).terminate().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_1_and_names_the_dependency_while_the_database_is_away() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let database = TestDatabase::at(cluster.url(&cluster.create_database()));
    let service = ServeProcess::start(&database);
    health(&database, &service.admin).done();
    cluster.stop();
    eventually("the service knows that its database is away", async || {
        health(&database, &service.admin).code == Some(1)
    })
    .await;
    health(&database, &service.admin).failed_saying(&["not ready: ", "\"database\":"]);
    cluster.start_again();
    eventually("the service is ready again", async || health(&database, &service.admin).code == Some(0))
        .await;
    assert_eq!(service.terminate().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_service_on_the_same_postgres_database_shares_it() {
    let Some(backend) = Backend::postgres() else { return };
    let database = backend.database();
    let shop = merchant(&database);
    let issued = key(&database, &["--merchant", &shop]);
    let (one, other) = (ServeProcess::start(&database), ServeProcess::start(&database));
    let first = caller(&one.base, issued.clone()).post(&sale("ORD-1001")).await;
    let second = caller(&other.base, issued).post(&sale("ORD-1001")).await;
    assert_eq!((first.word().as_str(), second.word().as_str()), ("ACCEPTED", "DUPLICATE"));
    assert_eq!(first.at("/event_id"), second.at("/event_id"));
}
