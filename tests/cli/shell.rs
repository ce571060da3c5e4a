//! Running commands to their end and reading what they say.

use std::io::Write as _;
use std::process::{Command, Stdio};

use conversiond::domain::secret::SigningSecret;
use serde_json::Value;

use crate::support::process::{command, run_json};
use crate::support::{Backend, Caller, TestDatabase};

/// What a command left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Exit 0.
    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Exit 1 with all of these words on standard error, and nothing on standard output.
    #[track_caller]
    pub fn failed_saying(self, words: &[&str]) -> Self {
        assert_eq!((self.code, self.out.as_str()), (Some(1), ""), "{self:?}");
        self.says(words)
    }

    /// Exit 2 with all of these words on standard error, and nothing on standard output.
    #[track_caller]
    pub fn misused_saying(self, words: &[&str]) -> Self {
        assert_eq!((self.code, self.out.as_str()), (Some(2), ""), "{self:?}");
        self.says(words)
    }

    #[track_caller]
    fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in {:?}", self.err);
        }
        self
    }

    /// Standard output as JSON: one line of it.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs a prepared command.
pub fn finish(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs a prepared command that reads this from its standard input.
pub fn finish_reading(mut command: Command, input: &[u8]) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that refuses before it reads closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs a command on a database.
pub fn run(database: &TestDatabase, arguments: &[&str]) -> Ran {
    finish(command(database, arguments))
}

/// Every database that is installed.
pub fn backends() -> impl Iterator<Item = Backend> {
    [Some(Backend::Sqlite), Backend::postgres()].into_iter().flatten()
}

/// A merchant made by the command line.
pub fn merchant(database: &TestDatabase) -> String {
    text(&run_json(database, &["merchant", "create", "--name", "Test shop"]), "merchant_id")
}

/// A key made by the command line, with further arguments; its id and secret.
pub fn key(database: &TestDatabase, arguments: &[&str]) -> (String, String) {
    let made = run_json(database, &[&["key", "create"], arguments].concat());
    (text(&made, "key_id"), text(&made, "secret"))
}

/// A caller with a key that the command line made.
pub fn caller(base: &str, (key_id, secret): (String, String)) -> Caller {
    Caller {
        http: reqwest::Client::new(),
        base: base.to_owned(),
        key_id,
        secret: SigningSecret::parse(&secret).unwrap(),
    }
}

/// A member that is text.
#[track_caller]
pub fn text(json: &Value, member: &str) -> String {
    json[member].as_str().unwrap_or_else(|| panic!("no {member} in {json}")).to_owned()
}
