//! What the brokers say of the topics: counts and copies, ids, settings.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer as _;

use super::described::{Described, describe};
use super::{Error, Known};
use crate::reach::{Reached, reach};
use crate::{NotReached, Settings, Topic};

/// How long brokers may take to answer a question about topics.
pub(super) const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// How long each time of asking may take. The client library asks the broker that the others name as the controller,
/// and asks no other when that one is gone; they name it until its session is over, 9 s by Kafka's default.
const TIMES: [Duration; 3] = [Duration::from_millis(2_500), Duration::from_secs(5), ANSWERED_WITHIN];
/// Beyond the deadline that the client library keeps itself: it has answered by then.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(5);

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// A cluster that was made anew has another one.
    pub cluster: String,
    pub brokers: usize,
    pub topics: BTreeMap<Topic, State>,
}

impl Found {
    /// How many partitions a topic has, if it is there.
    pub fn partitions(&self, topic: Topic) -> Option<u32> {
        self.there(topic).map(|there| there.partitions)
    }

    /// The topic ids of all that is there.
    pub fn ids(&self) -> Known {
        let ids = self.topics.keys().filter_map(|topic| Some((*topic, self.there(*topic)?.id.clone())));
        ids.collect()
    }

    pub fn there(&self, topic: Topic) -> Option<&There> {
        match self.topics.get(&topic)? {
            State::There(there) => Some(there),
            State::Missing | State::NotEntitled => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Missing,
    /// We may not know whether it is there.
    NotEntitled,
    There(There),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct There {
    pub id: String,
    pub partitions: u32,
    /// Of the partition that has the fewest.
    pub replicas: u32,
    /// Its settings in force; empty where we may not read them.
    pub settings: BTreeMap<String, String>,
}

/// What the brokers say of all topics.
pub(super) fn ask(settings: &Settings) -> Result<Found, Error> {
    patient(&TIMES, |within| ask_once(settings, within))
}

/// Asks again, with a new client each time, for what the brokers do not answer for the moment.
pub(super) fn patient<T>(times: &[Duration], ask: impl Fn(Duration) -> Result<T, Error>) -> Result<T, Error> {
    let (last, before) = times.split_last().expect("it is asked at least once");
    for within in before {
        match ask(*within) {
            Err(Error::Unanswered { what, why }) => {
                tracing::debug!(what, why, "Kafka does not answer for a moment");
            }
            answered => return answered,
        }
    }
    ask(*last)
}

fn ask_once(settings: &Settings, within: Duration) -> Result<Found, Error> {
    let Reached { client, metadata } = reach(settings)?;
    let names: BTreeMap<Topic, String> =
        Topic::all().into_iter().map(|topic| (topic, topic.name(&settings.prefix))).collect();
    let all: Vec<&str> = names.values().map(String::as_str).collect();
    let cluster = client.client().fetch_cluster_id(within);
    let cluster = cluster.ok_or_else(|| Error::unanswered("ask for the cluster's id"))?;
    let mut described = describe(client.client().native_client(), &all, within)
        .map_err(|code| Error::of("ask for the topics", code, code.to_string()))?;
    let there: Vec<&str> =
        all.iter().copied().filter(|name| matches!(described.get(*name), Some(Ok(_)))).collect();
    let mut configured =
        if there.is_empty() { BTreeMap::new() } else { configured(settings, &there, within)? };
    let mut topics = BTreeMap::new();
    for (topic, name) in &names {
        let state = match described.remove(name.as_str()) {
            Some(Ok(Described { id, partitions, replicas })) => {
                let settings = configured.remove(name.as_str()).unwrap_or_default();
                State::There(There { id, partitions, replicas, settings })
            }
            None | Some(Err(RDKafkaErrorCode::UnknownTopicOrPartition)) => State::Missing,
            Some(Err(RDKafkaErrorCode::TopicAuthorizationFailed)) => State::NotEntitled,
            Some(Err(code)) => {
                return Err(Error::of("ask for a topic", code, format!("{name}: {code}")));
            }
        };
        topics.insert(*topic, state);
    }
    Ok(Found { cluster, brokers: metadata.brokers().len(), topics })
}

fn configured(
    settings: &Settings,
    names: &[&str],
    within: Duration,
) -> Result<BTreeMap<String, BTreeMap<String, String>>, Error> {
    let admin = admin(settings)?;
    let asked: Vec<ResourceSpecifier<'_>> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let what = "ask for the topics' settings";
    let answered = wait(admin.describe_configs(&asked, &options(within)), within)
        .ok_or_else(|| Error::unanswered(what))?
        .map_err(|error| Error::of_admin(what, &error))?;
    let mut configured = BTreeMap::new();
    for resource in answered.into_iter().flatten() {
        let OwnedResourceSpecifier::Topic(name) = resource.specifier else { continue };
        let entries = resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?)));
        configured.insert(name, entries.collect());
    }
    Ok(configured)
}

pub(super) fn admin(settings: &Settings) -> Result<AdminClient<DefaultClientContext>, NotReached> {
    settings.client().create().map_err(|error: KafkaError| NotReached::of_creation(settings, &error))
}

pub(super) fn options(within: Duration) -> AdminOptions {
    AdminOptions::new().request_timeout(Some(within)).operation_timeout(Some(within))
}

/// Waits for an answer of the admin client, which a thread of its own makes and which comes `within` that time; none if
/// it does not come at all.
pub(super) fn wait<F: Future>(answer: F, within: Duration) -> Option<F::Output> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut answer = pin!(answer);
    let until = Instant::now() + within + GIVEN_UP_AFTER;
    loop {
        if let Poll::Ready(output) = answer.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        std::thread::park_timeout(until.checked_duration_since(Instant::now())?);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn what_is_not_answered_for_the_moment_is_asked_again_with_more_time_and_what_is_refused_is_told() {
        let refused = || Error::Refused { what: "ask", why: "no".into() };
        for (answers, times) in [
            (vec![Ok(())], 1),
            (vec![Err(Error::unanswered("ask")), Ok(())], 2),
            (vec![Err(Error::unanswered("ask")), Err(refused())], 2),
            (vec![Err(refused())], 1),
            (vec![Err(Error::unanswered("ask")); 3], 3),
        ] {
            let last = answers.last().expect("one at least").clone();
            let (left, asked) = (RefCell::new(answers.into_iter()), RefCell::new(vec![]));
            let answered = patient(&TIMES, |within| {
                asked.borrow_mut().push(within);
                left.borrow_mut().next().expect("it is not asked more often")
            });
            assert_eq!(answered, last);
            assert_eq!(*asked.borrow(), TIMES[..times]);
        }
    }
}
