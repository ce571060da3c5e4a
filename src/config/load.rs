//! Reading the sources and explaining what is wrong with them.

use std::collections::BTreeSet;
use std::path::Path;

use figment::Figment;
use figment::error::{Actual, Kind};
use figment::providers::{Env, Format, Toml};
use figment::value::{Dict, Value};

use super::Config;

/// `config/default.toml`, compiled in.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

const ENV_PREFIX: &str = "CONVERSIOND__";

/// The configuration cannot be used, and why, in a sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("configuration: {0}")]
pub struct ConfigError(pub String);

/// Reads the defaults, the file and the environment.
pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
    let mut figment = Figment::new();
    if let Some(path) = file {
        if !path.is_file() {
            return Err(ConfigError(format!("{}: no such file", path.display())));
        }
        figment = figment.merge(Toml::file_exact(path));
    }
    load_from(figment.merge(Env::prefixed(ENV_PREFIX).split("__")))
}

/// Reads the defaults and what is given over them.
pub fn load_from(over: Figment) -> Result<Config, ConfigError> {
    let defaults = Figment::from(Toml::string(DEFAULTS));
    let known = keys(&defaults)?;
    for key in keys(&over)? {
        if !known.contains(&key) {
            return Err(ConfigError(unknown(&key, &known)));
        }
    }
    let config: Config = defaults.merge(over).extract().map_err(|error| told(&error))?;
    config.validate().map_err(ConfigError)?;
    Ok(config)
}

/// What is wrong and where, without the value that is wrong: it may be, or stand beside, a password.
fn told(error: &figment::Error) -> ConfigError {
    let errors: Vec<String> = error.clone().into_iter().map(|error| one(&error)).collect();
    ConfigError(errors.join("; "))
}

fn one(error: &figment::Error) -> String {
    let key = error.path.join(".");
    let key = if key.is_empty() { key } else { format!("{key}: ") };
    let source = error.metadata.as_ref().map(|metadata| match &metadata.source {
        Some(source) => format!(" in {source}"),
        None => format!(" in {}", metadata.name),
    });
    format!("{key}{}{}", fault(&error.kind), source.unwrap_or_default())
}

fn fault(kind: &Kind) -> String {
    match kind {
        // The lines behind the first one are the file's own.
        Kind::Message(text) if text.starts_with("TOML parse error") => {
            let place = text.lines().next().unwrap_or_default();
            format!("{place} (the line is not shown: it may hold a password)")
        }
        Kind::Message(text) => text.lines().next().unwrap_or_default().to_owned(),
        Kind::InvalidType(found, expected) => format!("found {}, expected {expected}", type_of(found)),
        Kind::InvalidValue(found, expected) => format!("invalid {}, expected {expected}", type_of(found)),
        Kind::InvalidLength(found, expected) => format!("found {found} values, expected {expected}"),
        Kind::UnknownVariant(_, expected) => format!("expected one of {}", expected.join(", ")),
        Kind::UnknownField(_, expected) => format!("unknown key, expected one of {}", expected.join(", ")),
        Kind::MissingField(name) => format!("{name} is missing"),
        Kind::DuplicateField(name) => format!("{name} stands there twice"),
        Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => "the number is out of range".to_owned(),
        Kind::Unsupported(found) | Kind::UnsupportedKey(found, _) => {
            format!("{} cannot be used", type_of(found))
        }
    }
}

const fn type_of(value: &Actual) -> &'static str {
    match value {
        Actual::Bool(_) => "a boolean",
        Actual::Unsigned(_) | Actual::Signed(_) => "an integer",
        Actual::Float(_) => "a fraction",
        Actual::Char(_) | Actual::Str(_) => "a string",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        _ => "something else",
    }
}

fn unknown(key: &str, known: &BTreeSet<String>) -> String {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(key, candidate), candidate))
        .max_by(|(left, _), (right, _)| left.total_cmp(right));
    match nearest {
        Some((_, nearest)) => format!("unknown key {key}: did you mean {nearest}?"),
        None => format!("unknown key {key}"),
    }
}

fn keys(figment: &Figment) -> Result<BTreeSet<String>, ConfigError> {
    let sections: Dict = figment.extract().map_err(|error| told(&error))?;
    let mut keys = BTreeSet::new();
    for (section, value) in sections {
        match value {
            Value::Dict(_, settings) => keys.extend(settings.keys().map(|key| format!("{section}.{key}"))),
            _ => {
                keys.insert(section);
            }
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(toml: &str) -> Result<Config, ConfigError> {
        load_from(Figment::from(Toml::string(toml)))
    }

    #[test]
    fn the_defaults_are_complete_and_valid() {
        let config = with("").unwrap();
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.signature.tolerance_s, 300);
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest_known_one() {
        let error = with("[server]\nlisten_on = \"x\"").unwrap_err().to_string();
        assert!(
            error.contains("server.listen_on") && error.contains("did you mean server.listen?"),
            "{error}"
        );
        let error = with("sever = 1").unwrap_err().to_string();
        assert!(error.contains("unknown key sever"), "{error}");
    }

    #[test]
    fn values_are_checked() {
        assert!(with("[signature]\ntolerance_s = 29").unwrap_err().0.contains("between 30 and 900"));
        assert!(
            with("[database]\nurl = \"mysql://x\"").unwrap_err().0.contains("sqlite:PATH or postgres://")
        );
        assert!(with("[telemetry]\nlog_format = \"xml\"").is_err());
        let too_much = "[plans.pro]\nrate_per_s = 1000001";
        assert!(with(too_much).unwrap_err().0.contains("plans.pro.rate_per_s"));
        assert!(with("[peer]\nburst = 1000001").unwrap_err().0.contains("peer.burst"));
        assert!(with("[plans.gold]\nrate_per_s = 1").unwrap_err().0.contains("plans.gold"));
        assert!(with("[server]\ntrusted_proxies = [\"10.0.0.0/33\"]").is_err());
    }
}
