//! Finding out all that is known of an id.

use std::collections::BTreeSet;

use super::story::{EventStory, Story, Subject};
use crate::cli::Failure;
use crate::domain::attempt::{AttemptOutcome, Journaled};
use crate::domain::click_token::TokenRing;
use crate::domain::event::token_hint;
use crate::domain::ids::{AttemptId, EventId, MerchantId};
use crate::domain::merchant::Mode;
use crate::storage::attempts::{self, Filter, Owner};
use crate::storage::idempotency::KeyScope;
use crate::storage::trail::{self, EventTrail, Scope};
use crate::storage::{AnyConnection, StoreError, merchants};

/// The most events, statuses or refusals that are shown.
pub const SHOWN_MAX: u16 = 200;

/// Looks for an id among merchants and modes.
pub struct Finder<'c> {
    connection: &'c mut AnyConnection,
    scope: Scope,
    tokens: Option<TokenRing>,
}

impl<'c> Finder<'c> {
    /// One that looks where it is told to, else everywhere.
    pub fn new(
        connection: &'c mut AnyConnection,
        merchant: Option<MerchantId>,
        mode: Option<Mode>,
        tokens: Option<TokenRing>,
    ) -> Result<Self, StoreError> {
        let merchants = match merchant {
            Some(merchant) => vec![merchant],
            None => attempts::owners(connection)?.into_iter().flatten().collect(),
        };
        let modes = mode.map_or_else(|| vec![Mode::Live, Mode::Test], |mode| vec![mode]);
        Ok(Self { connection, scope: Scope { merchants, modes }, tokens })
    }

    /// Where it looks, in words.
    pub fn whereabouts(&self) -> String {
        let merchants = match self.scope.merchants.as_slice() {
            [one] => format!("merchant {one}"),
            all => format!("{} merchants", all.len()),
        };
        let modes: Vec<&str> = self.scope.modes.iter().map(|mode| mode.as_str()).collect();
        format!("{merchants}, {}", modes.join(" and "))
    }

    /// The story of an event, an attempt or an order.
    pub fn find(&mut self, id: &str) -> Result<Option<Story>, Failure> {
        if let Ok(event) = id.parse()
            && let Some(story) = self.event(event)?
        {
            return Ok(Some(story));
        }
        if let Ok(attempt) = id.parse()
            && let Some(story) = self.attempt(attempt)?
        {
            return Ok(Some(story));
        }
        self.order(id)
    }

    fn event(&mut self, id: EventId) -> Result<Option<Story>, Failure> {
        let Some(trail) = trail::event(self.connection, &self.scope, id)? else { return Ok(None) };
        let (owner, order) = ((trail.merchant, trail.recorded.mode), trail.recorded.order_id.clone());
        let mut story = self.story(Subject::Event(id), Some(owner), Some(order.as_str().to_owned()))?;
        story.events.push(self.event_story(trail)?);
        Ok(Some(story))
    }

    fn attempt(&mut self, id: AttemptId) -> Result<Option<Story>, Failure> {
        let lines = self.lines_of(id)?;
        let Some(first) = lines.first() else { return Ok(None) };
        let owner = first.merchant.zip(first.mode);
        let mut trails = Vec::new();
        if let Some(owner) = owner {
            let request = (id, first.started_at);
            trails = trail::events_of_attempt(self.connection, owner, request, SHOWN_MAX.into())?;
            // A repeat met an event that another request had brought.
            if let Some(met) = first.event.filter(|met| trails.iter().all(|t| t.recorded.event_id != *met)) {
                trails.extend(trail::event(self.connection, &self.scope, met)?);
            }
        }
        let mut story = self.story(Subject::Attempt(id), owner, first.order.clone())?;
        story.refused.retain(|line| line.place.attempt != id);
        story.attempt = lines;
        story.events = self.event_stories(trails)?;
        Ok(Some(story))
    }

    fn order(&mut self, order: &str) -> Result<Option<Story>, Failure> {
        let trails = trail::events_of_order(self.connection, &self.scope, order, SHOWN_MAX.into())?;
        let statuses = trail::statuses_of_order(self.connection, &self.scope, order, SHOWN_MAX.into())?;
        let refused = self.refused(order)?;
        let of_events = trails.iter().map(|trail| (trail.merchant, trail.recorded.mode));
        let of_statuses = statuses.iter().map(|status| (status.merchant, status.mode));
        let of_refused = refused.iter().filter_map(|line| line.merchant.zip(line.mode));
        let owners: BTreeSet<_> = of_events.chain(of_statuses).chain(of_refused).collect();
        if owners.len() > 1 {
            return Err(ambiguous(order, &owners).into());
        }
        if owners.is_empty() && refused.is_empty() {
            return Ok(None);
        }
        let subject = Subject::Order(order.to_owned());
        let mut story = self.story(subject, owners.first().copied(), Some(order.to_owned()))?;
        story.events = self.event_stories(trails)?;
        Ok(Some(story))
    }

    /// What is known of the order, whatever was asked about.
    fn story(
        &mut self,
        subject: Subject,
        owner: Option<(MerchantId, Mode)>,
        order: Option<String>,
    ) -> Result<Story, StoreError> {
        let merchant = owner.map(|(id, _)| merchants::find(self.connection, id)).transpose()?.flatten();
        // From here on only its owner's; a key that nobody has says nothing about anybody's orders.
        self.scope.merchants = owner.iter().map(|(merchant, _)| *merchant).collect();
        if let Some((_, mode)) = owner {
            self.scope.modes = vec![mode];
        }
        let (mut statuses, mut refused) = (Vec::new(), Vec::new());
        if let Some(order) = &order {
            refused = self.refused(order)?;
            if owner.is_some() {
                statuses = trail::statuses_of_order(self.connection, &self.scope, order, SHOWN_MAX.into())?;
            }
        }
        let mode = owner.map(|(_, mode)| mode);
        Ok(Story {
            subject,
            merchant,
            mode,
            order,
            attempt: Vec::new(),
            events: Vec::new(),
            statuses,
            refused,
        })
    }

    /// Refused attempts that name an order: of the merchants looked among, and of keys that nobody has.
    fn refused(&mut self, order: &str) -> Result<Vec<Journaled>, StoreError> {
        let filter = Filter {
            order_id: Some(order.to_owned()),
            outcome: Some(AttemptOutcome::Refused),
            ..Filter::default()
        };
        let mut lines = attempts::among(self.connection, &self.owners(), &filter, SHOWN_MAX.into())?;
        lines.retain(|line| self.in_scope(line));
        Ok(lines)
    }

    fn lines_of(&mut self, attempt: AttemptId) -> Result<Vec<Journaled>, StoreError> {
        let mut lines = attempts::find(self.connection, &self.owners(), attempt)?;
        lines.retain(|line| self.in_scope(line));
        Ok(lines)
    }

    fn owners(&self) -> Vec<Owner> {
        self.scope.merchants.iter().copied().map(Some).chain([None]).collect()
    }

    fn in_scope(&self, line: &Journaled) -> bool {
        line.mode.is_none_or(|mode| self.scope.modes.contains(&mode))
    }

    fn event_stories(&mut self, trails: Vec<EventTrail>) -> Result<Vec<EventStory>, StoreError> {
        trails.into_iter().map(|trail| self.event_story(trail)).collect()
    }

    fn event_story(&mut self, trail: EventTrail) -> Result<EventStory, StoreError> {
        let lines = match trail.attempt {
            Some(attempt) => attempts::find(self.connection, &[Some(trail.merchant)], attempt)?,
            None => Vec::new(),
        };
        let key = match &trail.recorded.idempotency_key {
            Some(key) => {
                let scope = KeyScope { merchant_id: trail.merchant, mode: trail.recorded.mode, key };
                trail::key(self.connection, &scope)?
            }
            None => None,
        };
        let sent = trail.body.as_deref().and_then(token_hint);
        let token = sent.zip(self.tokens.as_ref()).and_then(|(sent, ring)| ring.verify(&sent).ok());
        let brought_by = lines.into_iter().find(|line| line.place.row.is_none());
        Ok(EventStory { trail, brought_by, key, token })
    }
}

fn ambiguous(order: &str, owners: &BTreeSet<(MerchantId, Mode)>) -> String {
    let named: Vec<String> =
        owners.iter().map(|(merchant, mode)| format!("{merchant} {}", mode.as_str())).collect();
    format!(
        "there are several orders {order}: of {}; say which with --merchant and --mode",
        named.join(", of ")
    )
}
