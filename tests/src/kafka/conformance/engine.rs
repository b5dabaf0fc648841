//! The engine as a worker sees it: orders and cancels that are written to topics, outcomes and signs of life that are read
//! from them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use domain::model::Release;
use domain::name::{AttemptId, Digest, RunId, StageName, StreamId, TargetId, Version};
use domain::time::{Millis, Timestamp};
use domain::work::{Command, Notify, Order, Outcome};
use domain::workflow::{GateWith, StageKind};
use engine::desk::Heartbeat;
use engine::message;
use engine::partition::WorkOrder;
use engine::placement::partition_of;
use engine::request::{Report, Said, WorkerAnswer};
use engine::token::Token;
use log_kafka::topics::{self, Wanted};
use log_kafka::{Begin, Bell, Followed, Follower, Publisher, Settings, Topic, Write};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use wire::record::Lane;

use super::subject::Worker;
use crate::kafka::cluster::shared;
use crate::kafka::fleet::PATIENCE;
use crate::kafka::nodes::settings;

/// How long a look waits for a record.
const LOOK: Duration = Duration::from_millis(20);
const LEASE: Millis = Millis::seconds(30);

pub(super) struct Engine {
    pub(super) settings: Settings,
    wanted: Wanted,
    publisher: Publisher,
    outcomes: Follower,
    heartbeats: Follower,
    /// By attempt.
    sent: BTreeMap<String, WorkOrder>,
    issued: u32,
    pub(super) heard: Heard,
    /// How long something may take.
    pub(super) patience: Duration,
}

/// What workers said.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) answers: Vec<Told>,
    pub(super) beats: Vec<Heartbeat>,
}

/// An answer, and who gave it.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) report: Report,
    pub(super) source: String,
}

impl Heard {
    pub(super) fn of(&self, order: &WorkOrder) -> impl Iterator<Item = &WorkerAnswer> {
        let attempt = order.command.attempt.clone();
        let all = self.answers.iter().map(|told| &told.report);
        all.filter(move |report| report.attempt == attempt).map(|report| &report.answer)
    }

    pub(super) fn beats(&self, order: &WorkOrder) -> impl Iterator<Item = &Heartbeat> {
        let attempt = order.command.attempt.clone();
        self.beats.iter().filter(move |beat| beat.attempt == attempt)
    }

    pub(super) fn is_done(&self, order: &WorkOrder) -> bool {
        self.of(order).any(is_notified)
    }

    pub(super) fn is_declined(&self, order: &WorkOrder) -> bool {
        self.of(order).any(|answer| matches!(answer, WorkerAnswer::Declined(_)))
    }
}

fn is_notified(answer: &WorkerAnswer) -> bool {
    matches!(answer, WorkerAnswer::Done(Outcome::Notified { .. }))
}

impl Engine {
    /// With topics that no other test has.
    pub(super) fn over(wanted: Wanted) -> Self {
        let settings = settings(shared());
        topics::create(&settings, &wanted).unwrap();
        let follow = |topic: Topic| {
            let topic = topic.name(&settings.prefix);
            Follower::open(&settings, &topic, &Begin::Beginning, &Bell::default(), PATIENCE).unwrap()
        };
        Self {
            wanted,
            publisher: Publisher::open(&settings).unwrap(),
            outcomes: follow(Topic::Lane(Lane::Outcomes)),
            heartbeats: follow(Topic::Heartbeats),
            settings,
            sent: BTreeMap::new(),
            issued: 0,
            heard: Heard::default(),
            patience: PATIENCE,
        }
    }

    /// Something new to be done, which nobody was told of yet.
    pub(super) fn order(&mut self) -> WorkOrder {
        self.issued += 1;
        let number = self.issued;
        let target = TargetId::parse(&format!("flights-{}@production", number % 7)).unwrap();
        let run = RunId::derive("/conformance", &number.to_string(), &target);
        let release =
            Release { version: Version::parse("v1").unwrap(), bundle: Digest::of(b"bundle"), run: Some(run) };
        let with =
            GateWith { require: vec![], approvals: vec![], four_eyes: false, expires: Millis::minutes(10) };
        let notify = Notify {
            run,
            stage: StageName::parse("release-board").unwrap(),
            release,
            with,
            evidence: Digest::of(b"evidence"),
            expires_at: Timestamp(2_000_000_000_000),
        };
        let command = Command {
            attempt: AttemptId { owner: StreamId::Run(run), number: 1 },
            target,
            effect_key: Digest::of(&number.to_be_bytes()),
            order: Order::Notify(notify),
            issued_at: Timestamp(1_700_000_000_000),
            lease: LEASE,
            traceparent: None,
        };
        let token = Token(Digest::of(format!("token {number}").as_bytes()).0);
        WorkOrder { command, token, epoch: 3 }
    }

    /// The next attempt at the same thing.
    pub(super) fn next(order: &WorkOrder) -> WorkOrder {
        let mut next = order.clone();
        next.command.attempt.number += 1;
        next.token = Token(Digest::of(&order.token.0).0);
        next
    }

    pub(super) fn send(&mut self, order: &WorkOrder) {
        self.send_to(None, order, message::encode_order(order));
    }

    /// Several that stand behind one another in one partition.
    pub(super) fn send_in_line<'a>(&mut self, orders: impl IntoIterator<Item = &'a WorkOrder>) {
        orders.into_iter().for_each(|order| self.send_to(Some(0), order, message::encode_order(order)));
    }

    /// Into a partition of the stage's commands.
    pub(super) fn send_at(&mut self, partition: u32, order: &WorkOrder) {
        self.send_to(Some(partition), order, message::encode_order(order));
    }

    /// These bytes in the place of the order's.
    pub(super) fn send_as(&mut self, order: &WorkOrder, bytes: Vec<u8>) {
        self.send_to(Some(0), order, bytes);
    }

    fn send_to(&mut self, partition: Option<u32>, order: &WorkOrder, bytes: Vec<u8>) {
        let attempt = order.command.attempt.to_string();
        let headers = [
            ("ce_specversion", "1.0"),
            ("ce_id", &attempt),
            ("ce_type", "io.modelrail.command.v1"),
            ("ce_source", "/modelrail/engine"),
            ("content-type", "application/protobuf"),
        ];
        self.write(Write {
            topic: Topic::Commands(StageKind::Gate).name(&self.settings.prefix),
            partition,
            key: attempt.clone().into_bytes(),
            value: Some(bytes),
            headers: headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).into(),
        });
        self.sent.insert(attempt, order.clone());
    }

    pub(super) fn cancel(&self, order: &WorkOrder) {
        let attempt = &order.command.attempt;
        self.write(Write {
            topic: Topic::Cancels.name(&self.settings.prefix),
            key: attempt.to_string().into_bytes(),
            value: Some(message::encode_cancel(attempt)),
            ..Write::default()
        });
    }

    fn write(&self, write: Write) {
        self.publisher.publish_and_wait(&write).unwrap();
    }

    /// Waits until what was heard is as it should be.
    pub(super) fn until(&mut self, worker: &mut Worker, what: &str, is: impl Fn(&Heard) -> bool) {
        let began = Instant::now();
        while !is(&self.heard) {
            assert!(!worker.has_ended(), "{what}: the worker ended by itself: {}", worker.said());
            assert!(
                began.elapsed() < self.patience,
                "{what}: not heard within {:?}: {:#?}\n{}",
                self.patience,
                self.heard,
                worker.said()
            );
            self.listen();
        }
    }

    /// Takes what came, which is as the protocol says or ends the test.
    pub(super) fn listen(&mut self) {
        while let Some(followed) = self.heartbeats.next(Duration::ZERO).unwrap() {
            let Followed::Record(read) = followed else { continue };
            let beat = message::decode_heartbeat(&read.value.unwrap()).unwrap();
            assert_eq!(read.key.unwrap(), beat.attempt.to_string().as_bytes());
            self.heard.beats.push(beat);
        }
        while let Some(followed) = self.outcomes.next(LOOK).unwrap() {
            let Followed::Record(read) = followed else { continue };
            let said = message::decode_said(read.value.as_deref().unwrap(), &wire::definitions::parsers());
            let Ok(Said::Report(report)) = said else { panic!("expected a report, but found {said:?}") };
            let attempt = report.attempt.to_string();
            let Some(order) = self.sent.get(&attempt) else { panic!("nobody sent {attempt}") };
            assert_eq!(report.token.0, order.token.0, "{attempt}: the token is that of the order");
            let Command { target, .. } = &order.command;
            assert_eq!(
                (read.partition, read.key.as_deref()),
                (partition_of(target, self.wanted.partitions), Some(target.to_string().as_bytes())),
                "{attempt}: an outcome is where its target is decided"
            );
            for (name, value) in [
                ("ce_specversion", "1.0"),
                ("ce_id", &attempt),
                ("ce_type", "io.modelrail.outcome.v1"),
                ("content-type", "application/protobuf"),
            ] {
                assert_eq!(read.header(name), Some(value), "{attempt}: {name}");
            }
            let source = read.header("ce_source").expect("an outcome says who gave it").to_owned();
            self.heard.answers.push(Told { report: *report, source });
        }
    }

    /// Whether whoever is given the commands' partitions next has nothing to take.
    pub(super) fn is_all_committed(&self) -> bool {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.settings.brokers);
        config.set("group.id", format!("{}gate", self.settings.prefix));
        let consumer: BaseConsumer = config.create().unwrap();
        let topic = Topic::Commands(StageKind::Gate).name(&self.settings.prefix);
        (0..self.wanted.command_partitions).all(|partition| {
            let partition = partition as i32;
            let (_, end) = consumer.fetch_watermarks(&topic, partition, PATIENCE).unwrap();
            let mut asked = TopicPartitionList::new();
            asked.add_partition(&topic, partition);
            let kept = consumer.committed_offsets(asked, PATIENCE).unwrap();
            end == 0 || kept.find_partition(&topic, partition).unwrap().offset() == Offset::Offset(end)
        })
    }
}
