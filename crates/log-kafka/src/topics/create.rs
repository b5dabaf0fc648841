//! Makes the topics that are missing. What is there is left as it is.

use std::time::{Duration, Instant};

use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;

use super::asked::{Found, State, admin, ask, options, patient, wait};
use super::shape::shape;
use super::{Error, Wanted};
use crate::{Settings, Topic};

/// How long brokers may take to make all topics: hundreds of partitions, each with its files.
const CREATED_WITHIN: Duration = Duration::from_mins(1);
/// How long each time of asking for it may take, as with all questions to the controller.
const TIMES: [Duration; 3] = [Duration::from_secs(10), Duration::from_secs(20), CREATED_WITHIN];

/// What became of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub topic: Topic,
    pub name: String,
    /// How many it has, or would have got.
    pub partitions: u32,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Created,
    /// It was there: `check` says whether it is as it should be.
    Kept,
    Refused {
        why: String,
        hint: Option<&'static str>,
    },
}

/// Makes what is missing, and waits until the brokers know it.
pub fn create(settings: &Settings, wanted: &Wanted) -> Result<Vec<Made>, Error> {
    patient(&TIMES, |within| create_once(settings, wanted, within))
}

fn create_once(settings: &Settings, wanted: &Wanted, within: Duration) -> Result<Vec<Made>, Error> {
    let found = ask(settings)?;
    let mut made = vec![];
    let mut missing = vec![];
    for (topic, state) in found.topics {
        let (name, shape) = (topic.name(&settings.prefix), shape(topic, wanted));
        let kept = |partitions, outcome| Made { topic, name: name.clone(), partitions, outcome };
        match state {
            State::There(there) => made.push(kept(there.partitions, Outcome::Kept)),
            State::NotEntitled => {
                made.push(kept(shape.partitions, refused(RDKafkaErrorCode::TopicAuthorizationFailed)));
            }
            State::Missing => missing.push((topic, name, shape, shape.settings())),
        }
    }
    if !missing.is_empty() {
        let new: Vec<NewTopic<'_>> = missing
            .iter()
            .map(|(_, name, shape, settings)| {
                let replicas = TopicReplication::Fixed(shape.replicas as i32);
                let new = NewTopic::new(name, shape.partitions as i32, replicas);
                settings.iter().fold(new, |new, (key, value)| new.set(key, value))
            })
            .collect();
        let what = "create topics";
        let answered = wait(admin(settings)?.create_topics(&new, &options(within)), within)
            .ok_or_else(|| Error::unanswered(what))?
            .map_err(|error| Error::of_admin(what, &error))?;
        for (topic, name, shape, _) in &missing {
            let said = answered.iter().find_map(|result| match result {
                Ok(known) if known == name => Some(Outcome::Created),
                // Somebody else was faster.
                Err((known, RDKafkaErrorCode::TopicAlreadyExists)) if known == name => Some(Outcome::Kept),
                Err((known, code)) if known == name => Some(refused(*code)),
                Ok(_) | Err(_) => None,
            });
            let outcome =
                said.unwrap_or_else(|| Outcome::Refused { why: "no answer for it".into(), hint: None });
            made.push(Made { topic: *topic, name: name.clone(), partitions: shape.partitions, outcome });
        }
        let found = known_everywhere(settings, &made)?;
        for made in &mut made {
            // Whoever was faster may have chosen another count.
            made.partitions = found.partitions(made.topic).unwrap_or(made.partitions);
        }
    }
    made.sort_by_key(|made| made.topic);
    Ok(made)
}

fn refused(code: RDKafkaErrorCode) -> Outcome {
    let hint = match code {
        RDKafkaErrorCode::InvalidReplicationFactor => Some(
            "three copies need three brokers; `kafka.durability = \"single-broker\"` says that one is enough here",
        ),
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            Some("`kafka.user` needs CREATE and DESCRIBE on these topics")
        }
        _ => None,
    };
    Outcome::Refused { why: code.to_string(), hint }
}

/// A broker that is asked right after the creation may not know it yet.
fn known_everywhere(settings: &Settings, made: &[Made]) -> Result<Found, Error> {
    let began = Instant::now();
    loop {
        let found = match ask(settings) {
            // One of the topics has no leader yet.
            Err(Error::Refused { .. } | Error::Unanswered { .. }) if began.elapsed() <= CREATED_WITHIN => {
                continue;
            }
            other => other?,
        };
        let is_known = |made: &&Made| match made.outcome {
            Outcome::Created => found.partitions(made.topic) == Some(made.partitions),
            Outcome::Kept => found.there(made.topic).is_some(),
            Outcome::Refused { .. } => true,
        };
        match made.iter().find(|made| !is_known(made)) {
            None => return Ok(found),
            Some(made) if began.elapsed() > CREATED_WITHIN => {
                let why = format!("the brokers do not show {} after {CREATED_WITHIN:?}", made.name);
                return Err(Error::Refused { what: "create topics", why });
            }
            Some(_) => {}
        }
    }
}
