//! JSON written anew, as the libraries that senders use write it.
//!
//! A sender that signs what it has parsed and written again, and sends something else, signs other
//! bytes. Each style here is how some library writes.

use std::fmt::Write as _;

use crate::domain::json::Json;

/// One way to write a JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    spacing: Spacing,
    escapes: Escapes,
    numbers: Numbers,
    sorted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spacing {
    Compact,
    AfterSeparators,
    Indented(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Needed,
    NonAscii,
    Slashes,
    NonAsciiAndSlashes,
    Html,
    DotNet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Numbers {
    AsWritten,
    JavaScript,
    Python,
}

impl Style {
    /// Every style, those that change least first.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for numbers in [Numbers::AsWritten, Numbers::JavaScript, Numbers::Python] {
            for escapes in [
                Escapes::Needed,
                Escapes::NonAscii,
                Escapes::Slashes,
                Escapes::NonAsciiAndSlashes,
                Escapes::Html,
                Escapes::DotNet,
            ] {
                for sorted in [false, true] {
                    for spacing in [
                        Spacing::Compact,
                        Spacing::AfterSeparators,
                        Spacing::Indented(2),
                        Spacing::Indented(4),
                    ] {
                        all.push(Self { spacing, escapes, numbers, sorted });
                    }
                }
            }
        }
        all
    }

    /// What the style does, for people.
    pub fn describe(self) -> String {
        let mut words = vec![match self.spacing {
            Spacing::Compact => "compact, without white space".to_owned(),
            Spacing::AfterSeparators => "with a space after each comma and colon".to_owned(),
            Spacing::Indented(width) => format!("pretty-printed with {width} spaces"),
        }];
        if self.sorted {
            words.push("the members sorted by name".to_owned());
        }
        let escapes = match self.escapes {
            Escapes::Needed => None,
            Escapes::NonAscii => Some(r"characters beyond ASCII written as \uXXXX"),
            Escapes::Slashes => Some(r"slashes written as \/"),
            Escapes::NonAsciiAndSlashes => {
                Some(r"slashes written as \/ and characters beyond ASCII as \uXXXX")
            }
            Escapes::Html => Some(r"<, > and & written as \u003c and so on"),
            Escapes::DotNet => Some(r"<, >, &, +, quotes and characters beyond ASCII written as \uXXXX"),
        };
        words.extend(escapes.map(str::to_owned));
        if self.numbers != Numbers::AsWritten {
            words.push("the numbers read as floats and written anew (129.90 becomes 129.9)".to_owned());
        }
        let library = self.library().map(|name| format!(" (as {name} does)"));
        words.join(", ") + &library.unwrap_or_default()
    }

    /// Who writes so unless told otherwise.
    const fn library(self) -> Option<&'static str> {
        match (self.spacing, self.escapes, self.sorted) {
            (Spacing::Compact, Escapes::Needed, false) => Some("JavaScript's JSON.stringify"),
            (Spacing::AfterSeparators, Escapes::Needed | Escapes::NonAscii, _) => Some("Python's json.dumps"),
            (Spacing::Compact, Escapes::Slashes | Escapes::NonAsciiAndSlashes, _) => {
                Some("PHP's json_encode")
            }
            (Spacing::Compact, Escapes::Html, _) => Some("Go's json.Marshal"),
            (Spacing::Compact, Escapes::DotNet, _) => Some(".NET's System.Text.Json"),
            _ => None,
        }
    }

    /// Writes a value in this style.
    pub fn write(self, json: &Json<'_>) -> String {
        let mut out = String::new();
        self.value(&mut out, json, 1);
        out
    }

    /// Nothing recurses deeper than [`crate::domain::json::DEPTH_MAX`]: the parser saw to it.
    fn value(self, out: &mut String, json: &Json<'_>, depth: usize) {
        match json {
            Json::Null => out.push_str("null"),
            Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Json::Number(digits) => out.push_str(&self.numbers.write(digits)),
            Json::String(text) => self.escapes.write(out, text),
            Json::Array(elements) => {
                self.list(out, ('[', ']'), elements.iter(), depth, |out, element| {
                    self.value(out, element, depth + 1);
                });
            }
            Json::Object(object) => {
                let mut members: Vec<_> = object.members().collect();
                if self.sorted {
                    members.sort_by_key(|(name, _)| *name);
                }
                self.list(out, ('{', '}'), members.into_iter(), depth, |out, (name, value)| {
                    self.escapes.write(out, name);
                    out.push_str(if self.spacing == Spacing::Compact { ":" } else { ": " });
                    self.value(out, value, depth + 1);
                });
            }
        }
    }

    fn list<T>(
        self,
        out: &mut String,
        (open, close): (char, char),
        items: impl ExactSizeIterator<Item = T>,
        depth: usize,
        mut write: impl FnMut(&mut String, T),
    ) {
        let empty = items.len() == 0;
        out.push(open);
        for (index, item) in items.enumerate() {
            if index > 0 {
                out.push(',');
            }
            match self.spacing {
                Spacing::AfterSeparators if index > 0 => out.push(' '),
                Spacing::Compact | Spacing::AfterSeparators => {}
                Spacing::Indented(width) => new_line(out, width * depth),
            }
            write(out, item);
        }
        if let (Spacing::Indented(width), false) = (self.spacing, empty) {
            new_line(out, width * (depth - 1));
        }
        out.push(close);
    }
}

fn new_line(out: &mut String, width: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', width));
}

impl Escapes {
    fn write(self, out: &mut String, text: &str) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' if self == Self::DotNet => out.push_str("\\u0022"),
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '/' if matches!(self, Self::Slashes | Self::NonAsciiAndSlashes) => out.push_str("\\/"),
                c if c < ' ' || self.hides(c) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        // Writing to a String cannot fail.
                        let _ = match self {
                            Self::DotNet => write!(out, "\\u{unit:04X}"),
                            _ => write!(out, "\\u{unit:04x}"),
                        };
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }

    fn hides(self, c: char) -> bool {
        match self {
            Self::Needed | Self::Slashes => false,
            Self::NonAscii | Self::NonAsciiAndSlashes => !c.is_ascii(),
            Self::Html => matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'),
            Self::DotNet => !c.is_ascii() || matches!(c, '<' | '>' | '&' | '\'' | '+' | '`' | '\u{7f}'),
        }
    }
}

impl Numbers {
    /// Floats are wrong for money; here they do to the digits what the sender's library did.
    fn write(self, digits: &str) -> String {
        let as_written = || digits.to_owned();
        let integer = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let Ok(float) = digits.parse::<f64>() else { return as_written() };
        let size = float.abs();
        match self {
            // Beyond these sizes the libraries write exponents, each in its own way.
            Self::JavaScript if size == 0.0 => "0".to_owned(),
            Self::JavaScript if (1e-6..1e21).contains(&size) => float.to_string(),
            Self::Python if !integer && (size == 0.0 || (1e-4..1e16).contains(&size)) => format!("{float:?}"),
            _ => as_written(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::json;

    /// Written by the libraries themselves, of `SENT`.
    const SENT: &str = r#"{ "b":"é/<\u0001\n\"😀+'&>","a":129.90,"n":[1.0,{},[],null,true,-0.0,7] }"#;
    const JAVASCRIPT: &str = r#"{"b":"é/<\u0001\n\"😀+'&>","a":129.9,"n":[1,{},[],null,true,0,7]}"#;
    const PYTHON: &str =
        r#"{"b": "\u00e9/<\u0001\n\"\ud83d\ude00+'&>", "a": 129.9, "n": [1.0, {}, [], null, true, -0.0, 7]}"#;
    const PYTHON_INDENTED: &str = "{\n  \"a\": 129.9,\n  \"b\": \"é/<\\u0001\\n\\\"😀+'&>\",\n  \"n\": [\n    1.0,\n    \
        {},\n    [],\n    null,\n    true,\n    -0.0,\n    7\n  ]\n}";

    fn written(spacing: Spacing, escapes: Escapes, numbers: Numbers, sorted: bool) -> String {
        Style { spacing, escapes, numbers, sorted }.write(&json::parse(SENT.as_bytes()).unwrap())
    }

    #[test]
    fn styles_write_what_the_libraries_write() {
        let javascript = written(Spacing::Compact, Escapes::Needed, Numbers::JavaScript, false);
        assert_eq!(javascript, JAVASCRIPT);
        let python = written(Spacing::AfterSeparators, Escapes::NonAscii, Numbers::Python, false);
        assert_eq!(python, PYTHON);
        let indented = written(Spacing::Indented(2), Escapes::Needed, Numbers::Python, true);
        assert_eq!(indented, PYTHON_INDENTED);
        let php = written(Spacing::Compact, Escapes::NonAsciiAndSlashes, Numbers::AsWritten, false);
        assert!(php.contains(r#""\u00e9\/<\u0001\n\"\ud83d\ude00+'&>""#), "{php}");
        let go = written(Spacing::Compact, Escapes::Html, Numbers::AsWritten, true);
        assert!(go.starts_with(r#"{"a":129.90,"b":"é/\u003c\u0001\n\"😀+'\u0026\u003e""#), "{go}");
        let dotnet = written(Spacing::Compact, Escapes::DotNet, Numbers::AsWritten, false);
        assert!(
            dotnet.contains(r#""\u00E9/\u003C\u0001\n\u0022\uD83D\uDE00\u002B\u0027\u0026\u003E""#),
            "{dotnet}"
        );
    }

    #[test]
    fn every_style_says_the_same_value() {
        let sent = r#"{"b":"é/<","a":1,"n":[{}]}"#;
        for style in Style::all() {
            let written = style.write(&json::parse(sent.as_bytes()).unwrap());
            assert!(json::same_value(&written, sent), "{}: {written}", style.describe());
        }
    }
}
