//! A member of a consumer group: told what it is given and what is taken, and, where it reads, the records.
//!
//! The classic protocol, cooperative: what a member keeps it keeps through a rebalance. With the newer protocol a
//! static member that comes back within its session is refused by this version of the client.

mod closing;
mod standing;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use self::closing::Closing;
use self::standing::Standing;
use crate::client::{Health, listens};
use crate::patience::{note_passing, passes};
use crate::record::Read;
use crate::{Bell, Error, Settings, traffic};

/// How long a member may be silent until its partitions are given to others.
const SESSION_MS: u32 = 6_000;
const HEARTBEAT_MS: u32 = 1_000;
/// How long a member may do without looking here: a process that hangs is no member.
const POLL_MAX_MS: u32 = 60_000;
/// How long leaving may take, in all.
const LEAVE_MAX: Duration = Duration::from_secs(2);
/// How long the client has to say so, once nothing is assigned any more: it does not tell when it did.
const LEAVE_SENT: Duration = Duration::from_millis(100);
const LEAVE_LOOK: Duration = Duration::from_millis(10);

/// In which group, and what of.
#[derive(Debug, Clone)]
pub struct Joining {
    pub group: String,
    pub topics: Vec<String>,
    /// The same for every life of this process: one that comes back within its session finds its partitions
    /// waiting. Nothing makes it a stranger each time.
    pub instance: Option<String>,
    /// Whether records are wanted; else only who should own what.
    pub reads: bool,
    /// Asked before partitions are another's.
    pub gives: Option<Gives>,
}

/// Says of partitions that are about to be given away where whoever is given them next begins: topic, partition, offset.
/// Nobody else has them until it has answered, so it may wait a moment for what it took to be safe.
#[derive(Clone)]
pub struct Gives(pub Arc<Begins>);

type Begins = dyn Fn(&[(String, u32)]) -> Vec<(String, u32, u64)> + Send + Sync;

impl std::fmt::Debug for Gives {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gives")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Assigned(Vec<(String, u32)>),
    /// Taken away, or lost because nobody heard from this member.
    Revoked(Vec<(String, u32)>),
    Record(Box<Read>),
}

pub struct Member {
    consumer: Closing<BaseConsumer<Context>>,
    settings: Settings,
    joining: Joining,
    bell: Bell,
    joined: u32,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("joining", &self.joining).finish_non_exhaustive()
    }
}

struct Context {
    changes: Mutex<VecDeque<Event>>,
    standing: Mutex<Standing>,
    health: Health,
    reads: bool,
    gives: Option<Gives>,
}

listens!(Context);

impl Context {
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changes(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, change: Event) {
        self.changes().push_back(change);
    }
}

impl ConsumerContext for Context {
    /// What is kept here goes to the coordinator before this member joins again, on the same connection: so whoever is given
    /// the partitions next reads it. Later it would be refused, or be read too late.
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(partitions) = rebalance {
            let partitions = places(partitions);
            let kept = self.gives.as_ref().map_or_else(Vec::new, |gives| (gives.0)(&partitions));
            if consumer.assignment_lost() {
                *self.standing() = Standing::Lost;
            }
            if let Err(error) = commit(consumer, &kept) {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "offsets of what is given away were not kept: some of it comes again");
            }
            self.note(Event::Revoked(partitions));
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        if let Err(error) = result {
            let places = places(offsets);
            tracing::warn!(%error, ?places, "offsets were not kept: some of it may come again");
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                self.health.went_well();
                let mut standing = self.standing();
                *standing = standing.assigned(Instant::now());
                drop(standing);
                if !self.reads
                    && let Err(error) = consumer.pause(partitions)
                {
                    // Then it reads what nobody looks at, which is waste and no fault.
                    tracing::warn!(%error, "partitions of a membership could not be paused");
                }
                self.note(Event::Assigned(places(partitions)));
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => tracing::warn!(%error, "a rebalance failed"),
        }
    }
}

fn places(partitions: &TopicPartitionList) -> Vec<(String, u32)> {
    partitions.elements().iter().map(|it| (it.topic().to_owned(), it.partition() as u32)).collect()
}

impl Member {
    /// Joins. The bell is rung when there is something.
    pub fn join(settings: &Settings, joining: Joining, bell: &Bell) -> Result<Self, Error> {
        let consumer = client(settings, &joining, bell, Health::default())?;
        let member = Self {
            consumer: Closing::new(consumer),
            settings: settings.clone(),
            joining,
            bell: bell.clone(),
            joined: 1,
        };
        member.subscribe()?;
        Ok(member)
    }

    fn subscribe(&self) -> Result<(), Error> {
        let topics: Vec<&str> = self.joining.topics.iter().map(String::as_str).collect();
        self.consumer.subscribe(&topics).map_err(Error::client)
    }

    pub fn health(&self) -> &Health {
        &self.consumer.context().health
    }

    /// How many clients it took: another one each time the group refused what it had been.
    pub fn joined(&self) -> u32 {
        self.joined
    }

    /// What is there, waiting at most so long. To be called often: whoever does not is no member.
    pub fn next(&mut self, at_most: Duration) -> Result<Option<Event>, Error> {
        if let Some(change) = self.change() {
            return Ok(Some(change));
        }
        let failed = match self.consumer.poll(at_most).or_else(|| self.consumer.poll(Duration::ZERO)) {
            None => None,
            Some(Ok(message)) => {
                self.health().went_well();
                // What came before the record comes first, and the record may be of a partition that was just given.
                self.consumer.context().note(Event::Record(Box::new(Read::of(&message))));
                None
            }
            Some(Err(error)) if passes(&error) => {
                note_passing("a group", &error);
                None
            }
            Some(Err(error)) => Some(error),
        };
        match failed {
            None => {}
            Some(KafkaError::MessageConsumptionFatal(code)) => self.go_on(code)?,
            Some(source) => return Err(Error::Asking { what: "the group's records", source }),
        }
        Ok(self.change())
    }

    /// A client that broke is of no use any more. The group refuses a name that another process has joined under since; and
    /// that of a member whose session ran out while the group's broker was away or stood still, for what it had said before:
    /// the group holds on to the member it was. The one ends, the other joins anew, once for each loss: so of two that are
    /// taken for each other one ends.
    fn go_on(&mut self, code: RDKafkaErrorCode) -> Result<(), Error> {
        let why = self.consumer.client().fatal_error().map_or_else(|| code.to_string(), |(_, why)| why);
        if code != RDKafkaErrorCode::FencedInstanceId {
            return Err(Error::Expelled(why));
        }
        let context = self.consumer.context();
        if !context.standing().is_refused_for_its_past(Instant::now()) {
            return Err(Error::Expelled(format!(
                "another one has joined under the same `kafka.instance`, or was taken for it ({why})"
            )));
        }
        tracing::info!(group = self.joining.group, why, "a member whose session ran out joins anew");
        let fresh = client(&self.settings, &self.joining, &self.bell, context.health.clone())?;
        fresh.context().changes().append(&mut context.changes());
        // The old one is closed before the new one joins.
        self.consumer = Closing::new(fresh);
        self.joined += 1;
        self.subscribe()
    }

    fn change(&self) -> Option<Event> {
        self.consumer.context().changes().pop_front()
    }

    /// Whoever is given the partition next begins at this offset.
    pub fn commit(&self, topic: &str, partition: u32, next_offset: u64) -> Result<(), Error> {
        commit(&self.consumer, &[(topic.to_owned(), partition, next_offset)])
    }

    /// Ends, and gives its partitions to others of the group at once. Where there are none a member with a name stays one
    /// for its session: it finds its partitions again, sooner than by joining anew.
    pub fn hand_over(self) {
        if self.joining.instance.is_none() {
            // It leaves by being dropped.
            return;
        }
        if self.health().is_away() {
            return;
        }
        match self.consumer.fetch_group_list(Some(&self.joining.group), LEAVE_MAX) {
            Ok(groups) if groups.groups().iter().map(|group| group.members().len()).sum::<usize>() < 2 => {}
            Ok(_) => self.leave(),
            Err(error) => {
                tracing::info!(group = self.joining.group, %error, "whether others are in the group is not known");
            }
        }
    }

    /// A static member that is closed says nothing; one that subscribes to nothing any more leaves, once what it had is
    /// given back.
    fn leave(&self) {
        self.consumer.unsubscribe();
        let began = Instant::now();
        let mut given_at = None;
        while began.elapsed() < LEAVE_MAX && given_at.is_none_or(|at: Instant| at.elapsed() < LEAVE_SENT) {
            // What it still reads is another's.
            drop(self.consumer.poll(LEAVE_LOOK));
            let is_given = self.consumer.assignment().is_ok_and(|assigned| assigned.count() == 0);
            if is_given && given_at.is_none() {
                given_at = Some(Instant::now());
            }
        }
    }

    /// Takes no more records until [`Self::resume`].
    pub fn pause(&self) -> Result<(), Error> {
        let asking = |source| Error::Asking { what: "a pause", source };
        self.consumer.assignment().and_then(|assigned| self.consumer.pause(&assigned)).map_err(asking)
    }

    pub fn resume(&self) -> Result<(), Error> {
        let asking = |source| Error::Asking { what: "an end of the pause", source };
        self.consumer.assignment().and_then(|assigned| self.consumer.resume(&assigned)).map_err(asking)
    }
}

/// Nothing is kept for a member that lost what it had: it is another's, and the client would say it without a member's id.
fn commit(consumer: &BaseConsumer<Context>, kept: &[(String, u32, u64)]) -> Result<(), Error> {
    if kept.is_empty() || consumer.assignment_lost() {
        return Ok(());
    }
    let asking = |source| Error::Asking { what: "an offset to be kept", source };
    let mut offsets = TopicPartitionList::with_capacity(kept.len());
    for (topic, partition, next) in kept {
        offsets
            .add_partition_offset(topic, *partition as i32, Offset::Offset(*next as i64))
            .map_err(asking)?;
    }
    consumer.commit(&offsets, CommitMode::Async).map_err(asking)
}

fn client(
    settings: &Settings,
    joining: &Joining,
    bell: &Bell,
    health: Health,
) -> Result<BaseConsumer<Context>, Error> {
    let context = Context {
        changes: Mutex::default(),
        standing: Mutex::new(Standing::Fresh),
        health,
        reads: joining.reads,
        gives: joining.gives.clone(),
    };
    let mut consumer: BaseConsumer<Context> =
        config(settings, joining).create_with_context(context).map_err(Error::client)?;
    let bell = bell.clone();
    consumer.set_nonempty_callback(move || bell.ring());
    Ok(consumer)
}

fn config(settings: &Settings, joining: &Joining) -> ClientConfig {
    let mut config = settings.consumer();
    traffic::tell(&mut config);
    config.set("group.id", &joining.group);
    if let Some(instance) = &joining.instance {
        config.set("group.instance.id", instance);
    }
    config.set("group.protocol", "classic");
    config.set("partition.assignment.strategy", "cooperative-sticky");
    config.set("session.timeout.ms", SESSION_MS.to_string());
    config.set("heartbeat.interval.ms", HEARTBEAT_MS.to_string());
    config.set("max.poll.interval.ms", POLL_MAX_MS.to_string());
    // Offsets are kept when what was read is where it cannot get lost, and not before.
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    // A group that is new takes what waits.
    config.set("auto.offset.reset", "earliest");
    // A topic that is made later, and partitions that are added, are found soon: the default looks every five minutes.
    config.set("topic.metadata.refresh.interval.ms", "10000");
    config.set("isolation.level", "read_uncommitted");
    // Work waits in the topic, not in this process.
    config.set("queued.min.messages", "256");
    config
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;

    const TOPIC: &str = "topic";
    const FENCED: [RDKafkaRespErr; 1] = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID];

    /// A member with a name, which has been given all there is.
    fn named(cluster: &MockCluster<'_, rdkafka::producer::DefaultProducerContext>) -> Member {
        cluster.create_topic(TOPIC, 1, 1).unwrap();
        let settings = Settings {
            brokers: cluster.bootstrap_servers(),
            client_id: "test".into(),
            prefix: String::new(),
            security: crate::Security::default(),
        };
        let joining = Joining {
            group: "group".into(),
            topics: vec![TOPIC.into()],
            instance: Some("one".into()),
            reads: false,
            gives: None,
        };
        let mut member = Member::join(&settings, joining, &Bell::default()).unwrap();
        assert_eq!(told(&mut member).unwrap(), Event::Assigned(vec![(TOPIC.into(), 0)]));
        member
    }

    fn told(member: &mut Member) -> Result<Event, Error> {
        let until = Instant::now() + Duration::from_mins(1);
        loop {
            if let Some(event) = member.next(Duration::from_millis(20))? {
                break Ok(event);
            }
            assert!(Instant::now() < until, "nothing is told");
        }
    }

    #[test]
    fn whose_name_is_refused_while_it_is_a_member_ends() {
        let cluster = MockCluster::new(1).unwrap();
        let mut member = named(&cluster);
        cluster.request_errors(RDKafkaApiKey::Heartbeat, &FENCED);
        let error = told(&mut member).unwrap_err();
        assert!(matches!(&error, Error::Expelled(why) if why.contains("kafka.instance")), "{error:?}");
    }

    #[test]
    fn whose_name_is_refused_after_its_session_ran_out_joins_anew() {
        let cluster = MockCluster::new(1).unwrap();
        let mut member = named(&cluster);
        cluster.request_errors(RDKafkaApiKey::JoinGroup, &FENCED);
        cluster.broker_down(1).unwrap();
        assert_eq!(told(&mut member).unwrap(), Event::Revoked(vec![(TOPIC.into(), 0)]));
        cluster.broker_up(1).unwrap();
        assert_eq!(told(&mut member).unwrap(), Event::Assigned(vec![(TOPIC.into(), 0)]));
        assert_eq!(member.joined(), 2);

        // Once for each loss.
        cluster.request_errors(RDKafkaApiKey::Heartbeat, &FENCED);
        assert!(matches!(told(&mut member), Err(Error::Expelled(_))));
    }
}
