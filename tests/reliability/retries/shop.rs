//! A merchant, the service it reports to, and the proxy between them.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;

use super::ledger::check_manners;
use crate::load::caller;
use crate::support::process::{ServeProcess, command, run_json};
use crate::support::proxy::Proxy;
use crate::support::{Backend, Caller, TestDatabase};

pub struct Shop {
    pub database: TestDatabase,
    /// The service's own way to it.
    pub way: TestDatabase,
    /// Its base is the proxy.
    pub caller: Caller,
    pub proxy: Proxy,
    /// Settings of the service, `SECTION__KEY` as its environment has them.
    pub settings: Vec<(&'static str, &'static str)>,
    service: Option<ServeProcess>,
}

impl Shop {
    /// With the service running on a fresh database.
    pub async fn open(backend: Backend) -> Self {
        let mut shop = Self::closed(backend.database(), Proxy::start().await);
        shop.start();
        shop
    }

    /// The same, behind a gateway.
    pub async fn open_behind_gateway(backend: Backend) -> Self {
        let mut shop = Self::closed(backend.database(), Proxy::gateway().await);
        shop.start();
        shop
    }

    /// With no service yet.
    pub fn closed(database: TestDatabase, proxy: Proxy) -> Self {
        let mut caller = caller(&database);
        caller.base = proxy.base();
        Self { way: database.clone(), database, caller, proxy, settings: Vec::new(), service: None }
    }

    /// Changes the merchant, as the operator does.
    pub fn set_merchant(&self, changes: &[&str]) {
        let listed = run_json(&self.database, &["merchant", "list"]);
        let id =
            listed["merchants"][0]["merchant_id"].as_str().unwrap_or_else(|| panic!("{listed}")).to_owned();
        run_json(&self.database, &[&["merchant", "set", &id], changes].concat());
    }

    /// Starts the service, and sends everything to it.
    pub fn start(&mut self) {
        let service = self.instance(&self.way);
        self.proxy.pass_on_to(&[&service.base]);
        self.service = Some(service);
    }

    /// A further service with the same settings, on the same data by its own way.
    pub fn instance(&self, way: &TestDatabase) -> ServeProcess {
        let mut command = command(way, &["serve"]);
        for (name, value) in &self.settings {
            command.env(format!("CONVERSIOND__{name}"), value);
        }
        tokio::task::block_in_place(|| ServeProcess::start_command(command))
    }

    /// The running service.
    pub fn service(&self) -> &ServeProcess {
        self.service.as_ref().unwrap()
    }

    /// How many requests the running service has begun to read.
    pub async fn requests_begun(&self) -> u64 {
        let metrics = self.caller.http.get(format!("{}/metrics", self.service().admin)).send().await.unwrap();
        let text = metrics.text().await.unwrap();
        let count = text.lines().find_map(|line| line.strip_prefix("conversiond_requests_total "));
        count.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
    }

    /// Kills the service, as a crash would end it.
    pub fn kill(&mut self) {
        tokio::task::block_in_place(|| self.service.take().unwrap().kill());
    }

    /// Asks the service to end.
    pub fn ask_to_end(&self) {
        self.service().signal(Signal::SIGTERM);
    }

    /// Waits until it has: its exit code and the rest of its log.
    pub fn ended(&mut self) -> (Option<i32>, Vec<String>) {
        let mut service = self.service.take().unwrap();
        tokio::task::block_in_place(|| service.wait())
    }

    /// Checks that the services kept their manners; how often they said each code.
    #[track_caller]
    pub fn manners(&self) -> BTreeMap<String, usize> {
        check_manners(&self.proxy.answers())
    }
}
