//! A proxy before the service that misbehaves on command, as networks and gateways do.
//!
//! It passes requests on byte for byte, one upstream connection for each, and remembers what the
//! service answered, also where its answer is lost on the way.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use super::caller::Answer;
use super::cluster::free_port;
use super::raw::{Message, read_message};

/// A point on a request's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The request's head was passed on, nothing of its body.
    Head,
    /// So was half of its body.
    Body,
    /// So was all of it; the answer was not waited for.
    Request,
    /// The service has answered; nothing of it was passed back.
    Answer,
    /// Half of the answer's head was passed back.
    AnswerHead,
    /// So was all of its head and half of its body.
    AnswerBody,
}

/// What is done to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed as soon as it is taken.
    HangUp,
    /// It is reset once the request has come; nothing is passed on.
    Reset,
    /// Both connections are cut there.
    Cut(At),
    /// It waits there for the test's word.
    Stop(At),
    /// The client is hung up on once its request was passed on; the service is not.
    Leave,
    /// The request is passed on and the answer kept, until the client hangs up.
    Silent,
    /// The request is not passed on; the gateway answers.
    Gateway(u16),
    /// The request is passed on and answered; the gateway answers something else.
    GatewayInstead(u16),
}

pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    stops: mpsc::UnboundedReceiver<Stopped>,
    accepting: Option<JoinHandle<()>>,
}

/// A request that waits for the test's word.
pub struct Stopped(oneshot::Sender<Option<End>>);

/// How a request ends without its answer.
enum End {
    /// Both connections are cut.
    Cut,
    /// The service does not answer.
    Lost,
}

struct Shared {
    upstreams: Mutex<Vec<SocketAddr>>,
    next_upstream: AtomicUsize,
    /// Whether it answers 502 where no service answers; else it hangs up.
    gateway: bool,
    plan: Mutex<VecDeque<Fault>>,
    answers: Mutex<Vec<Answer>>,
    in_service: AtomicUsize,
    stops: mpsc::UnboundedSender<Stopped>,
}

impl Stopped {
    /// Lets it go on.
    pub fn go(self) {
        let _ = self.0.send(None);
    }

    /// Cuts it there.
    pub fn cut(self) {
        let _ = self.0.send(Some(End::Cut));
    }

    /// Whatever the service has said or will say: it did not come.
    pub fn lose(self) {
        let _ = self.0.send(Some(End::Lost));
    }
}

impl Proxy {
    /// One that hangs up where the service does.
    pub async fn start() -> Self {
        Self::start_as(false).await
    }

    /// One that says 502 where the service does not answer.
    pub async fn gateway() -> Self {
        Self::start_as(true).await
    }

    async fn start_as(gateway: bool) -> Self {
        let (sender, stops) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            upstreams: Mutex::default(),
            next_upstream: AtomicUsize::new(0),
            gateway,
            plan: Mutex::default(),
            answers: Mutex::default(),
            in_service: AtomicUsize::new(0),
            stops: sender,
        });
        let mut proxy = Self { port: free_port(), shared, stops, accepting: None };
        proxy.accept().await;
        proxy
    }

    /// Where it listens.
    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The services (`http://…`) behind it, which requests go to in turn.
    pub fn pass_on_to(&self, services: &[&str]) {
        let address = |base: &&str| base.trim_start_matches("http://").parse().unwrap();
        *self.shared.upstreams.lock().unwrap() = services.iter().map(address).collect();
    }

    /// What is done to the next requests, in this order.
    pub fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.plan.lock().unwrap().extend(faults);
    }

    /// How many of them are still to come.
    pub fn planned(&self) -> usize {
        self.shared.plan.lock().unwrap().len()
    }

    /// What services have answered, in order, also what was not passed back.
    pub fn answers(&self) -> Vec<Answer> {
        self.shared.answers.lock().unwrap().clone()
    }

    /// How many requests services have whole and have not answered.
    pub fn in_service(&self) -> usize {
        self.shared.in_service.load(Ordering::SeqCst)
    }

    /// The request that has come to its [`Fault::Stop`].
    pub async fn stopped(&mut self) -> Stopped {
        let stopped = tokio::time::timeout(Duration::from_secs(20), self.stops.recv()).await;
        stopped.expect("a request comes to its stop").unwrap()
    }

    /// Stops listening and closes what is open: connections are refused.
    pub async fn refuse(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            let _ = accepting.await;
        }
    }

    /// Listens again.
    pub async fn accept(&mut self) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await.unwrap();
        let shared = self.shared.clone();
        self.accepting = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(converse(client, shared.clone()));
                while connections.try_join_next().is_some() {}
            }
        }));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

impl Shared {
    fn next_fault(&self) -> Option<Fault> {
        self.plan.lock().unwrap().pop_front()
    }

    fn hangs_up(&self) -> bool {
        self.plan.lock().unwrap().pop_front_if(|fault| *fault == Fault::HangUp).is_some()
    }

    async fn connect(&self) -> Option<TcpStream> {
        let turn = self.next_upstream.fetch_add(1, Ordering::SeqCst);
        let address = {
            let upstreams = self.upstreams.lock().unwrap();
            *upstreams.get(turn % upstreams.len().max(1))?
        };
        TcpStream::connect(address).await.ok()
    }

    /// What happens at a point of the way.
    async fn pass(&self, fault: Option<Fault>, at: At) -> Result<(), End> {
        match fault {
            Some(Fault::Cut(there)) if there == at => Err(End::Cut),
            Some(Fault::Stop(there)) if there == at => {
                let (word, given) = oneshot::channel();
                self.stops.send(Stopped(word)).map_err(|_| End::Cut)?;
                given.await.unwrap_or(Some(End::Cut)).map_or(Ok(()), Err)
            }
            _ => Ok(()),
        }
    }
}

async fn converse(mut client: TcpStream, shared: Arc<Shared>) {
    if shared.hangs_up() {
        return;
    }
    let mut rest = Vec::new();
    while let Some(request) = read_message(&mut client, &mut rest).await {
        let fault = shared.next_fault();
        if exchange(&mut client, &request, &shared, fault).await.is_none() {
            return;
        }
    }
}

/// One request and its answer; `None` = the connection ends.
async fn exchange(
    client: &mut TcpStream,
    request: &Message,
    shared: &Shared,
    fault: Option<Fault>,
) -> Option<()> {
    match fault {
        Some(Fault::Gateway(status)) => return client.write_all(&page(status)).await.ok(),
        // Planned for a connection that was already there.
        Some(Fault::HangUp) => return None,
        Some(Fault::Reset) => {
            client.set_zero_linger().ok()?;
            return None;
        }
        _ => {}
    }
    let answer = match ask(request, shared, fault, client).await {
        Ok(answer) => answer,
        Err(End::Lost) if shared.gateway => return client.write_all(&page(502)).await.ok(),
        Err(End::Lost | End::Cut) => return None,
    };
    match fault {
        Some(Fault::GatewayInstead(status)) => return client.write_all(&page(status)).await.ok(),
        Some(Fault::Silent) => {
            // Whatever the client still says: it ends.
            while matches!(client.read(&mut [0u8; 64]).await, Ok(1..)) {}
            return None;
        }
        Some(Fault::Leave) => return None,
        _ => {}
    }
    let (head, body) = answer.parts();
    let (head_half, head_rest) = head.split_at(head.len() / 2);
    client.write_all(head_half).await.ok()?;
    shared.pass(fault, At::AnswerHead).await.ok()?;
    let (body_half, body_rest) = body.split_at(body.len() / 2);
    client.write_all(head_rest).await.ok()?;
    client.write_all(body_half).await.ok()?;
    shared.pass(fault, At::AnswerBody).await.ok()?;
    client.write_all(body_rest).await.ok()?;
    (!answer.closes()).then_some(())
}

/// Passes a request on and has it answered.
async fn ask(
    request: &Message,
    shared: &Shared,
    fault: Option<Fault>,
    client: &mut TcpStream,
) -> Result<Message, End> {
    let mut service = shared.connect().await.ok_or(End::Lost)?;
    let (head, body) = request.parts();
    let (half, rest) = body.split_at(body.len() / 2);
    for (part, at) in [(head, At::Head), (half, At::Body), (rest, At::Request)] {
        service.write_all(part).await.map_err(|_| End::Lost)?;
        shared.pass(fault, at).await?;
    }
    if fault == Some(Fault::Leave) {
        client.shutdown().await.map_err(|_| End::Cut)?;
    }
    shared.in_service.fetch_add(1, Ordering::SeqCst);
    let answer = read_message(&mut service, &mut Vec::new()).await;
    shared.in_service.fetch_sub(1, Ordering::SeqCst);
    let answer = answer.ok_or(End::Lost)?;
    shared.answers.lock().unwrap().push(answer.to_answer());
    shared.pass(fault, At::Answer).await?;
    Ok(answer)
}

/// What gateways say by themselves.
fn page(status: u16) -> Vec<u8> {
    let body = format!("<html><h1>{status}</h1></html>\n");
    let length = body.len();
    format!("HTTP/1.1 {status} Gateway\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}
