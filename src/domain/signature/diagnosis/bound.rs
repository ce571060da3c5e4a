//! The seven lines of the bound form, and what senders make of them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::axis::{Axis, Message, fillings, mistakes_of};
use super::finding::Finding;
use crate::domain::signature::Covered;

/// How the lines are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Join {
    Right,
    NewlineBehind,
    Crlf,
    BackslashN,
    FullStops,
    NoVersion,
    NoEmptyLines,
}

/// The lines behind `v2`, each with what may stand in it.
#[derive(Debug)]
pub struct Lines<'a> {
    /// Timestamp, method, target, the two ids as two lines, hash.
    axes: [Axis<'a>; 5],
    joins: Vec<(Join, Option<Finding>)>,
}

impl<'a> Lines<'a> {
    /// Prepares the lines of a request. `host` is its `Host`, for targets that are whole URLs.
    pub fn new(timestamps: Axis<'a>, covered: &Covered<'a>, host: Option<&str>, bodies: &Axis<'a>) -> Self {
        let axes = [
            timestamps,
            methods(covered.method),
            targets(covered.target, host),
            ids(covered),
            hashes(bodies),
        ];
        Self { axes, joins: joins() }
    }

    /// Every message with no more than so many mistakes.
    pub fn messages(&self, mistakes_max: usize) -> Vec<Message<'_>> {
        let mut messages = Vec::new();
        for (join, mistake) in &self.joins {
            let left = mistakes_max.saturating_sub(usize::from(mistake.is_some()));
            for filling in fillings(&self.axes.each_ref(), left) {
                let lines: Vec<&[u8]> = std::iter::once(&b"v2"[..])
                    .chain(filling.iter().map(|line| line.value.as_ref()))
                    .collect();
                let mistakes = mistake.iter().chain(mistakes_of(&filling)).collect();
                messages.push(Message { parts: vec![Cow::Owned(join.apply(&lines.join(&b'\n')))], mistakes });
            }
        }
        messages
    }
}

impl Join {
    fn apply(self, text: &[u8]) -> Vec<u8> {
        let lines = || text.split(|byte| *byte == b'\n');
        match self {
            Self::Right => text.to_vec(),
            Self::NewlineBehind => [text, b"\n"].concat(),
            Self::Crlf => lines().collect::<Vec<_>>().join(&b"\r\n"[..]),
            Self::BackslashN => lines().collect::<Vec<_>>().join(&b"\\n"[..]),
            Self::FullStops => lines().collect::<Vec<_>>().join(&b'.'),
            Self::NoVersion => text.strip_prefix(b"v2\n").unwrap_or(text).to_vec(),
            Self::NoEmptyLines => lines().filter(|line| !line.is_empty()).collect::<Vec<_>>().join(&b'\n'),
        }
    }
}

fn joins() -> Vec<(Join, Option<Finding>)> {
    let wrong = |join, code, says: &str| (join, Some(Finding::new(code, says)));
    vec![
        (Join::Right, None),
        wrong(
            Join::NewlineBehind,
            "newline_behind_lines",
            "The seven lines were signed with a line feed behind the last one; there is none. (echo and \
             here-documents add one; use printf.)",
        ),
        wrong(
            Join::Crlf,
            "lines_joined_by_crlf",
            "The seven lines were joined by CRLF; it must be a line feed.",
        ),
        wrong(
            Join::BackslashN,
            "lines_joined_by_backslash_n",
            "The seven lines were joined by the two characters \\n; it must be a line feed. (In single \
             quotation marks many languages read no escapes.)",
        ),
        wrong(
            Join::FullStops,
            "lines_joined_by_full_stops",
            "The seven lines were joined by full stops; it must be a line feed.",
        ),
        wrong(Join::NoVersion, "version_line_left_out", "The first of the seven lines, `v2`, was left out."),
        wrong(
            Join::NoEmptyLines,
            "empty_lines_left_out",
            "The empty lines were left out: a request without Idempotency-Key or X-External-Event-Id has an \
             empty line in its place.",
        ),
    ]
}

fn methods(sent: &str) -> Axis<'_> {
    let mut axis = Axis::new(sent.as_bytes());
    let finding = Finding::new(
        "method_lower_case",
        "The method was signed in lower case; it must be as sent, in capitals.",
    );
    axis.or(sent.to_ascii_lowercase().into_bytes(), vec![finding]);
    for other in ["POST", "GET"] {
        let finding =
            Finding::new("other_method", format!("The method {other} was signed, but {sent} was sent."));
        axis.or(other.as_bytes(), vec![finding]);
    }
    axis.or(&[][..], vec![Finding::new("method_left_out", "The method's line was empty.")]);
    axis
}

fn targets<'a>(sent: &'a str, host: Option<&str>) -> Axis<'a> {
    let mut axis = Axis::new(sent.as_bytes());
    let mut or = |value: Cow<'a, str>, code, what: &str| {
        let says =
            format!("The target was signed {what}; it must be path and query exactly as received: `{sent}`.");
        let value = match value {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        axis.or(value, vec![Finding::new(code, says)]);
    };
    let path = sent.split_once('?').map_or(sent, |(path, _)| path);
    or(path.into(), "target_without_query", "without its query");
    or(sent.trim_start_matches('/').into(), "target_without_slash", "without its leading slash");
    for origin in
        host.iter().flat_map(|host| [format!("https://{host}"), format!("http://{host}"), (*host).to_owned()])
    {
        or(format!("{origin}{sent}").into(), "target_is_url", "as a whole URL");
        or(format!("{origin}{path}").into(), "target_is_url", "as a whole URL without the query");
    }
    or(format!("{sent}/").into(), "target_slash", "with a slash behind it");
    or(sent.trim_end_matches('/').into(), "target_slash", "without the slash behind it");
    for (at, _) in path.match_indices('/').skip(1) {
        let rest = sent.get(at..).unwrap_or_default();
        or(rest.into(), "target_cut", &format!("as `{rest}`, without the beginning of its path"));
    }
    or(sent.to_ascii_lowercase().into(), "target_lower_case", "in lower case");
    or("".into(), "target_left_out", "as an empty line");
    axis
}

/// The two lines of `Idempotency-Key` and `X-External-Event-Id`.
fn ids<'a>(covered: &Covered<'a>) -> Axis<'a> {
    let Covered { idempotency_key: key, external_event_id: event, .. } = *covered;
    let mut axis = Axis::new([key, "\n", event].concat().into_bytes());
    let key_left_out = Finding::new(
        "idempotency_key_left_out",
        "The request carries an Idempotency-Key, but its line was empty when the MAC was computed.",
    );
    let event_left_out = Finding::new(
        "external_event_id_left_out",
        "The request carries an X-External-Event-Id, but its line was empty when the MAC was computed.",
    );
    axis.or(["\n", event].concat().into_bytes(), vec![key_left_out.clone()]);
    axis.or([key, "\n"].concat().into_bytes(), vec![event_left_out.clone()]);
    axis.or(&b"\n"[..], vec![key_left_out, event_left_out]);
    let swapped = Finding::new(
        "ids_swapped",
        "Idempotency-Key and X-External-Event-Id were signed in each other's place: the Idempotency-Key's line \
         comes first, and a header that is not sent has an empty line.",
    );
    axis.or([event, "\n", key].concat().into_bytes(), vec![swapped]);
    let unquoted = Finding::new(
        "idempotency_key_unquoted",
        "The Idempotency-Key was signed without the quotation marks that it is sent with: the line is the \
         header's value exactly as sent.",
    );
    axis.or([key.trim_matches('"'), "\n", event].concat().into_bytes(), vec![unquoted]);
    axis
}

fn hashes<'a>(bodies: &Axis<'a>) -> Axis<'a> {
    let mut variants = bodies.iter();
    let body = variants.next().map(|right| right.value.clone()).unwrap_or_default();
    let digest = Sha256::digest(&body);
    let right = hex::encode(digest);
    let mut axis = Axis::new(right.clone().into_bytes());
    let finding = Finding::new(
        "body_hash_upper_case",
        "The body's SHA-256 was written in upper-case hex; the last of the seven lines takes it in lower case.",
    );
    axis.or(right.to_ascii_uppercase().into_bytes(), vec![finding]);
    let finding = Finding::new(
        "body_hash_base64",
        "The body's SHA-256 was written in base64; the last of the seven lines takes it in lower-case hex.",
    );
    axis.or(STANDARD.encode(digest).into_bytes(), vec![finding]);
    let finding = Finding::new(
        "body_not_hashed",
        "The last of the seven lines was the body itself; it must be the body's SHA-256 in lower-case hex.",
    );
    axis.or(body, vec![finding]);
    for variant in variants {
        axis.or(hex::encode(Sha256::digest(&variant.value)).into_bytes(), variant.mistakes.clone());
    }
    axis
}
