//! Every reader of what was published or answered by others, given any bytes: for `tests/fuzz`.
//!
//! **Invariant:** whatever the bytes are, each reader ends in a value or in a finding; nothing is called or opened.

use domain::model::{Signature, TestFile};
use domain::name::Digest;

use crate::bundle;
use crate::monitor::profile::Profile;
use crate::stage_test::{answer, evaluation};
use crate::{http, package};

/// The bytes of an artifact.
pub fn model(bytes: &[u8], declared: &Signature) -> bool {
    package::look(bytes, declared)
}

/// The parts of a bundle: its manifest, what training said, its signatures.
pub fn bundle(bytes: &[u8], key: &bundle::PublicKey) -> bool {
    let digest = Digest::of(bytes);
    assert!(bundle::verify_envelope(bytes, digest, key).is_err(), "no bytes can name their own digest");
    bundle::Manifest::parse(bytes).is_ok()
        || bundle::Lineage::parse(bytes).is_ok()
        || bundle::parse_signature(bytes).is_ok()
}

/// The evaluation data of a model.
pub fn evaluation(bytes: &[u8], file: &TestFile, signature: &Signature) -> bool {
    evaluation::can_be_asked(bytes, file, signature)
}

/// The profile of the training data.
pub fn profile(bytes: &[u8]) -> bool {
    Profile::parse(bytes).is_ok()
}

/// What a model server answered.
pub fn answer(bytes: &[u8], signature: &Signature) -> bool {
    let Ok(body) = serde_json::from_slice(bytes) else { return false };
    answer::complaints(&body, signature, 1).is_empty()
}

/// Where an artifact is said to be.
pub fn address(text: &str) -> bool {
    let begins = |prefix| http::parse(text).is_ok_and(|url| http::begins_with(&url, prefix));
    package::is_path(text) || begins("https://models.example/flights/")
}
