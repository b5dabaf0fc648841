//! Every reader of bodies, questions and files of this crate, given any bytes: for `tests/fuzz`.
//!
//! **Invariant:** whatever the bytes are, each reader ends in a value or in a problem of a status from 400 to 499.

use crate::problem::Problem;
use crate::route::{page, run_requests, targets};
use crate::view::{NewUser, RunRequest, TargetRequest};
use crate::{auth, clock, take};

/// The body of each route that takes JSON, to what the engine would be asked.
pub fn body(bytes: &[u8]) -> bool {
    let run = take::parse::<RunRequest>(bytes).and_then(run_requests::ask).map(|_| ());
    let target = take::parse::<TargetRequest>(bytes).and_then(targets::ask).map(|_| ());
    let user = take::parse::<NewUser>(bytes).map(|_| ());
    [run, target, user].into_iter().filter_map(of_the_sender).count() > 0
}

/// A list of users on disk.
pub fn users(bytes: &[u8]) -> bool {
    auth::parse_users(bytes).is_ok()
}

/// A time, a cursor, a place in a history.
pub fn text(text: &str) -> bool {
    let cursor = of_the_sender(page::seq_cursor(Some(text)));
    let place = of_the_sender(page::upto(text));
    clock::parse_timestamp(text).is_some() || cursor.is_some() || place.is_some()
}

/// A problem with bytes is their sender's.
fn of_the_sender<T>(read: Result<T, Problem>) -> Option<T> {
    read.inspect_err(|problem| assert!(problem.status.is_client_error(), "{problem}")).ok()
}
