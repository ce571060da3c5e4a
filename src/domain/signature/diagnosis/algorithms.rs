//! What is computed from key and message.

use std::borrow::Cow;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256, Sha512};

use super::finding::Finding;
use crate::domain::signature::hmac_sha256;

/// A function of key and message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    HmacSha256,
    HmacSha512,
    /// HMAC-SHA256 with its two arguments in each other's place.
    Swapped,
    KeyThenMessage,
    MessageThenKey,
}

impl Algorithm {
    /// Those that give values of this length, the right one first.
    pub const fn giving(length: usize) -> &'static [Self] {
        match length {
            32 => &[Self::HmacSha256, Self::Swapped, Self::KeyThenMessage, Self::MessageThenKey],
            64 => &[Self::HmacSha512],
            _ => &[],
        }
    }

    /// The mistake that it is.
    pub fn mistake(self) -> Option<Finding> {
        match self {
            Self::HmacSha256 => None,
            Self::HmacSha512 => {
                Some(Finding::new("hmac_sha512", "The MAC is an HMAC-SHA512; it must be an HMAC-SHA256."))
            }
            Self::Swapped => Some(Finding::new(
                "hmac_arguments_swapped",
                "Key and message were given to the HMAC function in each other's place.",
            )),
            Self::KeyThenMessage | Self::MessageThenKey => Some(Finding::new(
                "no_hmac",
                "The value is a plain SHA-256 over secret and message joined; it must be an HMAC-SHA256, with \
                 the secret as its key. (A plain hash can be extended by people who do not know the secret.)",
            )),
        }
    }

    /// Computes it.
    pub fn compute(self, key: &[u8], message: &[Cow<'_, [u8]>]) -> Vec<u8> {
        match self {
            Self::HmacSha256 => {
                let mut mac = hmac_sha256(key);
                message.iter().for_each(|part| mac.update(part));
                mac.finalize().into_bytes().to_vec()
            }
            Self::HmacSha512 => {
                // HMAC takes keys of every length (RFC 2104).
                let Ok(mut mac) = Hmac::<Sha512>::new_from_slice(key) else { return Vec::new() };
                message.iter().for_each(|part| mac.update(part));
                mac.finalize().into_bytes().to_vec()
            }
            Self::Swapped => {
                let mut mac = hmac_sha256(&message.concat());
                mac.update(key);
                mac.finalize().into_bytes().to_vec()
            }
            Self::KeyThenMessage => {
                let mut hash = Sha256::new_with_prefix(key);
                message.iter().for_each(|part| hash.update(part));
                hash.finalize().to_vec()
            }
            Self::MessageThenKey => {
                let mut hash = Sha256::new();
                message.iter().for_each(|part| hash.update(part));
                hash.chain_update(key).finalize().to_vec()
            }
        }
    }
}
