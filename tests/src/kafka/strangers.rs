//! Guards of the log, each for itself: a record that does not follow is nobody's, whoever wrote it, and an engine that
//! stood still in the middle of a decision does not bring it about any more.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use domain::name::Digest;
use engine::port::log::{Append, Log as _};
use log_kafka::{KafkaLog, Settings};
use wire::record::{self, Body, NO_PREV, Record};

use super::cluster::shared;
use super::engines::{OWNS, all_are_there_once, publish};
use super::fleet::{Fleet, PARTITIONS};
use crate::process::asking::Client;

/// The passings before are an engine's claims, the records that create the log, and the roles.
const DECIDED: &str = "K3:12";
const RECORDS_AT_ONCE: usize = 1_000;

/// The log as its bytes alone say: read here by the rule, without the engine.
pub(super) struct Chain {
    /// One for each partition, which goes on where it was.
    logs: Vec<KafkaLog>,
    /// The last record that follows, by partition: seq and hash; and where to read on.
    last: Vec<(u64, Digest, u64)>,
    /// Of those that follow.
    hashes: BTreeSet<String>,
    pub(super) losers: usize,
}

impl Chain {
    pub(super) fn of(settings: &Settings) -> Self {
        let open = |_| KafkaLog::open(settings, PARTITIONS).unwrap();
        let logs = (0..PARTITIONS).map(open).collect();
        let last = vec![(0, NO_PREV, 0); PARTITIONS as usize];
        let mut chain = Self { logs, last, hashes: BTreeSet::new(), losers: 0 };
        chain.read_on();
        chain
    }

    fn read_on(&mut self) {
        for (partition, (log, last)) in (0..).zip(self.logs.iter().zip(&mut self.last)) {
            loop {
                let landed = log.read(partition, last.2, RECORDS_AT_ONCE).unwrap();
                if landed.is_empty() {
                    break;
                }
                for landed in landed {
                    let (peek, hash) = (record::peek(&landed.bytes).unwrap(), record::hash(&landed.bytes));
                    last.2 = landed.offset + 1;
                    if peek.prev == last.1 {
                        assert_eq!(peek.seq, last.0 + 1, "partition {partition}, offset {}", landed.offset);
                        (last.0, last.1) = (peek.seq, hash);
                        self.hashes.insert(hash.to_string());
                    } else {
                        self.losers += 1;
                    }
                }
            }
        }
    }

    /// Everything that is shown of the runs stands in records that follow; gives how many.
    pub(super) fn holds(&self, client: &Client) -> usize {
        let transitions = client.runs().into_iter().flat_map(|line| client.transitions(&line.run));
        let shown: BTreeSet<String> = transitions.map(|transition| transition.hash).collect();
        let strange: Vec<_> = shown.difference(&self.hashes).collect();
        assert!(strange.is_empty(), "shown, and not in the log: {strange:?}");
        shown.len()
    }

    /// Writes a record to each partition that has the next number, and follows another one.
    fn disturb(&mut self) {
        self.read_on();
        for (partition, (log, last)) in (0..).zip(self.logs.iter().zip(&self.last)) {
            let body = Body::Claimed { nonce: [7; 16], binary: "a stranger".to_owned(), lanes: vec![] };
            let bytes = record::encode(&Record { seq: last.0 + 1, prev: Digest::of(b"another"), body });
            log.append(&[Append { partition, records: vec![bytes] }]).unwrap();
        }
    }
}

#[test]
fn a_record_that_does_not_follow_is_nobodys() {
    let mut fleet = Fleet::over(shared());
    fleet.start("one");
    fleet.hears("one", OWNS, PARTITIONS as usize);
    let client = fleet.client();
    let mut answers = publish(&client, 0, 5);
    // Nothing is said: the strangers have the numbers that come next. Whoever reads one claims anew.
    let mut chain = Chain::of(&fleet.settings);
    chain.disturb();
    fleet.hears("one", OWNS, 2 * PARTITIONS as usize);
    // While there is something on its way, it is lost with the claim, and read again from the lanes.
    answers.extend(thread::scope(|scope| {
        let publishing = scope.spawn(|| publish(&client, 5, 45));
        chain.disturb();
        chain.disturb();
        publishing.join().unwrap()
    }));
    all_are_there_once(&client, &answers);
    chain.read_on();
    assert!(chain.losers >= 3 * PARTITIONS as usize, "{} lost", chain.losers);
    assert!(chain.holds(&client) > 0);
}

/// A stranger has the number of what this engine has decided and not written. What it takes for its own stands in its
/// mirror, whose records are held against each other.
#[test]
fn a_record_is_not_an_engines_own_by_its_number() {
    let mut fleet = Fleet::over(shared());
    let client = fleet.client();
    fleet.start_with("one", &[("MODELRAIL_PAUSE_AT", "K3:20".to_owned())]);
    fleet.hears("one", OWNS, PARTITIONS as usize);
    // Whatever takes a client time at first is over when it matters.
    let mut chain = Chain::of(&fleet.settings);
    chain.disturb();
    fleet.hears("one", OWNS, 2 * PARTITIONS as usize);
    let answers = thread::scope(|scope| {
        let publishing = scope.spawn(|| publish(&client, 0, 20));
        fleet.hears("one", "stands still", 1);
        // It is back before its session is over.
        chain.disturb();
        fleet.signal("one", "CONT");
        publishing.join().unwrap()
    });
    all_are_there_once(&client, &answers);
    fleet.stop("one");
    fleet.start_as("api", "one");
    let other = fleet.client_of("one");
    all_are_there_once(&other, &answers);
    Chain::of(&fleet.settings).holds(&other);
}

/// How long it is waited for what a zombie writes.
const WRITTEN_WITHIN: Duration = Duration::from_secs(10);

/// It has decided, and another owns the partition before it writes.
#[test]
fn what_an_engine_decided_before_it_stood_still_is_not_taken() {
    let mut fleet = Fleet::over(shared());
    let client = fleet.client();
    fleet.start_with("one", &[("MODELRAIL_PAUSE_AT", DECIDED.to_owned())]);
    fleet.hears("one", OWNS, PARTITIONS as usize);
    fleet.start("two");
    let answers = thread::scope(|scope| {
        let publishing = scope.spawn(|| publish(&client, 0, 60));
        fleet.hears("one", "stands still", 1);
        // The other decides what it was about to.
        let answers = publishing.join().unwrap();
        fleet.signal("one", "CONT");
        answers
    });
    fleet.hears("one", "a partition is taken from this engine", 1);
    // Mostly it writes what it had decided. It does not when it hears first that it owns nothing any more, nor when nobody
    // missed what it decided and it was back in time.
    let began = Instant::now();
    while Chain::of(&fleet.settings).losers == 0 && began.elapsed() < WRITTEN_WITHIN {
        thread::sleep(Duration::from_millis(50));
    }
    println!("{} records are losers", Chain::of(&fleet.settings).losers);
    all_are_there_once(&client, &answers);
    Chain::of(&fleet.settings).holds(&client);
    // What it has itself is the same.
    fleet.stop("one");
    fleet.start_as("api", "one");
    let other = fleet.client_of("one");
    all_are_there_once(&other, &answers);
    Chain::of(&fleet.settings).holds(&other);
}
