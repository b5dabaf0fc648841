//! What a data folder keeps beside the log: rows, journals, guards, lists.

use std::sync::LazyLock;

use domain::name::{AttemptId, TargetId};

static TARGET: LazyLock<TargetId> =
    LazyLock::new(|| TargetId::parse("flights@production").expect("a target"));
static ATTEMPT: LazyLock<AttemptId> =
    LazyLock::new(|| AttemptId::parse("flights@production.1").expect("an attempt"));

/// Every row of the view, the journal and the predictions, and the files `FORMAT` and `HEAD`.
pub(crate) fn rows(bytes: &[u8]) {
    rocks::decoders::take(bytes, &ATTEMPT, &TARGET);
    engine::decoders::answer(bytes, &ATTEMPT);
    engine::decoders::row(bytes);
}

/// The list of users.
pub(crate) fn users(bytes: &[u8]) {
    api::decoders::users(bytes);
}
