//! The bodies that a sender may have signed, told from the body sent.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::axis::Axis;
use super::finding::Finding;
use super::json_styles::Style;
use crate::domain::json;

/// Bodies above this size are not written anew: that is a hundred copies.
const REWRITTEN_BYTES_MAX: usize = 1024 * 1024;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// The body as sent, and what may have been signed instead.
pub fn axis(body: &[u8]) -> Axis<'_> {
    let mut axis = Axis::new(body);
    line_ends(&mut axis, body);
    white_space(&mut axis, body);
    slips(&mut axis, body);
    if body.len() <= REWRITTEN_BYTES_MAX {
        rewritten(&mut axis, body);
    }
    axis
}

/// Adds the body's hash in place of the body, which is a mistake in every form but the bound one.
pub fn add_hash<'a>(axis: &mut Axis<'a>, body: &[u8]) {
    let finding = Finding::new(
        "body_hash_signed",
        "The sender signed the body's SHA-256 instead of the body. Only v2 takes the body's hash, as the last \
         of its seven lines.",
    );
    axis.or(hex::encode(Sha256::digest(body)).into_bytes(), vec![finding]);
}

fn line_ends<'a>(axis: &mut Axis<'a>, body: &'a [u8]) {
    axis.or([body, b"\n"].concat(), vec![trailing_newline_signed("line feed")]);
    axis.or([body, b"\r\n"].concat(), vec![trailing_newline_signed("CR and LF")]);
    let shorter = body.strip_suffix(b"\n").unwrap_or(body);
    for shorter in [shorter, shorter.strip_suffix(b"\r").unwrap_or(shorter), trim_newlines(body)] {
        let finding = Finding::new(
            "trailing_newline_sent",
            "The body sent ends with a line break that was not signed: something added it after signing (an \
             editor, echo, a template), or the sender trimmed the text before signing it.",
        );
        axis.or(shorter, vec![finding]);
    }
    let unix = replace(body, b"\r\n", b"\n");
    let finding = Finding::new(
        "crlf_signed",
        "The body was signed with CRLF line ends and sent with LF: something changed the line ends on the way \
         (curl --data takes them out altogether: use --data-binary).",
    );
    axis.or(replace(&unix, b"\n", b"\r\n"), vec![finding]);
    let finding = Finding::new(
        "lf_signed",
        "The body was signed with LF line ends and sent with CRLF: something changed the line ends on the way \
         (a text-mode file, a Windows tool).",
    );
    axis.or(unix, vec![finding]);
    let joined: Vec<u8> = body.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect();
    let finding = Finding::new(
        "line_breaks_not_signed",
        "The body was signed without its line breaks and sent with them.",
    );
    axis.or(joined, vec![finding]);
}

fn trailing_newline_signed(what: &str) -> Finding {
    Finding::new(
        "trailing_newline_signed",
        format!(
            "The body was signed with a {what} behind it that was not sent: echo adds one (use printf '%s'), \
             many editors do, and curl --data takes them out (use --data-binary)."
        ),
    )
}

fn white_space<'a>(axis: &mut Axis<'a>, body: &'a [u8]) {
    let unmarked = body.strip_prefix(BOM).unwrap_or(body);
    let finding = Finding::new(
        "bom_sent",
        "The body sent begins with a UTF-8 byte order mark that was not signed. Send JSON without it.",
    );
    axis.or(unmarked, vec![finding]);
    let finding = Finding::new(
        "bom_signed",
        "The body was signed with a UTF-8 byte order mark before it that was not sent. Write the file without \
         it.",
    );
    axis.or([BOM, body].concat(), vec![finding]);
    let finding = Finding::new(
        "white_space_sent",
        "The body sent has white space before or behind it that was not signed: the sender trims the text \
         before signing it.",
    );
    axis.or(body.trim_ascii(), vec![finding]);
    for padded in [[body, b" "].concat(), [b" ", body].concat()] {
        let finding = Finding::new(
            "white_space_signed",
            "The body was signed with a space before or behind it that was not sent.",
        );
        axis.or(padded, vec![finding]);
    }
}

/// What languages make of a body that is not the text it was taken for.
fn slips<'a>(axis: &mut Axis<'a>, body: &'a [u8]) {
    let finding = Finding::new(
        "body_left_out",
        "The MAC was computed over an empty body: it had been read already, or the variable that holds it is \
         set later.",
    );
    axis.or(&[][..], vec![finding]);
    let finding = Finding::new(
        "object_as_text",
        "The sender signed the text `[object Object]`: a JavaScript object stood where its JSON was meant. \
         Make the text once, with JSON.stringify; sign that text and send it.",
    );
    axis.or(&b"[object Object]"[..], vec![finding]);
    let finding = Finding::new(
        "bytes_as_text",
        "The sender signed the text b'…': Python wrote a bytes object into a string. Join bytes to bytes, as \
         in f\"{timestamp}.\".encode() + body.",
    );
    axis.or(python_repr(body), vec![finding]);
    let Ok(text) = std::str::from_utf8(body) else { return };
    if let Ok(quoted) = serde_json::to_string(text) {
        let finding = Finding::new(
            "body_encoded_twice",
            "The sender signed the body's JSON encoded as JSON once more, a quoted string.",
        );
        axis.or(quoted.into_bytes(), vec![finding]);
    }
    if let Ok(latin1) = text.chars().map(u8::try_from).collect::<Result<Vec<u8>, _>>() {
        let finding = Finding::new(
            "latin1_signed",
            "The sender signed the body in ISO 8859-1 and sent it in UTF-8. Encode it once, in UTF-8, and sign \
             those bytes.",
        );
        axis.or(latin1, vec![finding]);
    }
}

fn rewritten<'a>(axis: &mut Axis<'a>, body: &'a [u8]) {
    let Ok(value) = json::parse(body.strip_prefix(BOM).unwrap_or(body).trim_ascii()) else { return };
    let styles = Style::all();
    let texts: Vec<String> = styles.iter().map(|style| style.write(&value)).collect();
    let finding = |style: Style| {
        let how = style.describe();
        Finding::new(
            "json_rewritten",
            format!(
                "The sender signed other JSON than it sent. Signed was the same content written {how}. Make \
                 the text once, sign its bytes and send these very bytes."
            ),
        )
    };
    for (style, text) in styles.iter().zip(&texts) {
        axis.or(text.clone().into_bytes(), vec![finding(*style)]);
    }
    for (style, text) in styles.iter().zip(texts) {
        let ended = text + "\n";
        axis.or(ended.into_bytes(), vec![finding(*style), trailing_newline_signed("line feed")]);
    }
}

fn trim_newlines(mut body: &[u8]) -> &[u8] {
    while let [rest @ .., b'\n' | b'\r'] = body {
        body = rest;
    }
    body
}

fn replace(body: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(byte) = rest.first() {
        if let Some(behind) = rest.strip_prefix(from) {
            replaced.extend_from_slice(to);
            rest = behind;
        } else {
            replaced.push(*byte);
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    replaced
}

/// A bytes object as Python shows it.
fn python_repr(body: &[u8]) -> Vec<u8> {
    let quote = if body.contains(&b'\'') && !body.contains(&b'"') { '"' } else { '\'' };
    let mut shown = format!("b{quote}");
    for byte in body {
        match char::from(*byte) {
            '\\' => shown.push_str("\\\\"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if c == quote => shown.extend(['\\', c]),
            c @ ' '..='~' => shown.push(c),
            // Writing to a String cannot fail.
            _ => drop(write!(shown, "\\x{byte:02x}")),
        }
    }
    shown.push(quote);
    shown.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_variant_equals_the_body_sent_or_another() {
        for body in ["", "{}", "{\"a\":1}\n", "\u{feff}{ \"é\" : [1.50, \"/\"] }\r\n", "no JSON", "[]"] {
            let axis = axis(body.as_bytes());
            let values: Vec<_> = axis.iter().map(|variant| &variant.value).collect();
            let distinct: std::collections::HashSet<_> = values.iter().collect();
            assert_eq!(distinct.len(), values.len(), "{body:?}");
            assert!(axis.iter().skip(1).all(|variant| !variant.mistakes.is_empty()), "{body:?}");
        }
    }

    #[test]
    fn bytes_are_shown_as_python_shows_them() {
        assert_eq!(python_repr("{\"a\":\"é'\\\"}\n".as_bytes()), br#"b'{"a":"\xc3\xa9\'\\"}\n'"#);
        assert_eq!(python_repr(b"it's"), br#"b"it's""#);
    }
}
