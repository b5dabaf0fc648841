//! The demo's workload while somebody does harm: lanes deliver versions one after the other and vote where they are
//! asked, callers ask the targets, and all that was answered goes into a ledger.
//!
//! **Invariant:** when the harm is over every run is followed to its end, so that a stuck one is seen.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::view::EventAnswer;
use serde_json::Value;

use super::asking::{Client, Current, Person, asked};
use super::callers::{Asked, Seen, call};
use super::ledger::{Ledger, Published};
use super::place::{Place, Server, event};

/// Deliveries side by side, each of three versions of a model of its own.
const LANES: usize = 2;
/// How long a run may stand still, harm included: what is broken meanwhile may take long to come back where many tests share
/// a machine.
const RUN_MAX: Duration = Duration::from_mins(2);

/// How a lane publishes an event, until it is taken: by the number of the lane.
pub(crate) type Publish<'a> = &'a (dyn Fn(&Client, usize, &Value) -> EventAnswer + Sync);

/// What the lanes share with whoever does harm.
pub(crate) struct Shared {
    pub(crate) current: Current,
    client: Client,
    people: Vec<Person>,
    ledger: Mutex<Ledger>,
    /// How many lanes have a run under way now.
    under_way: AtomicUsize,
    calm: AtomicBool,
}

/// What the workload was told.
pub(crate) struct Told {
    pub(crate) client: Client,
    pub(crate) ledger: Ledger,
    pub(crate) seen: Seen,
}

impl Shared {
    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.load(Relaxed) > 0
    }

    /// Callers and lanes ask this server from now on, if it listens.
    pub(crate) fn look(&self, server: &Server) {
        if let Some(addresses) = server.addresses() {
            *self.current.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
        }
    }
}

/// Runs the workload on a server of the place while `harm` goes on; gives what harm gave, with the server that it
/// left alive.
pub(crate) fn during<T: Send>(
    place: &Place,
    harm: impl FnOnce(Server, &Shared) -> (T, Server) + Send,
) -> (T, Server, Told) {
    let mut server = place.serve();
    let current: Current = Arc::new(Mutex::new(server.listening(place)));
    let client = Client::new(Arc::clone(&current), &place.data());
    let ((harmed, server), told) = under(LANES, &twice, current, client, |shared| {
        let (harmed, mut server) = harm(server, shared);
        server.listening(place);
        shared.look(&server);
        (harmed, server)
    });
    (harmed, server, told)
}

/// Over HTTP, and again.
fn twice(client: &Client, _: usize, event: &Value) -> EventAnswer {
    let answer = client.publish(event).unwrap();
    let again = client.publish(event).unwrap();
    assert_eq!((&answer.run, true), (&again.run, again.repeated), "the same event again");
    answer
}

/// Runs the workload in so many lanes while `harm` goes on; gives what harm gave.
pub(crate) fn under<T>(
    lanes: usize,
    publish: Publish<'_>,
    current: Current,
    client: Client,
    harm: impl FnOnce(&Shared) -> T,
) -> (T, Told) {
    let people = vec![client.add("ada", &["ml"]), client.add("bea", &["business"])];
    let shared = Shared {
        current,
        client,
        people,
        ledger: Mutex::default(),
        under_way: AtomicUsize::new(0),
        calm: AtomicBool::new(false),
    };
    let (stop, seen) = (AtomicBool::new(false), Mutex::new(Seen::default()));
    let asked: Vec<Asked> = (0..lanes).map(|_| Asked::default()).collect();
    let harmed = std::thread::scope(|scope| {
        // Callers end with the lanes, also when one of these panics.
        let _ends = Ends(&stop, &shared.calm);
        for asked in &asked {
            let (current, stop, seen) = (&shared.current, &stop, &seen);
            scope.spawn(move || call(current, asked, stop, seen));
        }
        let lanes: Vec<_> = asked
            .iter()
            .enumerate()
            .map(|(lane, asked)| {
                let shared = &shared;
                scope.spawn(move || deliver(shared, lane, publish, asked))
            })
            .collect();
        let harmed = harm(&shared);
        shared.calm.store(true, Relaxed);
        for lane in lanes {
            if let Err(panic) = lane.join() {
                std::panic::resume_unwind(panic);
            }
        }
        harmed
    });
    let (ledger, seen) = (shared.ledger.into_inner().unwrap(), seen.into_inner().unwrap());
    (harmed, Told { client: shared.client, ledger, seen })
}

impl Told {
    /// Holds everything that was answered against the log, first of the server, then of the folder that it leaves;
    /// gives how much was held.
    pub(crate) fn settle(mut self, place: &Place, server: Server) -> usize {
        let checked = self.ledger.settle(&self.client, &self.seen);
        let (seen, ledger) = (&self.seen, &self.ledger);
        println!(
            "{} runs, {} votes, {} answers in {} generations, {} while down, failed {:?}, {} of these at a target that had served",
            ledger.published.len(),
            ledger.accepted.len(),
            seen.answered,
            seen.versions.len(),
            seen.unreachable,
            seen.failed,
            seen.failed_later,
        );
        // A target that served is routed again before callers are let in. Without that every tenth answer is a 503;
        // on a machine so slow that the wait for it ends, a few may be.
        let failed = seen.failed_later;
        assert!(failed * 50 <= seen.answered, "{failed} of {}: {}", seen.answered, place.errors());
        server.kill();
        let said = place.run(&["verify", "--data", &place.data().display().to_string()]);
        assert_eq!(said.code, Some(0), "{said:?}");
        checked
    }
}

/// Ends what runs beside, when this goes.
struct Ends<'a>(&'a AtomicBool, &'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
        self.1.store(true, Relaxed);
    }
}

/// Delivers three versions of one model after the other, until it is calm.
fn deliver(shared: &Shared, lane: usize, publish: Publish<'_>, asked: &Asked) {
    let mut round = 0;
    while round == 0 || !shared.calm.load(Relaxed) {
        let model = format!("flights-{lane}-{round}");
        for version in ["v1", "v2", "v3"] {
            let event = event(version, &model, &format!("{model}-{version}"));
            shared.under_way.fetch_add(1, Relaxed);
            let answer = publish(&shared.client, lane, &event);
            let target = answer.target.clone();
            let published = Published { run: answer.run.clone(), version: version.to_owned(), target };
            shared.ledger.lock().unwrap().published.push(published);
            follow_run(shared, &answer.run, || asked.set(Some(&model)));
            shared.under_way.fetch_sub(1, Relaxed);
        }
        asked.set(None);
        round += 1;
    }
}

/// Votes where the run asks for it, until it is settled.
fn follow_run(shared: &Shared, run: &str, serves: impl Fn()) {
    let (mut moved_at, mut moved_to) = (Instant::now(), 0);
    let mut accepted: BTreeSet<&str> = BTreeSet::new();
    for turn in 0.. {
        let view = shared.client.run(run);
        if view.transitions != moved_to {
            (moved_at, moved_to) = (Instant::now(), view.transitions);
        }
        let transitions = shared.client.transitions(run);
        shared.ledger.lock().unwrap().note(run, &transitions);
        if view.generation.is_some() || view.live.is_some() {
            serves();
        }
        assert!(!["blocked", "failed", "refused"].contains(&view.state.as_str()), "run {run}: {view:#?}");
        if view.ended || ["live", "standby"].contains(&view.state.as_str()) {
            return;
        }
        let voter = shared.people.iter().find(|person| !accepted.contains(person.name));
        if let (Some(_), Some(person)) = (asked(&view), voter) {
            let key = format!("{run}-{}-{turn}", person.name);
            match shared.client.approve(&view, person, &key) {
                Some(Ok(answer)) => {
                    accepted.insert(person.name);
                    let seq = answer.seq.expect("an accepted vote stands in a record");
                    shared.ledger.lock().unwrap().accepted.push((run.to_owned(), key, seq));
                }
                Some(Err(problem)) => assert_eq!(problem.status, 409, "{problem:?}"),
                None => {}
            }
        }
        assert!(moved_at.elapsed() < RUN_MAX, "run {run} is stuck: {view:#?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
