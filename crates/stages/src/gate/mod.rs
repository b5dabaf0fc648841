//! Tells the approvers that a gate waits: the review page as a blob, a line in the log, webhooks.
//!
//! **Invariant:** the page names the digest that a vote must name. A webhook is told again with the same key when an
//! attempt is repeated, so that a receiver can tell a repeat.

mod review;
mod webhook;

use domain::evidence::Text;
use domain::work::{self, Outcome};

use crate::evidence::blob;
use crate::trouble::Trouble;
use crate::{Attempt, Workers, canonical};

pub(crate) fn carry_out(
    workers: &Workers,
    attempt: Attempt<'_>,
    order: &work::Notify,
) -> Result<Outcome, Trouble> {
    attempt.step("writing the review page")?;
    let blobs = workers.ports.blobs.as_ref();
    let target = &attempt.command.target;
    let page = canonical::bytes(&review::page(blobs, target, order));
    let review = blob(blobs.put(&page)?, "review", page.len());
    let mut delivered: Vec<Text> = vec!["log".into()];
    tracing::info!(
        run = %order.run,
        %target,
        stage = %order.stage,
        version = %order.release.version,
        evidence = %order.evidence,
        review = %review.digest,
        expires_at = %order.expires_at,
        "a gate waits for approval"
    );
    for webhook in &workers.config.webhooks {
        attempt.step("telling a webhook")?;
        let message = review::message(target, order, review.digest);
        webhook::tell(webhook, attempt.command.effect_key, &message)?;
        delivered.push(webhook.name.as_str().into());
    }
    Ok(Outcome::Notified { review: Some(review), delivered })
}

#[cfg(test)]
mod tests;
