//! PostgreSQL's messages, as far as a proxy has to know them.

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Asks whether the server speaks TLS; it is answered with one byte.
const SSL_REQUEST: u32 = 80_877_103;
/// The same of GSSAPI.
const GSS_REQUEST: u32 = 80_877_104;

/// One message, byte for byte.
pub struct Message {
    pub bytes: Vec<u8>,
    /// Its first letter; 0 before the connection is started.
    pub kind: u8,
}

impl Message {
    /// The next message; `None` where the connection ends.
    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> Option<Self> {
        let kind = from.read_u8().await.ok()?;
        let mut message = Self { bytes: vec![kind], kind };
        message.read_rest(from).await
    }

    /// A message that begins a connection: it has no letter.
    pub async fn read_first(from: &mut (impl AsyncRead + Unpin)) -> Option<Self> {
        Self { bytes: Vec::new(), kind: 0 }.read_rest(from).await
    }

    async fn read_rest(&mut self, from: &mut (impl AsyncRead + Unpin)) -> Option<Self> {
        let length = from.read_u32().await.ok()?;
        let start = self.bytes.len() + 4;
        self.bytes.extend(length.to_be_bytes());
        self.bytes.resize(start - 4 + usize::try_from(length).ok()?, 0);
        from.read_exact(self.bytes.get_mut(start..)?).await.ok()?;
        Some(Self { bytes: std::mem::take(&mut self.bytes), kind: self.kind })
    }

    /// Whether it asks for an encrypted connection.
    pub fn asks_for_encryption(&self) -> bool {
        let code = self.bytes.get(4..8).map(|code| u32::from_be_bytes(code.try_into().unwrap()));
        self.kind == 0 && matches!(code, Some(SSL_REQUEST | GSS_REQUEST))
    }

    /// What follows letter and length.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[5..]
    }

    /// The process behind the connection, where the server tells it.
    pub fn process(&self) -> Option<i32> {
        let id = self.payload().get(..4)?;
        (self.kind == b'K').then(|| i32::from_be_bytes(id.try_into().unwrap()))
    }

    /// Whether the server is ready, and in no transaction.
    pub fn is_ready_and_idle(&self) -> bool {
        self.kind == b'Z' && self.payload() == b"I"
    }

    /// The SQL that it brings.
    pub fn sql(&self) -> Option<String> {
        let mut texts = self.payload().split(|byte| *byte == 0);
        let text = match self.kind {
            b'Q' => texts.next(),
            b'P' => texts.nth(1),
            _ => None,
        };
        text.map(|text| String::from_utf8_lossy(text).into_owned())
    }

    /// A word for it, and of its content what tells it from others of its kind.
    pub fn name(&self, sent: bool) -> String {
        let word = match (sent, self.kind) {
            (true, b'Q') => "Query",
            (true, b'P') => "Parse",
            (true, b'B') => "Bind",
            (true, b'D') => "Describe",
            (true, b'E') => "Execute",
            (true, b'S') => "Sync",
            (true, b'X') => "Terminate",
            (false, b'1') => "ParseComplete",
            (false, b'2') => "BindComplete",
            (false, b't') => "ParameterDescription",
            (false, b'T') => "RowDescription",
            (false, b'D') => "DataRow",
            (false, b'n') => "NoData",
            (false, b'C') => "CommandComplete",
            (false, b'Z') => "ReadyForQuery",
            (false, b'E') => "ErrorResponse",
            (false, b'N') => "NoticeResponse",
            _ => return char::from(self.kind).to_string(),
        };
        let content = match (sent, self.kind) {
            (true, _) => self.sql().unwrap_or_default(),
            (false, b'C' | b'Z') => String::from_utf8_lossy(self.payload()).trim_end_matches('\0').to_owned(),
            _ => String::new(),
        };
        let content: String = content.chars().take(60).collect();
        if content.is_empty() { word.to_owned() } else { format!("{word} {content}") }
    }
}
