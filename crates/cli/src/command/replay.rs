//! A run as it was: folded from the log up to a record. Its effects are shown; nothing is sent out.

use api::view::{RunView, TransitionList, TransitionView};
use serde::Serialize;

use super::{show, timeline};
use crate::argv::ReplayArguments;
use crate::client::{Client, segment};
use crate::exit::{Exit, Failure};
use crate::output::{Output, facts};

/// What is known about the moment.
#[derive(Debug, Serialize)]
struct Replayed {
    state: RunView,
    /// SHA-256 of the state's canonical bytes: two binaries that fold the same log have the same.
    state_sha256: String,
    /// The record that led to it.
    transition: Option<TransitionView>,
}

pub(super) async fn replay(
    client: &Client,
    asked: &ReplayArguments,
    output: Output,
) -> Result<Exit, Failure> {
    let path = format!("/v1/runs/{}", segment(&asked.run.run));
    let state: RunView = match &asked.at {
        Some(at) => client.get(&format!("{path}/state"), &[("at", at.clone())]).await?,
        None => client.get(&path, &[]).await?,
    };
    let query = [("limit", "1".to_owned()), ("cursor", state.seq.to_string())];
    let page: TransitionList = client.get(&format!("{path}/transitions"), &query).await?;
    let transition = page.transitions.into_iter().find(|transition| transition.seq == state.seq);
    let replayed = Replayed { state_sha256: state.state_sha256.clone(), state, transition };
    output.one(&replayed, text)?;
    Ok(Exit::Good)
}

fn text(replayed: &Replayed) -> String {
    let mut text = facts(&[
        ("state sha256", Some(replayed.state_sha256.clone())),
        ("record", replayed.transition.as_ref().map(timeline::line)),
        ("record hash", replayed.transition.as_ref().map(|transition| transition.hash.clone())),
        ("sent out", Some("nothing: commands below are shown only".to_owned())),
    ]);
    text.push('\n');
    text.push_str(&show::text(&replayed.state));
    text
}
