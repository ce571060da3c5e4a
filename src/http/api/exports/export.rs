//! One export: what is asked for, and how far it has come.

use crate::domain::ids::EventId;
use crate::domain::instant;
use crate::domain::spreadsheet::Cells;
use crate::http::api::cursor::QueryTag;
use crate::storage::exports::{self, Horizon, Scope};
use crate::storage::{AnyConnection, StoreError};

use super::lines::{Format, Lines};

/// How many bytes a page should have.
const PAGE_BYTES: usize = 512 * 1024;

/// How many events it may have, the first one and the others.
const FIRST_EVENTS: u32 = 256;
const PAGE_EVENTS_MAX: u32 = 2_048;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Export {
    scope: Scope,
    format: Format,
    cells: Cells,
    tag: QueryTag,
    after: EventId,
}

/// An export that has begun.
#[derive(Debug, Clone)]
pub struct Reading {
    export: Export,
    horizon: Horizon,
    /// How many events the next page may have.
    limit: u32,
    state: State,
    /// How many events have been read.
    events: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Begun,
    Going,
    Ended,
}

impl Export {
    /// An export from the beginning.
    pub fn new(scope: Scope, format: Format) -> Self {
        let Scope { merchant, mode, from, to } = &scope;
        let end = |at: &Option<_>| at.map(instant::format).unwrap_or_default();
        // A cursor of either format goes on in either.
        let tag = QueryTag::of(&["export", &merchant.to_string(), mode.as_str(), &end(from), &end(to)]);
        Self { scope, format, cells: Cells::Exact, tag, after: EventId::from_uuid(uuid::Uuid::nil()) }
    }

    /// The same with such cells, where it is written as CSV.
    #[must_use]
    pub const fn with_cells(self, cells: Cells) -> Self {
        Self { cells, ..self }
    }

    /// The same from where this cursor stands.
    ///
    /// # Errors
    /// When it is none, or of another export.
    pub fn after(self, cursor: &str) -> Result<Self, String> {
        Ok(Self { after: self.tag.read(cursor)?, ..self })
    }

    /// Begins to read up to this horizon.
    pub const fn begin(self, horizon: Horizon) -> Reading {
        Reading { export: self, horizon, limit: FIRST_EVENTS, state: State::Begun, events: 0 }
    }
}

impl Reading {
    /// The next page, at least a line; `None` after the last, which ends with the cursor.
    ///
    /// # Errors
    /// The database's. The export has not moved: the page may be asked for again.
    pub fn next(&mut self, connection: &mut AnyConnection) -> Result<Option<Vec<u8>>, StoreError> {
        if self.has_ended() {
            return Ok(None);
        }
        let Export { scope, format, cells, tag, after } = &self.export;
        let mut lines = Lines::new(*format, *cells, scope.mode);
        if self.state == State::Begun {
            lines.begin();
        }
        let mut last = None;
        let count = exports::page(connection, scope, *after, self.horizon, self.limit, &mut |event| {
            lines.event(event)?;
            last = Some(event.event_id.clone());
            Ok(())
        })?;
        let after = match last {
            Some(last) => last.parse().map_err(|_| unreadable(&last))?,
            None => *after,
        };
        let is_last = count < self.limit;
        if is_last {
            lines.end(&tag.cursor(after), self.is_complete());
        }
        let page = lines.into_bytes();
        self.export.after = after;
        self.events += u64::from(count);
        self.state = if is_last { State::Ended } else { State::Going };
        self.limit = events_of(page.len() / usize::try_from(count.max(1)).unwrap_or(1));
        Ok(Some(page))
    }

    /// How many events have been read so far.
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// Whether there is nothing more to read.
    pub fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether nothing can come any more of what was asked for, once this one has ended: it has an end,
    /// and the horizon lies behind it.
    pub fn is_complete(&self) -> bool {
        self.export.scope.is_complete_at(self.horizon)
    }

    /// The cursor at which the next export goes on, once this one has ended.
    pub fn next_cursor(&self) -> Option<String> {
        self.has_ended().then(|| self.export.tag.cursor(self.export.after))
    }
}

/// How many events of this size a page may have.
fn events_of(bytes: usize) -> u32 {
    u32::try_from(PAGE_BYTES / bytes.max(1)).unwrap_or(u32::MAX).clamp(FIRST_EVENTS / 4, PAGE_EVENTS_MAX)
}

/// What somebody changed by hand into what no event is.
pub fn unreadable(event: &str) -> StoreError {
    StoreError::Unusable(format!("event {event} in the database is not readable"))
}
