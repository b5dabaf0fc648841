//! Names and identities: of models, targets, runs, attempts, and of bytes by their digest.
//!
//! Each is parsed once, at the edge, and is right from then on. Nothing here is drawn at random: an identity
//! is derived from what it identifies, so that the same input gives the same name on every machine.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, but found `{found}`")]
pub struct BadName {
    pub expected: &'static str,
    pub found: String,
}

fn bad<T>(expected: &'static str, found: &str) -> Result<T, BadName> {
    Err(BadName { expected, found: found.chars().take(80).collect() })
}

/// Whether `text` is `[a-z0-9][a-z0-9._-]{0,127}`.
fn is_plain(text: &str) -> bool {
    let first = text.bytes().next();
    text.len() <= 128
        && first.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
}

macro_rules! plain_name {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, BadName> {
                if is_plain(text) { Ok(Self(text.into())) } else { bad($expected, text) }
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

plain_name!(
    /// The name of an ML model, such as `fraud`.
    ModelName, "a model name of the form [a-z0-9][a-z0-9._-]{0,127}"
);
plain_name!(
    /// The version of a model: any such text, not a number.
    Version, "a version of the form [a-z0-9][a-z0-9._-]{0,127}"
);
plain_name!(
    /// Where a model serves or is tested, such as `production`.
    Environment, "an environment of the form [a-z0-9][a-z0-9._-]{0,127}"
);
plain_name!(
    /// The name of a stage within its workflow.
    StageName, "a stage name of the form [a-z0-9][a-z0-9._-]{0,127}"
);
plain_name!(
    /// The name of a check within its stage; by default its kind.
    CheckName, "a check name of the form [a-z0-9][a-z0-9._-]{0,127}"
);
plain_name!(
    /// A role that people hold, such as `ml` or `operator`.
    Role, "a role of the form [a-z0-9][a-z0-9._-]{0,127}"
);
plain_name!(
    /// The name of a workflow.
    WorkflowName, "a workflow name of the form [a-z0-9][a-z0-9._-]{0,127}"
);

/// An opaque identity of a person or tool; never a name or a mail address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(Arc<str>);

impl Subject {
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let fits = !text.is_empty() && text.len() <= 256 && text.chars().all(|c| !c.is_control());
        if fits { Ok(Self(text.into())) } else { bad("a subject of 1 to 256 printable characters", text) }
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The place where a model serves production traffic, written `model@environment`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId {
    pub model: ModelName,
    pub environment: Environment,
}

impl TargetId {
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let Some((model, environment)) = text.split_once('@') else {
            return bad("a target of the form model@environment", text);
        };
        Ok(Self { model: ModelName::parse(model)?, environment: Environment::parse(environment)? })
    }
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.model, self.environment)
    }
}

impl fmt::Debug for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// SHA-256 of some bytes. Written as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of several parts, each preceded by its length, so that no two lists of parts collide.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// Parses 64 hexadecimal digits, with or without `sha256:` before them.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let mut bytes = [0; 32];
        if digits.len() != 64 {
            return bad("a SHA-256 of 64 hexadecimal digits", text);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).unwrap_or("");
            match u8::from_str_radix(pair, 16) {
                Ok(value) if !pair.starts_with('+') => *byte = value,
                _ => return bad("a SHA-256 of 64 hexadecimal digits", text),
            }
        }
        Ok(Self(bytes))
    }

    /// The first 12 hexadecimal digits, for people.
    pub fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }

    pub fn hex(&self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.short())
    }
}

/// One model version travelling one workflow to one target. Written as 26 characters of Crockford's base 32.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub [u8; 16]);

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl RunId {
    /// The run of a trigger on a target: the same trigger gives the same run, however often it comes.
    pub fn derive(source: &str, id: &str, target: &TargetId) -> Self {
        let digest = Digest::of_parts([source.as_bytes(), id.as_bytes(), target.to_string().as_bytes()]);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.0[..16]);
        Self(bytes)
    }

    /// Parses the 26 characters, in either case.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let expected = "a run of 26 characters (Crockford's base 32)";
        let mut value: u128 = 0;
        if text.len() != 26 {
            return bad(expected, text);
        }
        for (place, byte) in text.bytes().enumerate() {
            let digit = CROCKFORD.iter().position(|c| *c == byte.to_ascii_uppercase());
            let Some(digit) = digit else { return bad(expected, text) };
            if place == 0 && digit > 7 {
                return bad(expected, text);
            }
            value = value << 5 | digit as u128;
        }
        Ok(Self(value.to_be_bytes()))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = u128::from_be_bytes(self.0);
        for place in (0..26).rev() {
            let digit = (value >> (5 * place)) as usize & 31;
            write!(f, "{}", CROCKFORD[digit] as char)?;
        }
        Ok(())
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Whose sequence of events it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamId {
    /// The definitions of a partition: workflows and role maps by digest.
    Definitions,
    Run(RunId),
    Target(TargetId),
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Definitions => f.write_str("definitions"),
            Self::Run(run) => write!(f, "{run}"),
            Self::Target(target) => write!(f, "{target}"),
        }
    }
}

/// One try of a command: whose, and the how-manieth of it. Written `RUN.3` or `model@environment.3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    pub owner: StreamId,
    pub number: u32,
}

impl AttemptId {
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let expected = "an attempt of the form RUN.NUMBER or model@environment.NUMBER";
        let Some((owner, number)) = text.rsplit_once('.') else { return bad(expected, text) };
        let Ok(number) = number.parse() else { return bad(expected, text) };
        let owner = if owner.contains('@') {
            StreamId::Target(TargetId::parse(owner)?)
        } else {
            StreamId::Run(RunId::parse(owner)?)
        };
        Ok(Self { owner, number })
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.owner, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_refuse_what_is_not_one() {
        let target = TargetId::parse("fraud@production").unwrap();
        assert_eq!(target.to_string(), "fraud@production");
        let run = RunId::derive("/training", "1", &target);
        assert_eq!(RunId::parse(&run.to_string()).unwrap(), run);
        assert_eq!(RunId::parse(&run.to_string().to_lowercase()).unwrap(), run);
        let attempt = AttemptId { owner: StreamId::Target(target), number: 7 };
        assert_eq!(AttemptId::parse(&attempt.to_string()).unwrap(), attempt);
        let digest = Digest::of(b"x");
        assert_eq!(Digest::parse(&digest.to_string()).unwrap(), digest);
        for wrong in ["", "Fraud", "-a", "a b", "../x", "%2e", "a\u{202e}b", &"a".repeat(129)] {
            assert!(ModelName::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "U0000000000000000000000000", "../x"] {
            assert!(RunId::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Digest::parse(&"+1".repeat(32)).is_err());
    }

    #[test]
    fn the_same_trigger_is_the_same_run() {
        let target = TargetId::parse("a@b").unwrap();
        assert_eq!(RunId::derive("s", "1", &target), RunId::derive("s", "1", &target));
        assert_ne!(RunId::derive("s1", "", &target), RunId::derive("s", "1", &target));
    }
}
