//! Every reader of what callers send and releases answer, given any bytes: for `tests/fuzz`.
//!
//! **Invariant:** whatever the bytes are, each reader ends in a value or in a refusal.

use std::path::Path;

use domain::name::TargetId;
use domain::time::Timestamp;
use hyper::body::Bytes;

use crate::limits::Limits;
use crate::{answer, instant, labels, listen, overrides, paths, plain, protocol};

/// The head of a request, as far as it is read without hyper.
pub fn head(bytes: &[u8]) -> bool {
    let Some(end) = plain::end_of_head(bytes) else {
        plain::may_become_plain(bytes);
        return false;
    };
    let mut room = [const { std::mem::MaybeUninit::uninit() }; plain::HEADERS_MAX];
    plain::read(&bytes[..end], &mut room).is_some()
}

/// A request to infer. What goes on to the release is JSON with the id under which the prediction is logged.
pub fn infer(body: &[u8]) -> bool {
    let Ok(asked) = protocol::read(Bytes::copy_from_slice(body), Some("other"), Some("unit")) else {
        return false;
    };
    assert!(asked.id.len() <= protocol::ID_BYTES_MAX, "an id of {} bytes", asked.id.len());
    let again = protocol::read(asked.body.clone(), None, Some("unit")).expect("what goes on can be read");
    assert!(again.id == asked.id, "`{}` went on as `{}`", asked.id, again.id);
    assert!(again.body == asked.body, "what has an id goes on as it came");
    true
}

/// A release's answer to one row.
pub fn answer(body: &[u8]) -> bool {
    answer::read(body).is_some()
}

/// Labels of the target.
pub fn labels(body: &[u8], target: &TargetId) -> bool {
    labels::read(target, body, Limits::default().labels_max, Timestamp(0)).is_ok()
}

/// What the kill switch is sent, and what it keeps on disk.
pub fn kill(body: &[u8]) -> bool {
    listen::Kill::read(body).is_ok() || overrides::parse(body, Path::new("overrides.json")).is_ok()
}

/// A path, and a time as callers write it.
pub fn text(text: &str) -> bool {
    paths::find(text).is_some() || instant::parse(text).is_some()
}
