//! Encryption of secrets at rest: XChaCha20-Poly1305 under a ring of master keys (contract
//! sections 3 and 11).
//!
//! The newest key of the ring encrypts, all decrypt. The associated data names what a ciphertext
//! is for, so that one moved to another row does not open there. What lies in clear beside the
//! ciphertexts carries a [`Tag`], an HMAC under a key derived from the same ring.

use std::collections::BTreeMap;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hmac::Mac as _;
use zeroize::Zeroizing;

use super::signature::hmac_sha256;
use super::time::Entropy;

/// A ring of master keys by number.
#[derive(Clone)]
pub struct MasterKeyRing(BTreeMap<u16, Zeroizing<[u8; 32]>>);

/// What lies in the database instead of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The number of the master key that sealed it.
    pub key_number: u16,
    /// Nonce (24 bytes), then ciphertext and tag.
    pub bytes: Vec<u8>,
}

/// Proves that values in the database were written by a holder of the master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The number of the master key that it was made with.
    pub key_number: u16,
    /// HMAC-SHA256 of the values.
    pub bytes: Vec<u8>,
}

/// A text that is no ring of master keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the master key must be base64 of 32 bytes, or a ring NUMBER:BASE64,NUMBER:BASE64")]
pub struct InvalidRing;

/// Why a sealed secret does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The ring lacks the key.
    #[error("master key number {0} is not in the ring")]
    UnknownKey(u16),
    /// Another key under that number, another row, or damaged bytes.
    #[error("the master key does not open this secret")]
    Refused,
    /// The values were changed without the master key, or tagged by another one under that number.
    #[error("its row does not verify: it was changed without the master key")]
    Altered,
}

const NONCE_LEN: usize = 24;

/// Separates the keys of tags from those of ciphertexts.
const TAG_KEY_PURPOSE: &[u8] = b"conversiond/tag-key/v1";

impl MasterKeyRing {
    /// A ring of one fresh key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut key = Zeroizing::new([0u8; 32]);
        entropy.fill(key.as_mut());
        Self(BTreeMap::from([(1, key)]))
    }

    /// The ring in the form that [`FromStr`] reads.
    pub fn expose_text(&self) -> Zeroizing<String> {
        let entries: Vec<String> =
            self.0.iter().rev().map(|(number, key)| format!("{number}:{}", STANDARD.encode(key))).collect();
        Zeroizing::new(entries.join(","))
    }

    /// The number of the key that encrypts.
    pub fn newest(&self) -> u16 {
        self.0.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// Encrypts under the newest key. `purpose` must be given again to open.
    pub fn seal(&self, plain: &[u8], purpose: &str, entropy: &dyn Entropy) -> Result<Sealed, OpenError> {
        let key_number = self.newest();
        let mut bytes = vec![0u8; NONCE_LEN];
        entropy.fill(&mut bytes);
        let nonce = XNonce::try_from(bytes.as_slice()).map_err(|_| OpenError::Refused)?;
        let payload = Payload { msg: plain, aad: purpose.as_bytes() };
        let sealed = self.cipher(key_number)?.encrypt(&nonce, payload).map_err(|_| OpenError::Refused)?;
        bytes.extend_from_slice(&sealed);
        Ok(Sealed { key_number, bytes })
    }

    /// Decrypts what was sealed for this purpose.
    pub fn open(&self, sealed: &Sealed, purpose: &str) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let cipher = self.cipher(sealed.key_number)?;
        let (nonce, ciphertext) = sealed.bytes.split_at_checked(NONCE_LEN).ok_or(OpenError::Refused)?;
        let nonce = XNonce::try_from(nonce).map_err(|_| OpenError::Refused)?;
        let payload = Payload { msg: ciphertext, aad: purpose.as_bytes() };
        cipher.decrypt(&nonce, payload).map(Zeroizing::new).map_err(|_| OpenError::Refused)
    }

    /// Tags values under the newest key. The message must name what it is for.
    pub fn tag(&self, message: &[u8]) -> Result<Tag, OpenError> {
        let key_number = self.newest();
        let bytes = self.tagger(key_number)?.chain_update(message).finalize().into_bytes().to_vec();
        Ok(Tag { key_number, bytes })
    }

    /// Checks values against their tag, in constant time.
    pub fn verify(&self, tag: &Tag, message: &[u8]) -> Result<(), OpenError> {
        let tagger = self.tagger(tag.key_number)?.chain_update(message);
        tagger.verify_slice(&tag.bytes).map_err(|_| OpenError::Altered)
    }

    fn tagger(&self, number: u16) -> Result<hmac::Hmac<sha2::Sha256>, OpenError> {
        let master = self.0.get(&number).ok_or(OpenError::UnknownKey(number))?;
        let derived = hmac_sha256(master.as_slice()).chain_update(TAG_KEY_PURPOSE).finalize().into_bytes();
        Ok(hmac_sha256(&derived))
    }

    fn cipher(&self, number: u16) -> Result<XChaCha20Poly1305, OpenError> {
        let key = self.0.get(&number).ok_or(OpenError::UnknownKey(number))?;
        let key = Key::try_from(key.as_slice()).map_err(|_| OpenError::Refused)?;
        Ok(XChaCha20Poly1305::new(&key))
    }
}

impl FromStr for MasterKeyRing {
    type Err = InvalidRing;

    fn from_str(text: &str) -> Result<Self, InvalidRing> {
        let text = text.trim();
        let mut ring = BTreeMap::new();
        for entry in text.split(',') {
            let (number, encoded) = match entry.trim().split_once(':') {
                Some((number, encoded)) => (number.parse().map_err(|_| InvalidRing)?, encoded),
                None if !text.contains(',') => (1, entry),
                None => return Err(InvalidRing),
            };
            let bytes = Zeroizing::new(STANDARD.decode(encoded.trim()).map_err(|_| InvalidRing)?);
            let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| InvalidRing)?;
            if number == 0 || ring.insert(number, Zeroizing::new(key)).is_some() {
                return Err(InvalidRing);
            }
        }
        Ok(Self(ring))
    }
}

impl std::fmt::Debug for MasterKeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MasterKeyRing({} keys, [redacted])", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;

    impl Entropy for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            for (index, byte) in buffer.iter_mut().enumerate() {
                *byte = u8::try_from(index % 256).unwrap();
            }
        }
    }

    fn key(byte: u8) -> String {
        STANDARD.encode([byte; 32])
    }

    #[test]
    fn a_secret_opens_only_for_its_purpose_and_key() {
        let old: MasterKeyRing = format!("1:{}", key(1)).parse().unwrap();
        let sealed = old.seal(b"secret", "row a", &Counting).unwrap();
        assert_eq!(old.open(&sealed, "row a").unwrap().as_slice(), b"secret");
        assert_eq!(old.open(&sealed, "row b"), Err(OpenError::Refused));
        let ring: MasterKeyRing = format!("2:{},1:{}", key(2), key(1)).parse().unwrap();
        assert_eq!(ring.open(&sealed, "row a").unwrap().as_slice(), b"secret");
        assert_eq!(ring.seal(b"x", "p", &Counting).unwrap().key_number, 2);
        let other: MasterKeyRing = format!("2:{}", key(2)).parse().unwrap();
        assert_eq!(other.open(&sealed, "row a"), Err(OpenError::UnknownKey(1)));
        let short = Sealed { key_number: 1, bytes: vec![0; 7] };
        assert_eq!(old.open(&short, "row a"), Err(OpenError::Refused));
    }

    #[test]
    fn a_tag_fits_only_its_message_and_key() {
        let old: MasterKeyRing = format!("1:{}", key(1)).parse().unwrap();
        let tag = old.tag(b"row a").unwrap();
        assert_eq!(old.verify(&tag, b"row a"), Ok(()));
        assert_eq!(old.verify(&tag, b"row b"), Err(OpenError::Altered));
        let ring: MasterKeyRing = format!("2:{},1:{}", key(2), key(1)).parse().unwrap();
        assert_eq!((ring.verify(&tag, b"row a"), ring.tag(b"row a").unwrap().key_number), (Ok(()), 2));
        for number in [2, 3] {
            assert!(ring.verify(&Tag { key_number: number, ..tag.clone() }, b"row a").is_err());
        }
        for length in 0..tag.bytes.len() {
            let short = Tag { bytes: tag.bytes[..length].to_vec(), ..tag.clone() };
            assert_eq!(old.verify(&short, b"row a"), Err(OpenError::Altered));
        }
    }

    #[test]
    fn a_bare_key_is_number_one_and_nonsense_is_refused() {
        let ring: MasterKeyRing = key(9).parse().unwrap();
        assert_eq!(ring.newest(), 1);
        assert_eq!(ring.expose_text().parse::<MasterKeyRing>().unwrap().newest(), 1);
        for text in ["", "1:", "x", "1:AAAA", &format!("1:{0},1:{0}", key(1)), &format!("{0},{0}", key(1))] {
            assert!(text.parse::<MasterKeyRing>().is_err(), "{text}");
        }
        assert!(!format!("{ring:?}").contains(&key(9)));
    }
}
