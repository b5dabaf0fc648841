//! What becomes of a record: the triggers that it says, or everything that is wrong with it.
//!
//! **Invariant:** the same record, with the same workflows and users, becomes the same triggers, byte for byte: a record
//! that is read again says nothing new.

use domain::name::Subject;
use engine::message;
use engine::placement::partition_of;
use engine::request::{Said, Trigger};
use engine::workflows::Workflows;
use log_kafka::{Read, Topic, Write};
use wire::problem::{Problem, Problems, code};
use wire::record::Lane;
use wire::trained::{self, cloudevent};

/// What triggers name as their source.
const SOURCE: &[u8] = b"/modelrail/ingress";

/// The triggers of an event, at least one. `as_subject` names people as four eyes compares them.
pub(super) fn judge(
    read: &Read,
    workflows: &Workflows,
    as_subject: impl FnOnce(Subject) -> Subject,
) -> Result<Vec<Trigger>, Problems> {
    // A header that is not text is none of ours.
    let headers: Vec<(&str, &str)> = read
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), std::str::from_utf8(value).ok()?)))
        .collect();
    let event = cloudevent::parse_record(headers, read.value.as_deref())?;
    let (mut announced, warnings) = trained::read(&event)?;
    for warning in warnings {
        tracing::warn!(source = event.source, id = event.id, %warning, "an event was taken with a warning");
    }
    // Who may write to the topic is the brokers' to say, and they do not tell who wrote: there is no publisher.
    announced.trained.owner = announced.trained.owner.map(as_subject);
    let triggers = workflows.triggers(&announced)?;
    if announced.trained.owner.is_none()
        && let Some(trigger) = triggers.iter().find(|trigger| trigger.workflow.asks_four_eyes())
    {
        let workflow = &trigger.workflow.name;
        let text = format!(
            "expected `owner`, since the workflow `{workflow}` asks for four eyes, but neither it nor who published \
             is known"
        );
        return Err(Problem::new(code::MISSING, "owner", text)
            .hint("name who answers for the model, or publish by HTTP with a token")
            .into());
    }
    Ok(triggers)
}

/// The trigger as the engine reads it.
pub(super) fn to_lane(prefix: &str, partitions: u32, trigger: Trigger) -> Write {
    let run = trigger.run().to_string();
    let mut headers = vec![
        ("ce_specversion".to_owned(), b"1.0".to_vec()),
        ("ce_id".to_owned(), run.into_bytes()),
        ("ce_type".to_owned(), b"io.modelrail.trigger.v1".to_vec()),
        ("ce_source".to_owned(), SOURCE.to_vec()),
        ("content-type".to_owned(), b"application/protobuf".to_vec()),
    ];
    if let Some(trace) = &trigger.trained.traceparent {
        headers.push(("traceparent".to_owned(), trace.as_bytes().to_vec()));
    }
    Write {
        topic: Topic::Lane(Lane::Triggers).name(prefix),
        partition: Some(partition_of(&trigger.target, partitions)),
        key: trigger.target.to_string().into_bytes(),
        value: Some(message::encode_said(&Said::Trigger(Box::new(trigger)))),
        headers,
    }
}
