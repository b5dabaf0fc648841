//! The token of an attempt: HMAC-SHA-256 of its id under the engine's key. A worker returns it with the outcome;
//! the engine checks it before the core sees anything. So who can write outcomes cannot invent attempts.

use std::fmt;

use domain::name::AttemptId;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
pub use wire::message::Token;

/// The engine's secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(pub [u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

pub fn sign(key: Key, attempt: &AttemptId) -> Token {
    Token(mac(key, attempt).finalize().into_bytes().into())
}

/// Compares in constant time.
pub fn is_valid(key: Key, attempt: &AttemptId, token: Token) -> bool {
    mac(key, attempt).verify_slice(&token.0).is_ok()
}

fn mac(key: Key, attempt: &AttemptId) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(&key.0).expect("HMAC takes keys of any length");
    mac.update(attempt.to_string().as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_attempt_and_key_only() {
        let attempt = |text| AttemptId::parse(text).unwrap();
        let (key, one) = (Key([1; 32]), attempt("a@b.1"));
        let token = sign(key, &one);
        assert!(is_valid(key, &one, token));
        assert!(!is_valid(key, &attempt("a@b.2"), token));
        assert!(!is_valid(Key([2; 32]), &one, token));
        assert!(!is_valid(key, &one, Token([0; 32])));
    }
}
