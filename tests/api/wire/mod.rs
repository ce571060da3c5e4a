//! HTTP as no library sends it, byte for byte: what is answered, whether the connection goes on, and
//! that nothing comes of it.

mod framing;
mod heads;
mod pipelines;
mod protocols;
mod slow;

use conversiond::domain::signature::Form;

use crate::support::raw::RawConnection;
use crate::support::{Backend, Service};

const PATH: &str = "/api/v1/conversions";
const BODY: &[u8] = br#"{"event_name":"lead","external_id":"L-1"}"#;

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is answered with this status and closed.
    Closed(u16),
    /// It is answered with this status, and takes the next request.
    Open(u16),
}
use Fate::{Closed, Open};

/// A name, the bytes sent, and what is to become of their connection.
type Row<'a> = (&'a str, Vec<u8>, Fate);

/// The lines of a head that sign this body, with its media type but no length.
fn signed(service: &Service, body: &[u8]) -> String {
    let headers = service.caller.headers(Form::Plain, "POST", PATH, body);
    let lines = headers.into_iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    lines.collect::<String>() + "Content-Type: application/json\r\n"
}

/// A request that is accepted, were it read as one.
fn accepted(service: &Service) -> Vec<u8> {
    let length = BODY.len();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: test\r\n{}Content-Length: {length}\r\n\r\n",
        signed(service, BODY)
    );
    [head.as_bytes(), BODY].concat()
}

/// Sends each row on a connection of its own: it comes to what it must, nothing is stored, and the
/// service answers others. Behind what closes its connection stands a request that nobody may read.
async fn try_all(rows: impl AsyncFnOnce(&Service) -> Vec<Row<'static>>) {
    let service = Service::start(Backend::Sqlite).await;
    let mut wrong = Vec::new();
    for (name, mut bytes, expected) in rows(&service).await {
        if matches!(expected, Closed(_)) {
            bytes.extend(accepted(&service));
        }
        let found = fate_of(&service, &bytes, expected).await;
        let stored = service.count_events();
        if found != expected || stored != 0 {
            wrong.push(format!("{name}: {found:?} where {expected:?} is right, {stored} stored"));
        }
        assert_eq!(service.caller.get(PATH).await.status, 200, "after {name}");
    }
    assert_eq!(wrong, [""; 0], "{}", wrong.join("\n"));
}

async fn fate_of(service: &Service, bytes: &[u8], expected: Fate) -> Fate {
    let mut connection = RawConnection::open(service.api).await;
    // It may hang up while much is still being sent.
    connection.try_send(bytes).await;
    let status = connection.answer().await.status;
    let goes_on = match expected {
        Open(_) => {
            connection.try_send(b"GET /nowhere HTTP/1.1\r\nHost: test\r\n\r\n").await;
            connection.try_answer().await.is_some_and(|answer| answer.status == 404)
        }
        Closed(_) => !hangs_up(&mut connection).await,
    };
    if goes_on { Open(status) } else { Closed(status) }
}

/// Whether nothing more is taken from a connection: it is closed, and what was sent behind the request
/// that closed it is at most told so.
async fn hangs_up(connection: &mut RawConnection) -> bool {
    while let Some(answer) = connection.try_answer().await {
        if answer.status != 400 {
            return false;
        }
    }
    true
}
