//! The table: keys × algorithms × messages, with no more than two mistakes at once.
//!
//! A MAC that fits is proof, not a guess. What is bounded is the work: pairs of mistakes are tried, so
//! some thousand MACs are computed, and never more than a few hundred over a body that is large.

use super::algorithms::Algorithm;
use super::axis::Message;
use super::bound::Lines;
use super::finding::Finding;
use super::keys::{Key, keys};
use super::layouts::{self, Parts};
use super::offered::{Offered, inner_timestamp};
use super::recorded::RecordedRequest;
use super::{Case, bodies, timestamps};
use crate::domain::signature::{Form, message};

/// Beyond this size only single mistakes are tried.
pub const PAIRED_BYTES_MAX: usize = 64 * 1024;

/// What explains a value.
#[derive(Debug)]
pub struct Match<'o> {
    /// The value.
    pub value: &'o Offered,
    /// The form that the MAC is of.
    pub form: Form,
    /// How place, label and writing are wrong.
    pub about_value: Vec<Finding>,
    /// How the MAC is wrong.
    pub about_mac: Vec<Finding>,
}

/// The candidates of one form.
struct Candidates<'x> {
    form: Form,
    keys: Vec<Key>,
    /// By the number of their mistakes.
    messages: Vec<Vec<Message<'x>>>,
}

/// The timestamps of a request, that of the form first.
pub fn sent_timestamps(request: &RecordedRequest, form: Form) -> Vec<&str> {
    let (ours, webhooks) = (["X-Timestamp", "X-Nim-Timestamp"], ["webhook-timestamp", "svix-timestamp"]);
    let names = if form == Form::StandardWebhooks { [webhooks, ours] } else { [ours, webhooks] };
    let slack = ["X-Slack-Request-Timestamp"];
    let named = names.as_flattened().iter().chain(&slack).flat_map(|name| request.lines(name));
    named.flatten().chain(inner_timestamp(request)).filter(|text| !text.is_empty()).collect()
}

/// The id that Standard Webhooks signs.
pub fn sent_id(request: &RecordedRequest) -> Option<&str> {
    request.first("webhook-id").or_else(|| request.first("svix-id"))
}

/// Looks for the fewest mistakes that explain one of the values. That a MAC is of another form than
/// the one `meant` counts as one.
pub fn search<'o>(case: &Case<'_>, offered: &'o [Offered], meant: Form) -> Option<Match<'o>> {
    let mistakes_max = if case.body.len() <= PAIRED_BYTES_MAX { 2 } else { 1 };
    let timestamps = |form| timestamps::axis(&sent_timestamps(case.request, form));
    let (own, webhooks) = (timestamps(Form::Plain), timestamps(Form::StandardWebhooks));
    let key_id = case.request.first("X-API-Key").unwrap_or_default();
    let id = sent_id(case.request).unwrap_or_default();
    let covered = case.request.covered(case.body);
    let mut bodies = bodies::axis(case.body);
    let lines = Lines::new(timestamps(Form::Bound), &covered, case.request.first("Host"), &bodies);
    bodies::add_hash(&mut bodies, case.body);
    let (plain, standard_webhooks) = (layouts::plain(), layouts::standard_webhooks());
    let parts = |timestamps| Parts { timestamps, bodies: &bodies, id, key_id };
    let mut candidates = [
        (Form::Plain, layouts::messages(&plain, &parts(&own), mistakes_max)),
        (Form::Bound, lines.messages(mistakes_max)),
        (Form::StandardWebhooks, layouts::messages(&standard_webhooks, &parts(&webhooks), mistakes_max)),
    ]
    .map(|(form, messages)| Candidates {
        form,
        keys: keys(form, case.secret, key_id),
        messages: by_mistakes(messages),
    });
    // Of equally many mistakes those within the form meant are the likelier story.
    candidates.sort_by_key(|candidates| candidates.form != meant);
    let algorithms = algorithms(offered);
    let table = (0..=mistakes_max + 1).find_map(|mistakes| {
        candidates.iter().find_map(|candidates| {
            let own = mistakes.checked_sub(usize::from(candidates.form != meant))?;
            if own <= mistakes_max { candidates.try_all(own, &algorithms, offered) } else { None }
        })
    });
    table.or_else(|| milliseconds(case, offered, meant))
}

impl Candidates<'_> {
    /// Tries everything with exactly so many mistakes of its own.
    fn try_all<'o>(
        &self,
        mistakes: usize,
        algorithms: &[(Algorithm, Option<Finding>)],
        offered: &'o [Offered],
    ) -> Option<Match<'o>> {
        for key in &self.keys {
            for (algorithm, slip) in algorithms {
                let spent = key.mistakes.len() + usize::from(slip.is_some());
                let left = mistakes.checked_sub(spent).and_then(|left| self.messages.get(left));
                for message in left.into_iter().flatten() {
                    let computed = algorithm.compute(&key.bytes, &message.parts);
                    if let Some(value) = find(offered, &computed) {
                        let about_message = message.mistakes.iter().copied();
                        return Some(Match {
                            value,
                            form: self.form,
                            about_value: value.mistakes(self.form),
                            about_mac: slip
                                .iter()
                                .chain(about_message)
                                .chain(&key.mistakes)
                                .cloned()
                                .collect(),
                        });
                    }
                }
            }
        }
        None
    }
}

/// The digits that a header's seconds do not have: each is tried, with all else right.
fn milliseconds<'o>(case: &Case<'_>, offered: &'o [Offered], meant: Form) -> Option<Match<'o>> {
    let sent = *sent_timestamps(case.request, meant).first()?;
    let (seconds, timestamps::Unit::Seconds) = timestamps::seconds_of(sent)? else { return None };
    if case.body.len() > PAIRED_BYTES_MAX {
        return None;
    }
    let covered = case.request.covered(case.body);
    let id = sent_id(case.request).unwrap_or_default();
    let keys = keys(meant, case.secret, "");
    let right = keys.first()?;
    timestamps::milliseconds_of(seconds).find_map(|signed| {
        let message = message(meant, &signed, id, &covered);
        let value = find(offered, &Algorithm::HmacSha256.compute(&right.bytes, &[message.into()]))?;
        Some(Match {
            value,
            form: meant,
            about_value: value.mistakes(meant),
            about_mac: vec![timestamps::milliseconds_signed(&signed, sent)],
        })
    })
}

/// Not in constant time: whoever runs this holds the secret.
fn find<'o>(offered: &'o [Offered], computed: &[u8]) -> Option<&'o Offered> {
    offered.iter().find(|value| value.digest == computed)
}

fn algorithms(offered: &[Offered]) -> Vec<(Algorithm, Option<Finding>)> {
    let lengths = [32, 64].into_iter().filter(|length| offered.iter().any(|v| v.digest.len() == *length));
    let each = lengths.flat_map(|length| Algorithm::giving(length).iter().copied());
    each.map(|algorithm| (algorithm, algorithm.mistake())).collect()
}

fn by_mistakes(messages: Vec<Message<'_>>) -> Vec<Vec<Message<'_>>> {
    let most = messages.iter().map(|message| message.mistakes.len()).max().unwrap_or(0);
    let mut sorted: Vec<Vec<Message<'_>>> = (0..=most).map(|_| Vec::new()).collect();
    for message in messages {
        if let Some(same) = sorted.get_mut(message.mistakes.len()) {
            same.push(message);
        }
    }
    sorted
}
