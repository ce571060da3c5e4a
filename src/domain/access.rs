//! Who may do what: API keys, and the one judgement over a signed request (contract section 3).

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::hint::select_unpredictable;
use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use ipnet::IpNet;
use subtle::{Choice, ConstantTimeEq as _};

use super::click_token::TokenRing;
use super::ids::{KeyId, KeyKind, MerchantId};
use super::merchant::{Merchant, Mode};
use super::signature::{Covered, Digests, Form, Forms, Scheme, SignedHead, SigningKeys};

/// How many live secrets a key has at most (rotation with overlap).
pub const LIVE_SECRETS_MAX: usize = 2;

/// A secret of a key, until it expires.
#[derive(Clone)]
pub struct LiveSecret {
    /// The secret, made ready.
    pub keys: SigningKeys,
    /// From then on it signs nothing; `None` = it lives on.
    pub expires_at: Option<DateTime<Utc>>,
}

/// An API key as the service judges by it.
#[derive(Clone)]
pub struct ApiKey {
    /// The public id.
    pub id: KeyId,
    /// Whose it is; `None` = the operator's.
    pub merchant: Option<Arc<Merchant>>,
    /// Where requests may come from; empty = anywhere.
    pub ip_allow: Vec<IpNet>,
    /// Takes the bound form of signature alone.
    pub require_v2: bool,
    /// Revoked for good.
    pub revoked: bool,
    /// The secrets.
    pub secrets: Vec<LiveSecret>,
}

/// All keys at one moment: judging a request needs nothing else.
///
/// Every id leads to a key by the same steps, one that is not there to another one, which is judged in
/// its place. So whatever the key found costs, its looks and its luck in the processor's caches included,
/// an unknown id costs as well.
#[derive(Clone)]
pub struct KeyDirectory {
    /// In the order of their ids' places, and among them one that is nobody's: there is always one.
    keys: Vec<(u128, ApiKey)>,
    /// Tell an id's place, which nobody outside can.
    hashers: [RandomState; 2],
    /// Every merchant, those without a key, too.
    merchants: HashMap<MerchantId, Arc<Merchant>>,
    /// Tried in place of a secret that is not there.
    dummy: SigningKeys,
    /// The keys of click tokens, which change as rarely and are loaded with them.
    pub token_ring: TokenRing,
}

/// A request that was really made by the holder of a key. Only [`KeyDirectory::judge`] makes one.
#[derive(Debug, Clone)]
pub struct Verified {
    key_id: KeyId,
    merchant: Option<Arc<Merchant>>,
    form: Form,
    at: DateTime<Utc>,
}

/// Why a request is refused, exactly. What callers are told of it is less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No such key.
    InvalidApiKey,
    /// The key was revoked.
    ApiKeyRevoked,
    /// Every secret of the key has expired.
    ApiKeyExpired,
    /// The merchant is suspended.
    MerchantInactive,
    /// No signature fits.
    BadSignature,
    /// Signed rightly, but not now.
    TimestampOutsideTolerance {
        /// The timestamp sent, in Unix seconds.
        sent: i64,
    },
    /// Signed rightly, in a form that this key or request does not allow.
    FormNotAllowed,
    /// Signed rightly, from elsewhere.
    IpNotAllowed,
}

impl Refusal {
    /// The reason's name in logs, metrics and the attempt journal.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::InvalidApiKey => "INVALID_API_KEY",
            Self::ApiKeyRevoked => "API_KEY_REVOKED",
            Self::ApiKeyExpired => "API_KEY_EXPIRED",
            Self::MerchantInactive => "MERCHANT_INACTIVE",
            Self::BadSignature => "SIG_BAD_SIGNATURE",
            Self::TimestampOutsideTolerance { .. } => "SIG_TIMESTAMP_OUTSIDE_TOLERANCE",
            Self::FormNotAllowed => "SIG_FORM_NOT_ALLOWED",
            Self::IpNotAllowed => "IP_NOT_ALLOWED",
        }
    }
}

impl Refusal {
    /// Whether the request was signed rightly all the same, so that its signer may be told more.
    pub const fn signed_rightly(self) -> bool {
        matches!(self, Self::TimestampOutsideTolerance { .. } | Self::FormNotAllowed | Self::IpNotAllowed)
    }
}

/// The circumstances of a request that are not its own words.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// The time of judgement.
    pub now: DateTime<Utc>,
    /// How far the timestamp may lie from it, either way.
    pub tolerance: TimeDelta,
    /// The client's address, proxies taken off; `None` where there is none (the command line).
    pub client: Option<IpAddr>,
    /// The forms that the endpoint takes.
    pub forms: Forms,
}

impl KeyDirectory {
    /// A directory of these keys. `dummy` is any secret that nobody holds.
    pub fn new(keys: impl IntoIterator<Item = ApiKey>, dummy: SigningKeys, token_ring: TokenRing) -> Self {
        let hashers = [RandomState::new(), RandomState::new()];
        let keys = keys.into_iter().chain([ApiKey::of_nobody(dummy.clone())]);
        let mut keys: Vec<_> = keys.map(|key| (place(&hashers, key.id.as_str()), key)).collect();
        keys.sort_unstable_by_key(|(place, _)| *place);
        Self { keys, hashers, merchants: HashMap::new(), dummy, token_ring }
    }

    /// The same with all merchants that there are.
    pub fn with_merchants(self, merchants: HashMap<MerchantId, Arc<Merchant>>) -> Self {
        Self { merchants, ..self }
    }

    /// A merchant, suspended or not; `None` = there is none of this id.
    pub fn merchant(&self, id: MerchantId) -> Option<&Arc<Merchant>> {
        self.merchants.get(&id)
    }

    /// How many keys there are, revoked ones included.
    pub fn len(&self) -> usize {
        self.keys.len().saturating_sub(1)
    }

    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whose key this is, and in what mode it signs; `None` for an operator's and an unknown one.
    pub fn owner_of(&self, key_id: &str) -> Option<(MerchantId, Mode)> {
        let (key, known) = self.at(key_id)?;
        key.merchant.as_ref().filter(|_| known).map(|merchant| (merchant.id, mode_of(&key.id)))
    }

    /// Whether there is a key of this id, revoked or not.
    pub fn is_known(&self, key_id: &str) -> bool {
        self.at(key_id).is_some_and(|(_, known)| known)
    }

    /// The key of this id, or another one where there is none, and whether it is the right one. There is
    /// always one.
    fn at(&self, key_id: &str) -> Option<(&ApiKey, bool)> {
        let wanted = place(&self.hashers, key_id);
        let last = self.keys.len().saturating_sub(1);
        let (_, key) = self.keys.get(self.keys.partition_point(|(place, _)| *place < wanted).min(last))?;
        Some((key, key.id.as_str().as_bytes().ct_eq(key_id.as_bytes()).into()))
    }

    /// Judges a signed request.
    ///
    /// The same work is done for every key id, known or not: two secrets are tried in each form
    /// present, and every value listed is compared, in constant time and without an early end.
    pub fn judge(
        &self,
        head: &SignedHead<'_>,
        covered: &Covered<'_>,
        digests: &Digests,
        circumstances: &Circumstances,
    ) -> Result<Verified, Refusal> {
        let Some((key, known)) = self.at(head.key_id) else { return Err(Refusal::InvalidApiKey) };
        let mut live = [&self.dummy; LIVE_SECRETS_MAX];
        let mut none_lives = true;
        let valid = key.secrets.iter().filter(|one| one.expires_at.is_none_or(|at| at > circumstances.now));
        for (slot, secret) in live.iter_mut().zip(valid) {
            (*slot, none_lives) = (&secret.keys, false);
        }
        let matched = try_secrets(live, head, covered, digests);
        let suspended = key.merchant.as_ref().is_some_and(|merchant| merchant.suspended);
        let of_this_key = match matched {
            _ if key.revoked => Err(Refusal::ApiKeyRevoked),
            _ if suspended => Err(Refusal::MerchantInactive),
            _ if none_lives => Err(Refusal::ApiKeyExpired),
            None => Err(Refusal::BadSignature),
            Some(form) => Ok(form),
        };
        // Whose secret it was that fitted does not matter if the key was not named. A jump here would take
        // longer one way than the other.
        let form = select_unpredictable(known, of_this_key, Err(Refusal::InvalidApiKey))?;
        key.allows(form, head, circumstances)?;
        Ok(Verified { key_id: key.id.clone(), merchant: key.merchant.clone(), form, at: circumstances.now })
    }
}

impl ApiKey {
    fn of_nobody(keys: SigningKeys) -> Self {
        Self {
            id: KeyId::of_nobody(),
            merchant: Some(Arc::new(Merchant::new(MerchantId::from_uuid(uuid::Uuid::nil())))),
            ip_allow: Vec::new(),
            require_v2: false,
            revoked: false,
            secrets: vec![LiveSecret { keys, expires_at: None }],
        }
    }

    /// The forms that this key may be used with. What an operator's key does is not bound to one merchant,
    /// so such a key never takes a form that leaves the path open.
    fn forms(&self) -> Forms {
        match &self.merchant {
            None => Forms::BOUND,
            Some(merchant) => Forms::ANY.bound_if(self.require_v2 || merchant.require_v2),
        }
    }

    /// What only the rightful signer is told about.
    fn allows(
        &self,
        form: Form,
        head: &SignedHead<'_>,
        circumstances: &Circumstances,
    ) -> Result<(), Refusal> {
        let skew = circumstances.now.timestamp().abs_diff(head.unix_seconds);
        if skew > circumstances.tolerance.num_seconds().unsigned_abs() {
            return Err(Refusal::TimestampOutsideTolerance { sent: head.unix_seconds });
        }
        if !circumstances.forms.and(self.forms()).contains(form) {
            return Err(Refusal::FormNotAllowed);
        }
        let elsewhere =
            circumstances.client.is_some_and(|ip| !self.ip_allow.iter().any(|net| net.contains(&ip)));
        if elsewhere && !self.ip_allow.is_empty() {
            return Err(Refusal::IpNotAllowed);
        }
        Ok(())
    }
}

impl Verified {
    /// The key that signed.
    pub const fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// When it was judged: the time by which its content is judged, too.
    pub const fn at(&self) -> DateTime<Utc> {
        self.at
    }

    /// The form that fitted.
    pub const fn form(&self) -> Form {
        self.form
    }

    /// The merchant whose key signed; `None` = an operator's.
    pub fn merchant(&self) -> Option<&Arc<Merchant>> {
        self.merchant.as_ref()
    }

    /// Whether it is about real business.
    pub const fn mode(&self) -> Mode {
        mode_of(&self.key_id)
    }
}

/// The strongest form in which a secret fits, if one does.
fn try_secrets(
    secrets: [&SigningKeys; LIVE_SECRETS_MAX],
    head: &SignedHead<'_>,
    covered: &Covered<'_>,
    digests: &Digests,
) -> Option<Form> {
    let (mut weaker, mut bound_fits) = (Choice::from(0), Choice::from(0));
    for keys in secrets {
        match &head.scheme {
            Scheme::Hex { plain, bound } => {
                if !plain.is_empty() {
                    weaker |= fits(&keys.plain(head.timestamp, covered), plain);
                }
                if !bound.is_empty() {
                    bound_fits |= fits(&keys.bound(head.timestamp, covered, digests), bound);
                }
            }
            Scheme::StandardWebhooks { id, values } => {
                weaker |= fits(&keys.standard_webhooks(id, head.timestamp, covered), values);
            }
        }
    }
    let weaker_form = match head.scheme {
        Scheme::Hex { .. } => Form::Plain,
        Scheme::StandardWebhooks { .. } => Form::StandardWebhooks,
    };
    // Where a secret is not there it was the dummy, which nobody holds.
    match (bool::from(bound_fits), bool::from(weaker)) {
        (true, _) => Some(Form::Bound),
        (false, true) => Some(weaker_form),
        (false, false) => None,
    }
}

const fn mode_of(key: &KeyId) -> Mode {
    match key.kind() {
        KeyKind::Test => Mode::Test,
        KeyKind::Live | KeyKind::Operator => Mode::Live,
    }
}

/// Where a key of this id stands: two ids have never had the same 128 bits.
fn place(hashers: &[RandomState; 2], key_id: &str) -> u128 {
    let [high, low] = hashers.each_ref().map(|hasher| u128::from(hasher.hash_one(key_id)));
    high << 64 | low
}

fn fits(computed: &[u8; 32], listed: &[[u8; 32]]) -> Choice {
    listed.iter().fold(Choice::from(0), |any, value| any | computed.ct_eq(value))
}
