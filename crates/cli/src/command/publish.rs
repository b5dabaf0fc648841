//! Sends `ModelTrained` events from files: by HTTP to a server, or to their topic.
//!
//! **Invariant:** a relative `file:` URI means the event file's folder, so that an event can lie beside its model
//! and be published from anywhere.

use std::path::{Path, PathBuf};

use api::view::{EventAnswer, EventAnswers, RequestOutcome};
use log_kafka::{Publisher, Write, Written};
use serde::Serialize;
use serde_json::Value;
use wire::problem::Problems;
use wire::trained::{self, cloudevent};

use super::{dead_letters, watch};
use crate::argv::{Global, PublishArguments, RunName, WatchArguments};
use crate::client::Client;
use crate::config;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Table, say};

/// How this process names itself to the brokers.
const CLIENT_ID: &str = "modelrail-publish";
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

#[derive(Debug, Serialize)]
struct Landed {
    event: String,
    topic: String,
    partition: u32,
    offset: u64,
}

/// Writes events to their topic, whole in the record's value, and waits until they are there. Each was read as the
/// ingress reads it before the first is written.
pub(super) fn to_topic(global: &Global, publish: &PublishArguments, output: Output) -> Result<Exit, Failure> {
    let (config, _) = config::load(global.config.as_deref(), global.data.as_deref())
        .map_err(|error| Failure::of_config(&error))?;
    if config.kafka.is_embedded() {
        return Err(Failure::usage("NO_BROKERS", "expected brokers to write to, but none are named")
            .field("kafka.brokers")
            .hint("without --kafka events go to the server by HTTP"));
    }
    let settings = config.kafka.settings(CLIENT_ID).map_err(|error| Failure::of_config(&error))?;
    let mut writes = vec![];
    for file in &publish.files {
        let events = match read(file)? {
            Value::Array(events) => events,
            one => vec![one],
        };
        for event in events {
            writes.push(as_record(&event, &config.kafka.model_trained).map_err(|problems| {
                say(&format!("{} cannot be used; nothing was written", file.display()));
                Failure::usage("EVENT_FILE", problems.to_string()).field("FILE")
            })?);
        }
    }
    let publisher = Publisher::open(&settings).map_err(|error| dead_letters::failure(&error))?;
    let mut landed = vec![];
    for (event, write) in writes {
        match publisher.publish_and_wait(&write) {
            Ok(Written { partition, offset }) => {
                landed.push(Landed { event, topic: write.topic, partition, offset });
            }
            Err(error) => {
                // What is there is told, so that nobody sends it blindly again.
                where_landed(&landed, output)?;
                return Err(dead_letters::failure(&error));
            }
        }
    }
    where_landed(&landed, output)?;
    Ok(Exit::Good)
}

/// In structured mode, keyed by what it is about, so that versions of a model stay in their order.
fn as_record(event: &Value, topic: &str) -> Result<(String, Write), Problems> {
    let bytes = serde_json::to_vec(event).expect("a JSON value can be written");
    let parsed = cloudevent::parse_structured(&bytes)?;
    let (announced, warnings) = trained::read(&parsed)?;
    for warning in warnings {
        say(&format!("warning: {warning}"));
    }
    let write = Write {
        topic: topic.to_owned(),
        partition: None,
        key: announced.trained.model.as_str().as_bytes().to_vec(),
        value: Some(bytes),
        headers: vec![("content-type".to_owned(), cloudevent::STRUCTURED.as_bytes().to_vec())],
    };
    Ok((parsed.id, write))
}

fn where_landed(landed: &[Landed], output: Output) -> Result<(), Failure> {
    output.list(landed, |landed| {
        let mut table = Table::new(&["EVENT", "TOPIC", "PARTITION", "OFFSET"]);
        for one in landed {
            table.row([
                one.event.clone(),
                one.topic.clone(),
                one.partition.to_string(),
                one.offset.to_string(),
            ]);
        }
        table.render()
    })
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
