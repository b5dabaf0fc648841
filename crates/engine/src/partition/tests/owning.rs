//! Several processes over one log: who owns, who gives way, who waits.

use super::*;
use crate::code::Code;
use crate::port::log::Landed;
use crate::samples::trained;
use wire::record::{self, Body, Record};

/// The log, and processes that read it; a test says what lands, and who reads it when.
struct Shared {
    log: Vec<Vec<u8>>,
    processes: Vec<Process>,
}

struct Process {
    partition: Partition,
    view: Arc<memory::Embedded>,
    /// Appended and not landed.
    sent: Vec<Vec<u8>>,
    actions: Vec<Action>,
    /// Told to be committed, of a process that gathers; of others nothing.
    gathered: Option<Commit>,
    gathers: bool,
    now: u64,
}

impl Process {
    fn new(config: Config) -> Self {
        let view = Arc::new(memory::Embedded::new(1));
        let partition = Partition::open(config, Arc::clone(&view) as Arc<dyn Store>).unwrap();
        Self { partition, view, sent: vec![], actions: vec![], gathered: None, gathers: false, now: 1_000 }
    }

    fn signal(&mut self, signal: Signal) {
        for action in self.partition.step(signal) {
            match action {
                Action::Append(records) => self.sent.extend(records),
                Action::DropProducer => {
                    self.sent.clear();
                    self.actions.push(Action::DropProducer);
                }
                Action::Commit(commit) => {
                    self.gathered = Some(match self.gathered.take() {
                        Some(former) => former.followed_by(*commit),
                        None => *commit,
                    });
                    if !self.gathers {
                        self.commit();
                    }
                }
                other => self.actions.push(other),
            }
        }
    }

    /// Gives the view what was gathered.
    fn commit(&mut self) {
        let Some(mut commit) = self.gathered.take() else { return };
        self.partition.add_rows(&mut commit).unwrap();
        let seq = commit.head.seq;
        self.view.commit(&[commit]).unwrap();
        assert_eq!(self.partition.step(Signal::Committed { seq }), []);
    }

    fn tick_in(&mut self, wait: u64) {
        self.now += wait;
        let wall = START + Millis(self.now);
        self.signal(Signal::Tick(Reading { wall, monotonic: Millis(self.now) }));
    }

    fn read(&mut self, log: &[Vec<u8>]) {
        let from = self.partition.head().next_offset as usize;
        for (offset, bytes) in log.iter().enumerate().skip(from) {
            self.signal(Signal::RecordRead(Landed { offset: offset as u64, bytes: bytes.clone() }));
        }
    }

    fn role(&self) -> Role {
        self.partition.role()
    }

    fn suspended(&self) -> Vec<&'static str> {
        let code = |action: &Action| match action {
            Action::Suspend { code, .. } => Some(*code),
            Action::Resume => Some("resumed"),
            _ => None,
        };
        self.actions.iter().filter_map(code).collect()
    }

    fn say(&mut self, lane: Lane, offset: u64, said: Said) {
        let input = LaneInput { lane, offset, input_id: None, traceparent: None, said };
        self.signal(Signal::Input(Box::new(input)));
    }
}

impl Shared {
    fn new(configs: impl IntoIterator<Item = Config>) -> Self {
        Self { log: vec![], processes: configs.into_iter().map(Process::new).collect() }
    }

    fn pair() -> Self {
        let mut shared = Self::new([samples::config(1), samples::config(1)]);
        shared.processes.iter_mut().for_each(|process| process.tick_in(0));
        shared
    }

    /// What the process has sent lands, and all read it.
    fn land(&mut self, process: usize) {
        let sent = std::mem::take(&mut self.processes[process].sent);
        self.log.extend(sent);
        self.read();
    }

    fn read(&mut self) {
        for process in &mut self.processes {
            process.read(&self.log);
        }
    }

    /// Claims, and is accepted.
    fn own(&mut self, process: usize) {
        self.processes[process].signal(Signal::Assigned { nonce: [process as u8 + 1; 16] });
        for _ in 0..3 {
            self.land(process);
        }
        assert_eq!(self.processes[process].role(), Role::Owning);
    }

    fn bodies(&self) -> Vec<Body> {
        let mut known = wire::codec::Definitions::new(samples::config(1).parsers);
        let decode = |bytes: &Vec<u8>| {
            known.register(bytes).unwrap();
            record::decode(bytes, &known).unwrap().body
        };
        self.log.iter().map(decode).collect()
    }
}

#[test]
fn a_standby_reads_and_folds_and_does_not_claim_until_it_is_assigned() {
    let mut shared = Shared::pair();
    shared.own(0);
    shared.processes[0].say(Lane::Triggers, 0, trained("flights", "v1"));
    shared.processes[0].tick_in(10);
    shared.land(0);
    let [owner, standby] = &mut shared.processes[..] else { panic!() };
    standby.tick_in(600_000);
    assert_eq!((standby.role(), standby.sent.len()), (Role::Reading, 0));
    assert_eq!((standby.partition.tick_by(), standby.actions.len()), (None, 0), "nothing left it");
    assert_eq!(standby.partition.head().hash, owner.partition.head().hash);
    assert_eq!(every_run(&standby.view), every_run(&owner.view), "the same rows");
    shared.own(1);
    let sent_again = shared.processes[1].actions.iter().any(
        |action| matches!(action, Action::Dispatch { orders, .. } if orders.len() == 1 && orders[0].epoch == 5),
    );
    assert!(sent_again, "the takeover sends out what is outstanding: {:?}", shared.processes[1].actions);
    assert_eq!(shared.processes[0].role(), Role::Reading, "the former owner read the claim");
    assert_eq!(shared.processes[0].actions.last(), Some(&Action::DropProducer));
}

/// The first of two processes decided a trigger and stood still; meanwhile that landed, and the other took over and decided
/// what its worker said. Whoever stood still reads all of it at once, `prepared` for each record.
fn displaced(prepared: fn(&mut Process, &Landed)) -> Shared {
    let mut shared = Shared::pair();
    shared.own(0);
    shared.processes[0].say(Lane::Triggers, 0, trained("flights", "v1"));
    shared.processes[0].tick_in(10);
    shared.log.append(&mut shared.processes[0].sent.clone());
    shared.processes[1].read(&shared.log);
    shared.processes[1].signal(Signal::Assigned { nonce: [2; 16] });
    for _ in 0..2 {
        let sent = std::mem::take(&mut shared.processes[1].sent);
        shared.log.extend(sent);
        shared.processes[1].read(&shared.log);
    }
    let orders = shared.processes[1].actions.iter().find_map(|action| match action {
        Action::Dispatch { orders, .. } if !orders.is_empty() => Some(orders.clone()),
        _ => None,
    });
    let order = orders.unwrap().remove(0);
    let outcome = samples::answer(&order.command.order, START + Millis(2_000));
    let (attempt, answer) = (order.command.attempt, WorkerAnswer::Done(outcome));
    let report = Report { attempt, token: order.token, answer };
    shared.processes[1].say(Lane::Outcomes, 0, Said::Report(Box::new(report)));
    shared.processes[1].tick_in(10);
    shared.log.append(&mut shared.processes[1].sent.clone());
    shared.processes[1].read(&shared.log);
    let sleeper = &mut shared.processes[0];
    sleeper.gathers = true;
    let from = sleeper.partition.head().next_offset as usize;
    for (offset, bytes) in shared.log.iter().enumerate().skip(from) {
        let landed = Landed { offset: offset as u64, bytes: bytes.clone() };
        prepared(sleeper, &landed);
        sleeper.signal(Signal::RecordRead(landed));
    }
    shared
}

#[test]
fn who_steps_back_finds_in_the_view_all_that_was_accepted() {
    let mut shared = displaced(|process, landed| {
        if process.partition.steps_back_at(landed) {
            process.commit();
        }
    });
    shared.processes[0].commit();
    let [sleeper, owner] = &shared.processes[..] else { panic!() };
    assert_eq!(sleeper.partition.head().hash, owner.partition.head().hash);
    assert_eq!(every_run(&sleeper.view), every_run(&owner.view), "the same rows");

    // One that gathers on would fold what follows onto too little.
    let shared = displaced(|_, _| {});
    let stopped = shared.processes[0].actions.iter().find_map(|action| match action {
        Action::Stop(stopped) => Some(stopped.code),
        _ => None,
    });
    assert_eq!(stopped, Some(Code::StoreFailed));
    assert_eq!(shared.processes[0].role(), Role::Stopped);
}

#[test]
fn rows_that_are_put_off_are_those_of_the_last_record() {
    let mut shared = Shared::new([samples::config(1), samples::config(1)]);
    shared.processes[1].partition.put_rows_off(RowsPutOff::WhileReading);
    shared.processes[1].gathers = true;
    shared.processes.iter_mut().for_each(|process| process.tick_in(0));
    shared.own(0);
    for (offset, version) in (0..).zip(["v1", "v2", "v3"]) {
        shared.processes[0].say(Lane::Triggers, offset, trained("flights", version));
        shared.processes[0].tick_in(10);
        shared.land(0);
    }
    let standby = &mut shared.processes[1];
    assert!(standby.gathered.as_ref().is_some_and(|commit| commit.lacks_rows && commit.runs.is_empty()));
    standby.commit();
    let [owner, standby] = &mut shared.processes[..] else { panic!() };
    assert_eq!(every_run(&standby.view), every_run(&owner.view), "the same rows");
    assert_eq!(standby.view.targets().unwrap(), owner.view.targets().unwrap());
    // What it decides itself has the rows of each record: more may be under way that is not accepted.
    shared.own(1);
    shared.processes[1].commit();
    shared.processes[1].say(Lane::Triggers, 3, trained("flights", "v4"));
    shared.processes[1].tick_in(10);
    shared.land(1);
    let commit = shared.processes[1].gathered.as_ref().unwrap();
    assert!(!commit.lacks_rows && !commit.runs.is_empty());
}

#[test]
fn of_two_claims_one_is_lost_and_waits_before_the_next() {
    let mut shared = Shared::pair();
    shared.own(0);
    shared.processes[0].signal(Signal::Revoked);
    for process in 0..2 {
        shared.processes[process].signal(Signal::Assigned { nonce: [process as u8 + 7; 16] });
        assert_eq!(shared.processes[process].role(), Role::Claiming);
    }
    shared.land(1);
    let [loser, owner] = &mut shared.processes[..] else { panic!() };
    assert_eq!((loser.role(), owner.role()), (Role::Reading, Role::Owning));
    assert_eq!(loser.partition.counts().claims_lost, 1);
    let wait = loser.partition.tick_by().unwrap().0 - loser.now;
    let bounds = Bounds::default();
    assert!((bounds.claim_backoff_min.0 / 2..=bounds.claim_backoff_min.0).contains(&wait), "{wait}");
    loser.tick_in(wait - 1);
    assert_eq!(loser.sent.len(), 0, "not before its time");
    loser.tick_in(1);
    assert_eq!((loser.role(), loser.sent.len()), (Role::Claiming, 1), "it is assigned, and claims by itself");
}

#[test]
fn waits_double_and_a_minute_holds_a_bounded_number_of_claims() {
    let mut shared = Shared::pair();
    shared.own(0);
    let process = &mut shared.processes[0];
    let (mut claims, mut waits) = (vec![], vec![]);
    while process.now < 300_000 {
        process.signal(Signal::InDoubt);
        let wait = process.partition.tick_by().unwrap().0.saturating_sub(process.now);
        waits.push(wait);
        process.tick_in(wait);
        assert_eq!(process.role(), Role::Claiming, "after {wait}");
        claims.push(process.now);
    }
    let bounds = Bounds::default();
    assert!(waits[..6].windows(2).all(|pair| pair[1] > pair[0]), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= 60_000), "{waits:?}");
    for (index, at) in claims.iter().enumerate() {
        let in_minute = claims[..=index].iter().filter(|earlier| **earlier + 60_000 > *at).count();
        assert!(in_minute <= bounds.claims_per_minute_max, "{claims:?}");
    }
    let nonces: std::collections::BTreeSet<Vec<u8>> = process.sent.iter().cloned().collect();
    assert_eq!(nonces.len(), process.sent.len(), "no two claims are the same record");
}

#[test]
fn an_append_that_does_not_come_back_is_in_doubt_after_its_time() {
    let mut shared = Shared::pair();
    shared.own(0);
    let process = &mut shared.processes[0];
    process.say(Lane::Triggers, 0, trained("flights", "v1"));
    process.tick_in(5);
    let late = std::mem::take(&mut process.sent);
    let doubt = process.partition.tick_by().unwrap().0 - process.now;
    assert_eq!(Millis(doubt), Bounds::default().append_doubt);
    process.tick_in(doubt - 1);
    assert_eq!(process.role(), Role::Owning);
    process.tick_in(1);
    assert_eq!((process.role(), process.partition.counts().doubts), (Role::Reading, 1));
    assert_eq!(process.actions.last(), Some(&Action::DropProducer));
    let wait = process.partition.tick_by().unwrap().0 - process.now;
    process.tick_in(wait);
    shared.land(0);
    assert_eq!(shared.processes[0].role(), Role::Owning);
    let lanes: Vec<_> =
        shared.processes[0].actions.iter().filter(|it| matches!(it, Action::ReadLanes(_))).collect();
    assert_eq!(
        lanes,
        [&Action::ReadLanes([0; 3]), &Action::ReadLanes([0; 3])],
        "from the accepted positions"
    );
    // Once the claim is accepted, nothing sent before can ever fit.
    let before = shared.processes[1].partition.head().clone();
    shared.log.extend(late);
    shared.read();
    let after = shared.processes[1].partition.head();
    assert_eq!((after.hash, after.losers), (before.hash, 2), "the definition and the trigger are losers");
}

#[test]
fn a_copy_of_its_own_record_ends_owning_and_changes_nothing() {
    let mut shared = Shared::pair();
    shared.own(0);
    shared.processes[0].say(Lane::Triggers, 0, trained("flights", "v1"));
    shared.processes[0].tick_in(5);
    let copy = shared.processes[0].sent[1].clone();
    shared.land(0);
    let head = shared.processes[0].partition.head().clone();
    shared.log.push(copy);
    shared.read();
    for process in &shared.processes {
        let found = process.partition.head();
        assert_eq!((found.hash, found.losers, process.role()), (head.hash, 1, Role::Reading));
    }
    assert_eq!(shared.processes[0].partition.counts().displaced, 1);
}

#[test]
fn while_hindered_it_reads_on_and_neither_decides_nor_claims() {
    for hindrance in [Hindrance::DiskFull, Hindrance::LogAway] {
        let mut shared = Shared::pair();
        shared.own(0);
        let owner = &mut shared.processes[0];
        owner.signal(Signal::Hindered(hindrance));
        owner.signal(Signal::Hindered(hindrance));
        owner.say(Lane::Triggers, 0, trained("flights", "v1"));
        owner.tick_in(10);
        assert_eq!((owner.suspended(), owner.sent.len()), (vec![hindrance.code()], 0));
        let standby = &mut shared.processes[1];
        standby.signal(Signal::Hindered(hindrance));
        standby.signal(Signal::Assigned { nonce: [4; 16] });
        standby.tick_in(10);
        assert_eq!((standby.role(), standby.sent.len()), (Role::Reading, 0));
        standby.signal(Signal::Cleared(hindrance));
        standby.tick_in(10);
        assert_eq!(standby.role(), Role::Claiming, "it resumes by itself");
        shared.land(1);
        assert_eq!(shared.processes[0].role(), Role::Reading, "reads go on, and another may own");
        shared.processes[0].signal(Signal::Cleared(hindrance));
        assert_eq!(shared.processes[0].suspended(), [hindrance.code(), "resumed"]);
    }
}

#[test]
fn of_two_hindrances_the_last_to_go_resumes() {
    let mut shared = Shared::pair();
    let process = &mut shared.processes[0];
    process.signal(Signal::Hindered(Hindrance::DiskFull));
    process.signal(Signal::Hindered(Hindrance::LogAway));
    process.signal(Signal::Cleared(Hindrance::DiskFull));
    process.signal(Signal::Cleared(Hindrance::DiskFull));
    process.signal(Signal::Cleared(Hindrance::LogAway));
    assert_eq!(process.suspended(), ["DISK_FULL", "LOG_AWAY", "LOG_AWAY", "resumed"]);
}

fn knowing(known: u32, wanted: u32) -> Config {
    Config { format: Format { known, wanted }, ..samples::config(1) }
}

#[test]
fn a_format_is_raised_when_configured_and_who_is_below_it_reads_on() {
    let mut shared = Shared::new([knowing(2, 1), knowing(1, 1)]);
    shared.own(0);
    assert!(!shared.bodies().iter().any(|body| matches!(body, Body::FormatRaised { .. })), "not by itself");
    let mut shared = Shared::new([knowing(2, 2), knowing(1, 2)]);
    shared.own(0);
    assert_eq!(shared.bodies().last(), Some(&Body::FormatRaised { format: 2 }));
    assert_eq!(shared.processes[0].partition.head().format, 2);
    shared.processes[0].say(Lane::Triggers, 0, trained("flights", "v1"));
    shared.processes[0].tick_in(10);
    shared.land(0);
    let [owner, old] = &mut shared.processes[..] else { panic!() };
    assert_eq!(old.partition.head().hash, owner.partition.head().hash, "it reads on");
    old.signal(Signal::Assigned { nonce: [3; 16] });
    old.tick_in(60_000);
    assert_eq!((old.role(), old.sent.len()), (Role::Reading, 0), "and does not claim");
    assert_eq!(old.suspended(), ["FORMAT_UNKNOWN"]);
    assert!(old.partition.check_format().is_err_and(|unknown| unknown.code == Code::FormatUnknown));
    // Nor after a start.
    let mut again = Partition::open(knowing(1, 1), Arc::clone(&old.view) as Arc<dyn Store>).unwrap();
    let actions = again.step(Signal::Assigned { nonce: [5; 16] });
    assert!(matches!(&actions[..], [Action::Suspend { code: "FORMAT_UNKNOWN", .. }]), "{actions:?}");
}

#[test]
fn a_lane_that_was_created_anew_is_taken_from_its_beginning_and_the_claim_says_so() {
    let found = |topics: [&str; 3], begins_at| {
        Signal::LanesFound(topics.map(|topic| LaneFound { topic: topic.into(), begins_at }))
    };
    let mut shared = Shared::pair();
    shared.processes[0].signal(found(["r1", "o1", "t1"], 0));
    shared.own(0);
    shared.processes[0].say(Lane::Triggers, 6, trained("flights", "v1"));
    shared.processes[0].tick_in(10);
    shared.land(0);
    assert_eq!(shared.processes[1].partition.positions(), [0, 0, 7]);
    let topics = shared.processes[1].partition.head().topics;
    shared.processes[1].signal(found(["r1", "o1", "t2"], 3));
    shared.own(1);
    let Some(Body::Claimed { lanes, .. }) = shared.bodies().last().cloned() else { panic!() };
    let rebased: Vec<_> = lanes.iter().map(|lane| (lane.topic.as_str(), lane.rebased_to)).collect();
    assert_eq!(rebased, [("r1", None), ("o1", None), ("t2", Some(3))]);
    for process in &shared.processes {
        let head = process.partition.head();
        assert_eq!((head.positions, head.topics == topics), ([0, 0, 3], false));
    }
    assert!(shared.processes[1].actions.contains(&Action::ReadLanes([0, 0, 3])));
    // A claim may not move a lane whose topic is the same.
    let head = shared.processes[0].partition.head().clone();
    let mut body = Body::Claimed { nonce: [9; 16], binary: String::new(), lanes };
    let moved = record::encode(&Record { seq: head.seq + 1, prev: head.hash, body: body.clone() });
    shared.processes[0].signal(Signal::RecordRead(Landed { offset: head.next_offset, bytes: moved }));
    let stopped = shared.processes[0].actions.last();
    assert!(matches!(stopped, Some(Action::Stop(Stopped { code: Code::PositionBroken, .. }))), "{stopped:?}");
    if let Body::Claimed { lanes, .. } = &mut body {
        for lane in lanes {
            lane.rebased_to = None;
        }
    }
    let plain = record::encode(&Record { seq: head.seq + 1, prev: head.hash, body });
    shared.processes[1].signal(Signal::RecordRead(Landed { offset: head.next_offset, bytes: plain }));
    assert_eq!(shared.processes[1].partition.head().seq, head.seq + 1);
}
