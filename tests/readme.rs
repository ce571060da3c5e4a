//! README.md's samples are run as they stand, against a live service.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests may fail loudly"
)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

#[allow(unused_imports, unused_macros, reason = "each test binary uses its part of the harness")]
#[path = "support/mod.rs"]
mod support;

use support::programs::{installed, without_proxies};
use support::{Backend, Service};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

fn readme() -> String {
    std::fs::read_to_string(README).expect("README.md is there")
}

/// The fenced block behind `<!-- sample: NAME -->`, which must be of this language.
fn sample(text: &str, name: &str, language: &str) -> String {
    let marker = format!("<!-- sample: {name} -->");
    let behind: Vec<&str> = text.split(&marker).skip(1).collect();
    assert_eq!(behind.len(), 1, "README.md has {marker} {} times", behind.len());
    let mut lines = behind[0].lines().skip_while(|line| line.trim().is_empty());
    assert_eq!(lines.next().map(str::trim_end), Some(&*format!("```{language}")), "behind {marker}");
    let block: Vec<&str> = lines.by_ref().take_while(|line| line.trim_end() != "```").collect();
    assert!(!block.is_empty(), "the block behind {marker} is empty");
    let mut code = block.join("\n");
    code.push('\n');
    code
}

/// Runs a sample with exactly the variables that README.md names.
fn run(program: &str, file: &Path, service: &Service, order: &str) -> Output {
    let mut command = Command::new(program);
    command.arg(file).current_dir(service.database.folder());
    without_proxies(&mut command);
    command.env("CONVERSIOND_URL", &service.caller.base).env("CONVERSIOND_KEY_ID", &service.caller.key_id);
    command.env("CONVERSIOND_SECRET", service.caller.secret.expose_text()).env("ORDER_ID", order);
    command.output().unwrap()
}

/// The status and the JSON body that a sample printed.
fn printed(output: &Output, what: &str) -> (bool, Value) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}: {:?}\n{out}\n{err}", output.status.code());
    let brace = out.find('{').unwrap_or_else(|| panic!("{what} prints no body: {out}\n{err}"));
    let mut bodies = serde_json::Deserializer::from_str(&out[brace..]).into_iter::<Value>();
    let body = bodies.next().unwrap().unwrap_or_else(|error| panic!("{what}: {error}: {out}"));
    let rest = &out[brace + bodies.byte_offset()..];
    // The status is a number of its own, before the body or behind it.
    let words = |text: &str| text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "202");
    (words(&out[..brace]) || words(rest), body)
}

async fn runs(name: &str, language: &str, file: &str, programs: &[&'static str]) {
    let code = sample(&readme(), name, language);
    let Some(program) = installed(programs) else { return };
    let service = Service::start(Backend::Sqlite).await;
    let file = service.database.folder().join(file);
    std::fs::write(&file, code).unwrap();
    let mut ids = Vec::new();
    for (order, expected) in
        [("ORD-2001", "ACCEPTED"), ("ORD-2001", "DUPLICATE"), ("Café \"2\" & 100%", "ACCEPTED")]
    {
        let output = run(program, &file, &service, order);
        let (said_202, body) = printed(&output, name);
        assert!(said_202, "{name} does not print the status: {}", String::from_utf8_lossy(&output.stdout));
        assert_eq!((&body["status"], &body["order_id"]), (&expected.into(), &order.into()), "{name}: {body}");
        assert_eq!(body["event_name"], "sale", "{name}: {body}");
        ids.push(body["event_id"].clone());
    }
    assert_eq!(ids[0], ids[1], "{name}");
    assert_eq!(service.count_events(), 2, "{name}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shell_sample_reports_a_sale() {
    runs("shell", "sh", "sample.sh", &["sh"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_sample_reports_a_sale() {
    runs("python", "python", "sample.py", &["python3", "python"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_sample_reports_a_sale() {
    // With an ending that node takes for what the sample is written as.
    let module = sample(&readme(), "node", "js").lines().any(|line| line.starts_with("import "));
    runs("node", "js", if module { "sample.mjs" } else { "sample.cjs" }, &["node", "nodejs"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_php_sample_reports_a_sale() {
    runs("php", "php", "sample.php", &["php"]).await;
}

#[test]
fn the_two_commands_of_a_newcomer_are_named() {
    let text = readme();
    for command in ["cargo run --release -- serve --demo", "cargo test"] {
        let shown = text.lines().any(|line| line.trim().trim_start_matches("$ ") == command);
        assert!(shown, "README.md has no line of its own with `{command}`");
    }
}

#[test]
fn every_setting_that_readme_names_is_one() {
    let text = readme();
    for variable in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
        let Some(path) = variable.strip_prefix("CONVERSIOND__") else { continue };
        let Some((section, key)) = path.split_once("__") else { continue };
        let placeholder = (section, key) == ("SECTION", "KEY");
        assert!(placeholder || is_setting(&section.to_lowercase(), &key.to_lowercase()), "{variable}");
    }
}

/// Whether the list of settings has this one.
fn is_setting(section: &str, key: &str) -> bool {
    let mut current = "";
    conversiond::config::DEFAULTS.lines().any(|line| {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            current = name;
        }
        current == section && line.starts_with(&format!("{key} = "))
    })
}

#[test]
fn a_sample_is_found_behind_its_comment_alone() {
    let text = "a\n```sh\nno\n```\n<!-- sample: shell -->\n\n```sh\necho 1\n\necho 2\n```\n```sh\nno\n```\n";
    assert_eq!(sample(text, "shell", "sh"), "echo 1\n\necho 2\n");
    let missing = std::panic::catch_unwind(|| sample(text, "python", "python"));
    assert!(missing.is_err(), "a missing block is a failure");
}
