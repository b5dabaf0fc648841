//! Tells one webhook.

use std::time::Duration;

use domain::name::Digest;
use serde_json::Value;

use crate::config::Webhook;
use crate::http;
use crate::trouble::Trouble;

/// How long one webhook may take.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn tell(webhook: &Webhook, effect_key: Digest, message: &Value) -> Result<(), Trouble> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Trouble::Notify {
        webhook: webhook.name.clone(),
        source,
    };
    let (client, url) = http::client_for(&webhook.url, TIMEOUT).map_err(|error| failed(error.into()))?;
    let mut call = client.post(url).header("idempotency-key", effect_key.hex()).json(message);
    if let Some(token) = &webhook.token {
        call = call.bearer_auth(token);
    }
    // Without the address in the error: some webhooks carry their secret in it.
    let answer = call.send().map_err(|error| failed(error.without_url().into()))?;
    let status = answer.status();
    if status.is_success() { Ok(()) } else { Err(failed(format!("the answer is {status}").into())) }
}
