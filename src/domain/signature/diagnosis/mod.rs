//! The signature doctor: which mistake a refused signature is.
//!
//! Each known mistake is made, the MAC that it gives is computed and compared with the values sent: a
//! diagnosis is a proof. It needs the secret, so it is for operators; callers are told one 401.

mod algorithms;
mod axis;
mod bodies;
mod bound;
mod expected;
mod finding;
mod head_findings;
mod json_styles;
mod judgement;
mod keys;
mod layouts;
mod lenient_base64;
mod offered;
mod recorded;
mod redaction;
mod search;
#[cfg(test)]
mod tests;
mod timestamps;

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Form, Forms};
use crate::domain::secret::SigningSecret;
use judgement::Judgement;
use offered::{Offered, Place};
use search::Match;

pub use expected::Expected;
pub use finding::Finding;
pub use recorded::{RecordedRequest, UnreadableRequest};

/// A request and the secret that it should have been signed with.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The head as copied.
    pub request: &'a RecordedRequest,
    /// The body as received.
    pub body: &'a [u8],
    /// The key's secret.
    pub secret: &'a SigningSecret,
    /// When it was judged.
    pub now: DateTime<Utc>,
    /// How far its timestamp may lie from then, either way.
    pub tolerance: TimeDelta,
    /// The forms that the request's endpoint takes.
    pub forms: Forms,
}

/// What is to be said about a signature as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is right, and the service would take it.
    Right,
    /// It is right, and the request is refused for what the findings say.
    RightButRefused,
    /// It is wrong, and the findings say how.
    MistakeFound,
    /// It is wrong, and no known mistake explains it.
    Unexplained,
}

impl Verdict {
    /// Its name, for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::RightButRefused => "right_but_refused",
            Self::MistakeFound => "mistake_found",
            Self::Unexplained => "unexplained",
        }
    }
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// In one word.
    pub verdict: Verdict,
    /// The mistakes, the one to mend first first.
    pub findings: Vec<Finding>,
    /// What would have been right.
    pub expected: Expected,
}

/// Finds the mistake.
pub fn diagnose(case: &Case<'_>) -> Diagnosis {
    let headers = case.request.signature_headers();
    let redaction = redaction::Redaction::new(case.secret);
    let meant = meant(case.request);
    let (verdict, mut findings) = match judgement::judge(case, &headers) {
        Judgement::Accepted => right(case, None),
        Judgement::Refused(refusal) => right(case, Some(judgement::explain(refusal, case))),
        Judgement::Wrong | Judgement::Unreadable => wrong(case, meant),
    };
    findings.splice(0..0, redaction.leak(case.request, case.body));
    let mut expected = expected::expected(case, meant, verdict == Verdict::RightButRefused);
    redaction.clean(&mut findings, &mut expected);
    Diagnosis { verdict, findings, expected }
}

/// The form that the sender meant, by the headers that it sent.
fn meant(request: &RecordedRequest) -> Form {
    let there = |name: &str| !request.lines(name).is_empty();
    let webhooks = ["webhook-id", "webhook-timestamp", "webhook-signature", "svix-signature"];
    let bound = |name: &str| request.lines(name).into_iter().flatten().any(|line| line.contains("v2="));
    let hex = ["X-Signature", "X-Nim-Signature"];
    if webhooks.into_iter().any(there) && !hex.into_iter().any(there) {
        Form::StandardWebhooks
    } else if hex.into_iter().any(bound) {
        Form::Bound
    } else {
        Form::Plain
    }
}

fn right(case: &Case<'_>, refusal: Option<Finding>) -> (Verdict, Vec<Finding>) {
    let mut findings: Vec<Finding> = refusal.into_iter().collect();
    findings.extend(head_findings::faults(case.request, None));
    let verdict = if findings.is_empty() { Verdict::Right } else { Verdict::RightButRefused };
    (verdict, findings)
}

fn wrong(case: &Case<'_>, meant: Form) -> (Verdict, Vec<Finding>) {
    let offered = offered::offered(case.request);
    let found = search::search(case, &offered, meant);
    let faults = head_findings::faults(case.request, found.as_ref().and_then(explained_header));
    let mut findings = match &found {
        Some(found) => found.about_value.clone(),
        None => foreign(case.request, &offered),
    };
    findings.extend(faults);
    match &found {
        Some(found) if found.about_value.is_empty() && found.about_mac.is_empty() => {
            findings.push(otherwise_right(found));
        }
        Some(found) => findings.extend(found.about_mac.iter().cloned()),
        None => {}
    }
    if !case.forms.contains(meant) {
        findings.push(judgement::form_not_allowed());
    }
    let verdict = if findings.is_empty() { Verdict::Unexplained } else { Verdict::MistakeFound };
    if found.is_none() && !offered.is_empty() {
        findings.push(unexplained(case, meant));
    }
    findings.splice(0..0, body_file(case));
    findings.extend(clock(case, meant));
    let mut seen = HashSet::new();
    // A foreign way may show both in the header and in the MAC.
    findings.retain(|finding| seen.insert(finding.clone()));
    (verdict, findings)
}

/// The header whose writing needs no other explanation than the value's.
fn explained_header(found: &Match<'_>) -> Option<&'static str> {
    let foreign_length = found.value.digest.len() != 32;
    (foreign_length || !found.about_value.is_empty()).then(|| found.value.place.header())
}

/// What a request says about itself that carries none of our headers.
fn foreign(request: &RecordedRequest, offered: &[Offered]) -> Vec<Finding> {
    let place = match offered.first() {
        Some(value) => Some(value.place),
        None => offered::foreign_places(request).into_iter().next(),
    };
    place.and_then(Place::foreign).into_iter().collect()
}

fn otherwise_right(found: &Match<'_>) -> Finding {
    Finding::new(
        "otherwise_right",
        format!(
            "Apart from this the signature fits: the value in {} is the {} of the request as it was sent.",
            found.value.place.header(),
            found.form.as_str()
        ),
    )
}

/// Whether the file is the body that was sent.
fn body_file(case: &Case<'_>) -> Option<Finding> {
    let announced: usize = case.request.first("Content-Length")?.parse().ok()?;
    let here = case.body.len();
    (announced != here).then(|| {
        Finding::new(
            "body_file_differs",
            format!(
                "The body file is not the body that was sent: it has {here} bytes, and the request's \
                 Content-Length is {announced}. (Editors and echo add a line break.) Save the exact bytes and \
                 run this again before you believe what is said about the body."
            ),
        )
    })
}

fn clock(case: &Case<'_>, meant: Form) -> Option<Finding> {
    let sent = *search::sent_timestamps(case.request, meant).first()?;
    let (seconds, timestamps::Unit::Seconds) = timestamps::seconds_of(sent)? else { return None };
    judgement::outside_tolerance(seconds, case)
}

fn unexplained(case: &Case<'_>, meant: Form) -> Finding {
    let mut says = "No known mistake explains the signature. Probably it was made with another secret, or over \
        another body. To find out which: (1) Is this the secret of the key in X-API-Key, and the sender's newest \
        one? After a rotation the older secret fails when its overlap ends: run this with that one, too. (2) Let \
        the sender log length and SHA-256 of the bytes that it signs, and compare them with the string below. \
        (3) Let it sign the string below: if that gives the value below, its secret is right and its body or \
        headers are changed, before or after signing: look at proxies, compression and JSON libraries."
        .to_owned();
    if case.request.is_assumed() && meant == Form::Bound {
        says.push_str(&format!(
            " (4) The file of headers has no request line, so {} {} was assumed, and v2 binds both: give \
             --method and --target.",
            case.request.method(),
            case.request.target()
        ));
    }
    if case.body.len() > search::PAIRED_BYTES_MAX {
        says.push_str(" Because of the body's size only single mistakes were tried, not pairs.");
    }
    Finding::new("unexplained", says)
}
