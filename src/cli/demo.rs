//! `conversiond serve --demo`: everything a first callback needs, made on the spot.

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use serde_json::json;
use uuid::Uuid;

use super::{Context, Failure};
use crate::config::{DatabaseUrl, LogFormat};
use crate::domain::ids::{ClickId, KeyKind, MerchantId};
use crate::domain::merchant::Merchant;
use crate::domain::time::Entropy as _;
use crate::keyring::{IssuedKey, KeyRequest, Loader, ensure_token_key, issue_key};
use crate::storage::merchants::{self, Account};
use crate::system::SystemEntropy;

/// What the demo made.
pub struct Demo {
    folder: PathBuf,
    key: IssuedKey,
    token: String,
}

impl Demo {
    /// Points the configuration at a fresh database and fills it.
    pub fn prepare(context: &mut Context) -> Result<Self, Failure> {
        let mut random = [0u8; 8];
        SystemEntropy.fill(&mut random);
        let folder = std::env::temp_dir().join(format!("conversiond-demo-{}", hex::encode(random)));
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|error| format!("{}: {error}", folder.display()))?;
        context.config.database.url = DatabaseUrl::Sqlite(folder.join("conversiond.db"));
        context.config.database.migrate = true;
        context.config.telemetry.log_format = LogFormat::Human;
        let mut connection = context.database()?;
        let ring = context.master_key(&mut connection)?;
        let now = context.now();
        let merchant = MerchantId::generate(now, &SystemEntropy);
        let account =
            Account { merchant: Merchant::new(merchant), name: "Demo shop".to_owned(), created_at: now };
        merchants::create(&mut connection, &account)?;
        let request = KeyRequest {
            kind: KeyKind::Live,
            merchant_id: Some(merchant),
            ip_allow: Vec::new(),
            require_v2: false,
        };
        let key = issue_key(&mut connection, &ring, request, now, &SystemEntropy)?;
        ensure_token_key(&mut connection, &ring, now, &SystemEntropy)?;
        let tokens = connection.read(|c| Loader::new(ring, &SystemEntropy).load(c, now))?.token_ring;
        let random_id = || {
            let mut bytes = [0u8; 16];
            SystemEntropy.fill(&mut bytes);
            uuid::Builder::from_random_bytes(bytes).into_uuid()
        };
        let (domain, url): (Uuid, Uuid) = (random_id(), random_id());
        let click = ClickId::generate(now, &SystemEntropy);
        let token = tokens.mint(merchant, domain, url, click).ok_or("no token key")?;
        Ok(Self { folder, key, token })
    }

    /// Prints the line to paste.
    pub fn show(&self, context: &Context, address: SocketAddr) -> Result<(), Failure> {
        let line = self.line(address);
        context.output.show(&json!({ "curl": line, "folder": self.folder }), || {
            format!(
                "\nPaste this line into another terminal, twice. The first answer is ACCEPTED and attributed to a\n\
                 click, the second DUPLICATE with the same event_id. It needs curl and openssl.\n\n{line}\n\n\
                 Everything is in {} and goes when the demo ends (Ctrl-C).\n",
                self.folder.display()
            )
        })
    }

    fn line(&self, address: SocketAddr) -> String {
        let body = json!({
            "event_name": "sale",
            "nim_ct": self.token,
            "custom_data": { "order_id": "ORD-1001", "value": "129.90", "currency": "USD" },
        });
        format!(
            "BODY='{body}'; TS=$(date +%s); \
             SIG=$(printf '%s' \"$TS.$BODY\" | openssl dgst -sha256 -hmac '{secret}' | sed 's/^.* //'); \
             curl -sS http://{address}/api/v1/conversions -H 'Content-Type: application/json' \
             -H 'X-API-Key: {key}' -H \"X-Timestamp: $TS\" -H \"X-Signature: $SIG\" --data-binary \"$BODY\"; echo",
            secret = self.key.secret.expose_text(),
            key = self.key.key_id,
        )
    }
}

impl Drop for Demo {
    /// Removes what the demo made, however it ends.
    fn drop(&mut self) {
        if let Err(failure) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(%failure, folder = %self.folder.display(), "the demo's folder stays");
        }
    }
}
