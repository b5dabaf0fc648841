//! Sends `ModelTrained` events from files.
//!
//! **Invariant:** a relative `file:` URI means the event file's folder, so that an event can lie beside its model
//! and be published from anywhere.

use std::path::{Path, PathBuf};

use api::view::{EventAnswer, EventAnswers, RequestOutcome};
use serde_json::Value;

use super::watch;
use crate::argv::{PublishArguments, RunName, WatchArguments};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Table, say};

/// Where an event's data names files.
const URIS: [[&str; 2]; 3] = [["artifact", "uri"], ["evaluation", "uri"], ["baseline_profile", "uri"]];

pub(super) async fn publish(
    client: &Client,
    publish: &PublishArguments,
    output: Output,
) -> Result<Exit, Failure> {
    let events = publish.files.iter().map(|file| read(file)).collect::<Result<Vec<Value>, Failure>>()?;
    let mut answers: Vec<EventAnswer> = vec![];
    for (file, event) in publish.files.iter().zip(&events) {
        match client.publish::<EventAnswers>(event).await {
            Ok(answered) => answers.extend(answered.events),
            Err(failure) => {
                // What was sent before is told, so that nobody sends it blindly again.
                if !answers.is_empty() {
                    print(&answers, output)?;
                }
                say(&format!("{} was not taken", file.display()));
                return Err(failure);
            }
        }
    }
    print(&answers, output)?;
    if !publish.watch {
        let pending = answers.iter().any(|answer| answer.outcome == RequestOutcome::Pending);
        return Ok(if pending { Exit::Waiting } else { Exit::Good });
    }
    let mut worst = Exit::Good;
    for answer in &answers {
        let watched = WatchArguments { run: RunName { run: answer.run.clone() }, until_people: false };
        let exit = watch::watch(client, &watched, output).await?;
        worst = if exit == Exit::Good { worst } else { exit };
    }
    Ok(worst)
}

fn print(answers: &[EventAnswer], output: Output) -> Result<(), Failure> {
    output.list(answers, |answers| {
        let mut table = Table::new(&["RUN", "EVENT", "TARGET", "WORKFLOW", ""]);
        for answer in answers {
            let note = match (answer.outcome, answer.repeated) {
                (RequestOutcome::Pending, _) => "not decided yet",
                (RequestOutcome::Accepted, true) => "known already",
                (RequestOutcome::Accepted, false) => "",
            };
            table.row([
                answer.run.clone(),
                answer.id.clone(),
                answer.target.clone(),
                answer.workflow.clone(),
                note.to_owned(),
            ]);
        }
        table.render()
    })
}

fn read(file: &Path) -> Result<Value, Failure> {
    let named = |text: &str| format!("failed to {text} event `{}`", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::usage("EVENT_FILE", named("read"))
            .field("FILE")
            .cause(&error)
            .hint("name a file that exists and can be read; `examples/flights/v1.json` is one")
    })?;
    let mut event: Value = serde_json::from_str(&text).map_err(|error| {
        Failure::usage("EVENT_FILE", named("parse"))
            .field("FILE")
            .cause(&error)
            .hint("an event file is a CloudEvent as JSON, or a list of them")
    })?;
    let folder = std::path::absolute(file)
        .map_err(|error| Failure::usage("EVENT_FILE", named("find")).cause(&error))?
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default();
    match &mut event {
        Value::Array(events) => events.iter_mut().for_each(|event| resolve(event, &folder)),
        one => resolve(one, &folder),
    }
    Ok(event)
}

/// Makes the event's relative `file:` URIs absolute.
fn resolve(event: &mut Value, folder: &Path) {
    for [part, field] in URIS {
        let uri =
            event.get_mut("data").and_then(|data| data.get_mut(part)).and_then(|part| part.get_mut(field));
        if let Some(Value::String(uri)) = uri
            && let Some(absolute) = absolute(uri, folder)
        {
            *uri = absolute;
        }
    }
}

fn absolute(uri: &str, folder: &Path) -> Option<String> {
    let path = uri.strip_prefix("file:").filter(|path| !path.starts_with('/'))?;
    let mut whole = PathBuf::from(folder);
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                whole.pop();
            }
            part => whole.push(part),
        }
    }
    Some(format!("file://{}", whole.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_files_are_taken_from_the_events_folder() {
        for (uri, expected) in [
            ("file:models/v3.onnx", Some("file:///data/flights/models/v3.onnx")),
            ("file:./v3.onnx", Some("file:///data/flights/v3.onnx")),
            ("file:../shared/v3.onnx", Some("file:///data/shared/v3.onnx")),
            ("file:/models/v3.onnx", None),
            ("file:///models/v3.onnx", None),
            ("https://example.org/v3.onnx", None),
            ("oci://registry/v3", None),
        ] {
            assert_eq!(absolute(uri, Path::new("/data/flights")).as_deref(), expected, "{uri}");
        }
    }

    #[test]
    fn the_three_uris_of_an_event_are_made_absolute_and_nothing_else() {
        let mut event = serde_json::json!({
            "id": "file:id",
            "data": {
                "artifact": { "uri": "file:m.onnx" },
                "evaluation": { "uri": "file:e.csv", "label": "file:label" },
                "baseline_profile": { "uri": "https://x/y" },
                "data": [{ "uri": "file:train.csv" }],
            }
        });
        resolve(&mut event, Path::new("/d"));
        assert_eq!(
            event,
            serde_json::json!({
                "id": "file:id",
                "data": {
                    "artifact": { "uri": "file:///d/m.onnx" },
                    "evaluation": { "uri": "file:///d/e.csv", "label": "file:label" },
                    "baseline_profile": { "uri": "https://x/y" },
                    "data": [{ "uri": "file:train.csv" }],
                }
            })
        );
    }
}
