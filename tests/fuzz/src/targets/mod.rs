//! What is fuzzed: for each kind of bytes from outside its reader, with what must hold of whatever was read.
//!
//! The workspace's tests replay the kept corpus through the same functions (`tests/src/corpus.rs`).
//!
//! **Invariant:** a target panics if and only if the product is at fault: a panic of its own, a value that changes
//! when it is written and read again, or bytes read that the next reader would refuse.

mod http;
mod kept;
mod log;
mod messages;
mod published;
mod texts;

/// Takes any bytes.
pub(crate) type Target = fn(&[u8]);

/// All targets, each with a folder of its name in `tests/fuzz/corpus`.
pub(crate) const TARGETS: [(&str, Target); 18] = [
    ("record", log::record),
    ("codec", log::codec),
    ("message", messages::message),
    ("kept", kept::rows),
    ("users", kept::users),
    ("workflow", texts::workflow),
    ("rule", texts::rule),
    ("roles", texts::roles),
    ("config", texts::config),
    ("names", texts::names),
    ("event", published::event),
    ("model", published::model),
    ("bundle", published::bundle),
    ("evaluation", published::evaluation),
    ("request", http::request),
    ("infer", http::infer),
    ("labels", http::labels),
    ("serve", http::serve),
];

pub(crate) fn find(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

/// The flights model, whose signature bodies and tables are held against.
const MODEL: &[u8] = include_bytes!("../../../../examples/flights/models/v1.onnx");

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
