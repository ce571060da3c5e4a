//! The body of an export: a task reads ahead by one page, and waits while the caller takes none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::rt;
use actix_web::web::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use super::export::Reading;
use super::places::Place;
use crate::http::state::AppState;
use crate::storage::{Reader, StoreError};

/// How often a page is tried again while every connection is in use: the caller has waited for much
/// longer by then, and would begin anew.
const TRIES_MAX: u32 = 10;

/// How much is given to the connection at once: it copies what it is given.
const PIECE_BYTES: usize = 64 * 1024;

/// The body broke off: without a cursor line, nobody takes it for complete.
#[derive(Debug, thiserror::Error)]
#[error("the export was cut")]
pub struct Cut;

/// What goes from the task to the body. A channel that closes without an end was cut.
enum Part {
    Page(Bytes),
    End,
}

/// The rest of an export whose first page has been read. Its place is held until the last page has
/// been taken, or the caller has gone.
pub fn stream(
    state: &AppState,
    place: Place,
    reading: Reading,
    first: Option<Vec<u8>>,
) -> impl Stream<Item = Result<Bytes, Cut>> + use<> {
    let (sender, parts) = mpsc::channel(1);
    let producer = Producer {
        reader: state.ingest.reader.clone(),
        draining: state.draining.clone(),
        stall: state.limits.export_stall,
        sender,
        place,
    };
    let log = |end: Result<(), &'static str>| match end {
        Ok(()) => tracing::debug!("an export is complete"),
        Err(why) => tracing::warn!(why, "an export was cut"),
    };
    rt::spawn(async move { log(producer.run(reading, first).await) }.in_current_span());
    stream::unfold(Some((parts, Bytes::new())), |state| async {
        let (mut parts, mut rest) = state?;
        while rest.is_empty() {
            match parts.recv().await {
                Some(Part::Page(page)) => rest = page,
                Some(Part::End) => return None,
                None => return Some((Err(Cut), None)),
            }
        }
        let piece = rest.split_to(PIECE_BYTES.min(rest.len()));
        Some((Ok(piece), Some((parts, rest))))
    })
}

struct Producer {
    // Goes before the sender: whoever has seen the body break off may begin again.
    place: Place,
    reader: Reader,
    draining: Arc<AtomicBool>,
    stall: Duration,
    sender: mpsc::Sender<Part>,
}

impl Producer {
    async fn run(self, mut reading: Reading, first: Option<Vec<u8>>) -> Result<(), &'static str> {
        let mut next = first;
        while let Some(page) = next {
            self.send(Part::Page(page.into())).await?;
            if reading.has_ended() {
                break;
            }
            if self.draining.load(Ordering::Relaxed) {
                return Err("the service is shutting down");
            }
            (reading, next) = self.read(reading).await?;
        }
        let room = room(&self.sender, self.stall).await?;
        // Whoever has read the end may begin the next one.
        drop(self.place);
        room.send(Part::End);
        Ok(())
    }

    async fn send(&self, part: Part) -> Result<(), &'static str> {
        room(&self.sender, self.stall).await?.send(part);
        Ok(())
    }

    async fn read(&self, reading: Reading) -> Result<(Reading, Option<Vec<u8>>), &'static str> {
        for _ in 0..TRIES_MAX {
            let mut again = reading.clone();
            let read = self.reader.run_for(self.place.merchant(), move |connection| {
                let page = again.next(connection)?;
                Ok((again, page))
            });
            match read.await {
                Err(StoreError::Overloaded(_)) => {}
                Err(error) => {
                    tracing::error!(%error, "a page of an export could not be read");
                    return Err("the store gave no answer");
                }
                Ok(read) => return Ok(read),
            }
        }
        Err("every reading connection is in use")
    }
}

/// Waits until the caller has taken the part before.
async fn room(sender: &mpsc::Sender<Part>, stall: Duration) -> Result<mpsc::Permit<'_, Part>, &'static str> {
    match tokio::time::timeout(stall, sender.reserve()).await {
        Ok(Ok(room)) => Ok(room),
        Ok(Err(_)) => Err("the caller has gone"),
        Err(_) => Err("the caller took nothing for export.stall_s"),
    }
}
