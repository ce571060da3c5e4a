//! How timestamp and body are put together: the plain form, Standard Webhooks, and their kin.

use std::borrow::Cow;

use super::axis::{Axis, Message, fillings, mistakes_of};
use super::finding::Finding;
use super::offered::slack;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Text(&'static str),
    Id,
    Timestamp,
    Body,
    KeyId,
}

use Piece::{Body, Id, KeyId, Text, Timestamp};

/// Pieces in a row, and the mistake that this row is.
#[derive(Debug)]
pub struct Layout {
    pieces: Vec<Piece>,
    mistake: Option<Finding>,
}

/// What a layout's pieces stand for.
#[derive(Debug)]
pub struct Parts<'x, 'a> {
    /// The timestamps to try.
    pub timestamps: &'x Axis<'a>,
    /// The bodies to try.
    pub bodies: &'x Axis<'a>,
    /// The message id of Standard Webhooks.
    pub id: &'x str,
    /// The key's public id.
    pub key_id: &'x str,
}

impl Layout {
    fn new(pieces: &[Piece], mistake: Option<Finding>) -> Self {
        Self { pieces: pieces.to_vec(), mistake }
    }

    /// As it is written in documents: `{timestamp}.{body}`.
    fn formula(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Text(text) => text.escape_default().to_string(),
            Id => "{id}".to_owned(),
            Timestamp => "{timestamp}".to_owned(),
            Body => "{body}".to_owned(),
            KeyId => "{key id}".to_owned(),
        };
        self.pieces.iter().map(piece).collect()
    }

    fn wrong(code: &'static str, right: &str, pieces: &[Piece]) -> Self {
        let layout = Self::new(pieces, None);
        let formula = layout.formula();
        let mistake = Finding::new(code, format!("Signed was `{formula}`; it must be `{right}`."));
        Self { mistake: Some(mistake), ..layout }
    }
}

/// The layouts of the plain form.
pub fn plain() -> Vec<Layout> {
    let right = Layout::new(&[Timestamp, Text("."), Body], None);
    let formula = right.formula();
    let wrong = |code, pieces: &[Piece]| Layout::wrong(code, &formula, pieces);
    // First of the mistakes: without a timestamp others give the same.
    let mut layouts = vec![right, Layout::new(&[Body], Some(body_alone(&formula)))];
    layouts.extend(
        ["", ":", "\n", ",", "|", " ", ";"]
            .map(|separator| wrong("wrong_separator", &[Timestamp, Text(separator), Body])),
    );
    layouts.push(wrong("body_before_timestamp", &[Body, Text("."), Timestamp]));
    layouts.push(wrong("body_before_timestamp", &[Body, Timestamp]));
    layouts.push(wrong("timestamp_labelled", &[Text("t="), Timestamp, Text("."), Body]));
    layouts.push(wrong("timestamp_labelled", &[Text("t="), Timestamp, Text(","), Body]));
    layouts.push(Layout::new(&[Text("v0:"), Timestamp, Text(":"), Body], Some(slack())));
    layouts.push(wrong("version_signed", &[Text("v1:"), Timestamp, Text(":"), Body]));
    layouts.push(wrong("version_signed", &[Text("v1."), Timestamp, Text("."), Body]));
    layouts.push(wrong("key_id_signed", &[KeyId, Text("."), Timestamp, Text("."), Body]));
    layouts
}

/// The layouts of Standard Webhooks.
pub fn standard_webhooks() -> Vec<Layout> {
    let right = Layout::new(&[Id, Text("."), Timestamp, Text("."), Body], None);
    let formula = right.formula();
    let wrong = |code, pieces: &[Piece]| Layout::wrong(code, &formula, pieces);
    // First of the mistakes: without a timestamp others give the same.
    let mut layouts = vec![right, Layout::new(&[Body], Some(body_alone(&formula)))];
    layouts.push(wrong("webhook_id_left_out", &[Timestamp, Text("."), Body]));
    layouts.push(wrong("webhook_timestamp_left_out", &[Id, Text("."), Body]));
    layouts.push(wrong("webhook_id_behind_timestamp", &[Timestamp, Text("."), Id, Text("."), Body]));
    layouts.extend(
        ["", ":", "\n", ",", "|", " ", ";"].map(|separator| {
            wrong("wrong_separator", &[Id, Text(separator), Timestamp, Text(separator), Body])
        }),
    );
    layouts
}

fn body_alone(right: &str) -> Finding {
    Finding::new(
        "body_alone",
        format!("Only the body was signed, as GitHub and Shopify do; it must be `{right}`."),
    )
}

/// Every message of these layouts with no more than so many mistakes.
pub fn messages<'x>(layouts: &'x [Layout], parts: &Parts<'x, '_>, mistakes_max: usize) -> Vec<Message<'x>> {
    let mut messages = Vec::new();
    for layout in layouts {
        let left = mistakes_max.saturating_sub(usize::from(layout.mistake.is_some()));
        for filling in fillings(&[parts.timestamps, parts.bodies], left) {
            let [timestamp, body] = filling.as_slice() else { continue };
            let piece = |piece: &Piece| -> Cow<'x, [u8]> {
                Cow::Borrowed(match piece {
                    Text(text) => text.as_bytes(),
                    Id => parts.id.as_bytes(),
                    Timestamp => &timestamp.value,
                    Body => &body.value,
                    KeyId => parts.key_id.as_bytes(),
                })
            };
            let pieces = layout.pieces.iter().map(piece).collect();
            let mistakes = layout.mistake.iter().chain(mistakes_of(&filling)).collect();
            messages.push(Message { parts: pieces, mistakes });
        }
    }
    messages
}
