//! Holds what callers send and are answered against the API's own description.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use conversiond::config::load_from;
use conversiond::http::HttpLimits;
use conversiond::http::openapi::Document;
use figment::Figment;
use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::caller::Answer;

/// The description, and what was made of it.
pub struct Contract {
    /// The document.
    pub document: Value,
    /// Its components with answers' objects closed: nothing may stand in them that is not described.
    closed: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// The headers that HTTP itself brings.
const OF_HTTP: [&str; 5] = ["content-type", "content-length", "transfer-encoding", "date", "connection"];

/// The document of a service with default settings.
pub fn document() -> Document {
    Document::new(&HttpLimits::new(&load_from(Figment::new()).unwrap()))
}

impl Contract {
    /// The description of a service with default settings.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Contract> = OnceLock::new();
        SHARED.get_or_init(|| {
            let document = serde_json::to_value(document()).unwrap();
            let mut closed = document["components"].clone();
            close(&mut closed["schemas"]);
            Self { document, closed, validators: Mutex::default() }
        })
    }

    /// What a reference inside the document stands for.
    pub fn resolve<'a>(&'a self, object: &'a Value) -> &'a Value {
        let Some(reference) = object["$ref"].as_str() else { return object };
        let pointer = reference.strip_prefix('#').expect("references stay in the document");
        self.document.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }

    /// A validator of a schema of the document's, for what callers send.
    pub fn of_requests(&self, schema: &Value) -> Arc<Validator> {
        self.validator(schema, &self.document["components"], "request")
    }

    /// The same for what they are answered, where nothing else may stand.
    pub fn of_answers(&self, schema: &Value) -> Arc<Validator> {
        self.validator(schema, &self.closed, "answer")
    }

    fn validator(&self, schema: &Value, components: &Value, side: &str) -> Arc<Validator> {
        let mut validators = self.validators.lock().unwrap();
        let validator = validators.entry(format!("{side} {schema}")).or_insert_with(|| {
            let root = json!({ "allOf": [schema], "components": components });
            Arc::new(jsonschema::draft202012::options().should_validate_formats(true).build(&root).unwrap())
        });
        Arc::clone(validator)
    }

    /// The described path that a target leads to.
    fn pattern(&self, target: &str) -> Option<&str> {
        let path = target.split('?').next().unwrap();
        let paths = self.document["paths"].as_object().unwrap();
        let fits = |pattern: &str| {
            let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
            loop {
                match (pattern.next(), path.next()) {
                    (None, None) => return true,
                    (Some(part), Some(given)) if part == given => {}
                    (Some(part), Some(given)) if part.starts_with('{') && !given.is_empty() => {}
                    _ => return false,
                }
            }
        };
        let mut fitting: Vec<&str> =
            paths.keys().map(String::as_str).filter(|pattern| fits(pattern)).collect();
        // A path without a placeholder wins.
        fitting.sort_by_key(|pattern| pattern.contains('{'));
        fitting.first().copied()
    }

    /// What is described of a request: `None` = the path, or the method on it, is not there.
    fn operation(&self, method: &str, target: &str) -> Option<&Value> {
        self.document["paths"][self.pattern(target)?].get(method.to_lowercase())
    }

    /// Asserts that the answer to a request is one that is described, in status, headers and body.
    #[track_caller]
    pub fn check_answer(&self, method: &str, target: &str, answer: &Answer) {
        let context =
            || format!("{method} {target} -> {} {:?} {}", answer.status, answer.headers, answer.text);
        let response = match self.operation(method, target) {
            Some(operation) => &operation["responses"][answer.status.to_string()],
            None => {
                let code = match self.pattern(target) {
                    // A topic that there is not is no path, whatever the method.
                    Some(pattern) if pattern.ends_with("/{topic}") && answer.status == 404 => "not_found",
                    Some(_) => "method_not_allowed",
                    None => "not_found",
                };
                let response = &self.document["components"]["responses"][code];
                let statuses = response
                    .pointer("/content/application~1problem+json/schema/allOf/1/properties/status/enum");
                assert_eq!(statuses, Some(&json!([answer.status])), "{}", context());
                response
            }
        };
        assert!(!response.is_null(), "the status is not described: {}", context());
        let response = self.resolve(response);
        self.check_headers(response["headers"].as_object().unwrap(), answer, &context);
        // The character set is no part of the type's name.
        let media_type = answer.header("content-type").unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default();
        let content = response["content"].as_object();
        match content.map(|content| content.get(media_type)) {
            None => assert_eq!(answer.text, "", "{}", context()),
            Some(None) => panic!("the media type is not described: {}", context()),
            Some(Some(_)) if method == "HEAD" => {}
            Some(Some(content)) if !media_type.ends_with("json") || media_type.ends_with("x-ndjson") => {
                let schema = self.of_answers(&content["schema"]);
                assert!(schema.is_valid(&answer.text.as_str().into()), "{}", context());
                for line in answer.text.lines().filter(|_| media_type.ends_with("x-ndjson")) {
                    let Ok(line) = serde_json::from_str(line) else { continue };
                    let errors = errors(&self.of_answers(&content["schema"]["x-line-schema"]), &line);
                    assert!(errors.is_empty(), "{errors:#?}\n{}", context());
                }
            }
            Some(Some(content)) => {
                let body: &serde_json::value::RawValue = serde_json::from_str(&answer.text).unwrap();
                // JSON, but perhaps with a merchant's number that no float can hold.
                let Ok(body) = serde_json::from_str(body.get()) else { return };
                let errors = errors(&self.of_answers(&content["schema"]), &body);
                assert!(errors.is_empty(), "{errors:#?}\n{}", context());
            }
        }
    }

    fn check_headers(&self, described: &Map<String, Value>, answer: &Answer, context: &dyn Fn() -> String) {
        for (name, header) in described {
            let header = self.resolve(header);
            let Some(text) = answer.header(name) else {
                assert!(header["required"] != true, "no {name}: {}", context());
                continue;
            };
            let schema = &header["schema"];
            let value = if schema["type"] == "integer" { text.parse().unwrap() } else { Value::from(text) };
            assert!(self.of_answers(schema).is_valid(&value), "{name}: {}", context());
        }
        for name in answer.headers.keys().map(|name| name.as_str()) {
            let known = OF_HTTP.contains(&name) || described.keys().any(|key| key.eq_ignore_ascii_case(name));
            assert!(known, "{name} is not described: {}", context());
        }
    }

    /// Asserts that a body that was taken is one that is described.
    #[track_caller]
    pub fn check_taken(&self, method: &str, target: &str, body: &[u8], answer: &Answer) {
        let taken = (200..300).contains(&answer.status) && !body.is_empty();
        let operation = self.operation(method, target).filter(|_| taken);
        let Some(schema) = operation.and_then(|o| o.pointer("/requestBody/content/application~1json/schema"))
        else {
            return;
        };
        let Ok(mut body) = serde_json::from_slice::<Value>(body) else { return };
        // A row that is refused need not be of the form described.
        if let (Some(rows), Some(results)) = (body["rows"].as_array_mut(), answer.at("/results").as_array()) {
            let taken = rows.drain(..).zip(results).filter(|(_, result)| result["status"] != "REJECTED");
            let rows: Vec<Value> = taken.map(|(row, _)| row).collect();
            if rows.is_empty() {
                return;
            }
            body["rows"] = rows.into();
        }
        let errors = errors(&self.of_requests(schema), &body);
        assert!(errors.is_empty(), "{method} {target} took {body}, which is not described: {errors:#?}");
    }
}

/// What is wrong with a value, a line each.
pub fn errors(validator: &Validator, value: &Value) -> Vec<String> {
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Lets no object hold more than is described.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let is_object = members.get("type").is_some_and(|kind| kind == "object");
            if is_object && members.get("properties").is_some_and(Value::is_object) {
                members.insert("additionalProperties".to_owned(), false.into());
            }
            members.values_mut().for_each(close);
        }
        Value::Array(elements) => elements.iter_mut().for_each(close),
        _ => {}
    }
}
