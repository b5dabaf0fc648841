//! The kill matrix: the process ends at each named point of `engine::fail`, and at random moments, under the demo's
//! workload. Nothing accepted is lost, decided differently, applied twice or stuck.
//!
//! 200 kills in the test command; `MODELRAIL_KILLS=10000` for the long round, in rounds of 200.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use engine::fail::{Point, Safety};

use super::place::{Pace, Place, Server};
use super::random::{Random, asked_for, seed};
use super::report::Report;
use super::workload::{Shared, during};

/// Servers side by side, each with a folder and a workload of its own.
const PLACES: usize = 2;
const KILLS_PER_PLACE: usize = 100;
/// Of each ten, so many must come while a run is under way.
const UNDER_WAY_OF_TEN_MIN: usize = 7;
/// From a start to the kill; one in five comes while the server still starts.
const GAP_MS: u64 = 1_200;
const GAP_START_MS: u64 = 300;
/// How long a point is waited for before the server is killed anyhow, and the point tried again later.
const POINT_MAX: Duration = Duration::from_secs(20);
const RANDOM: &str = "random";

#[test]
fn kills_at_named_points_and_random_moments_lose_nothing_change_nothing_and_leave_nothing_stuck() {
    let seed = seed();
    let kills = asked_for("MODELRAIL_KILLS", PLACES * KILLS_PER_PLACE);
    let rounds = kills.div_ceil(PLACES * KILLS_PER_PLACE);
    Report::of("kills", seed, |report| {
        for round in 0..rounds {
            let seeds = (0..PLACES).map(|place| seed.wrapping_add((round * PLACES + place) as u64));
            let places: Vec<Killed> = std::thread::scope(|scope| {
                let threads: Vec<_> = seeds.map(|seed| scope.spawn(move || one_place(seed))).collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                    .collect()
            });
            for killed in places {
                println!("round {round}: {killed:?}");
                report.runs += killed.runs;
                report.effects_checked += killed.checked;
                for (fault, times) in killed.by_fault {
                    *report.faults.entry(fault).or_default() += times;
                }
                *report.outcomes.entry("while a run was under way".into()).or_default() += killed.under_way;
                *report.outcomes.entry("while starting".into()).or_default() += killed.while_starting;
            }
        }
        let planned = rounds * PLACES * KILLS_PER_PLACE;
        assert!(report.faults_all() >= planned, "{} kills of {planned}", report.faults_all());
        // There is one process that decides, and its log is here.
        for point in Point::ALL.into_iter().filter(|point| *point != Point::P1) {
            let times = report.faults.get(point.as_str()).copied().unwrap_or_default();
            assert!(times >= rounds * PLACES, "{} was hit {times} times", point.as_str());
        }
        let under_way = report.outcomes["while a run was under way"];
        assert!(under_way * 10 >= planned * UNDER_WAY_OF_TEN_MIN, "{under_way} of {planned} under way");
    });
}

#[derive(Debug, Default)]
struct Killed {
    by_fault: BTreeMap<String, usize>,
    under_way: usize,
    while_starting: usize,
    runs: usize,
    checked: usize,
}

impl Killed {
    fn all(&self) -> usize {
        self.by_fault.values().sum()
    }

    fn note(&mut self, fault: &str) {
        *self.by_fault.entry(fault.to_owned()).or_default() += 1;
    }
}

/// Every point once, in random order, among kills at random moments.
fn one_place(seed: u64) -> Killed {
    let mut random = Random::new(seed);
    let place = Place::of(Pace::Quick);
    let mut killed = Killed::default();
    // Only a folder that is being made passes there.
    assert!(ends_at(&place, &mut armed(&place, Point::F1, 1)), "{}", place.errors());
    killed.note(Point::F1.as_str());
    let (mut killed, server, told) =
        during(&place, |server, shared| kill_often(&place, server, shared, &mut random, killed));
    killed.runs = told.ledger.published.len();
    killed.checked = told.settle(&place, server);
    killed
}

/// A server that ends by itself at a point.
fn armed(place: &Place, point: Point, passing: u64) -> Server {
    let mut given = vec![("MODELRAIL_FAIL_AT", format!("{}:{passing}", point.as_str()))];
    if matches!(point, Point::M1 | Point::K6) {
        given.push(("MODELRAIL_FAIL_OFF", Safety::View.as_str().to_owned()));
    }
    place.serve_with(&given)
}

/// At which passing of a point the process may end: where many are passed, deep within one of them.
fn passings(point: Point) -> u64 {
    match point {
        Point::F1 | Point::M1 | Point::K6 | Point::P1 | Point::B3 | Point::A1 => 1,
        Point::B1 | Point::B2 | Point::G1 => 2,
        Point::T1 | Point::T2 => 3,
        Point::E1 | Point::E2 | Point::E4 | Point::E5 | Point::E6 => 4,
        Point::E3 => 8,
        Point::K1 | Point::K2 | Point::K3 | Point::K4 | Point::K5 | Point::K7 | Point::K8 => 25,
    }
}

/// Waits until the server ended by itself; true when it did so at its point.
fn ends_at(place: &Place, server: &mut Server) -> bool {
    let began = Instant::now();
    while !server.has_ended() {
        if began.elapsed() > POINT_MAX {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    was_at_point(place, server)
}

fn was_at_point(place: &Place, server: &mut Server) -> bool {
    let errors = place.errors_of(server);
    assert!(
        server.was_aborted() && errors.contains("fail point"),
        "the server ended by itself, and not at its point: {errors}"
    );
    true
}

/// Kills and starts again at once; gives the last server, which lives.
fn kill_often(
    place: &Place,
    mut server: Server,
    shared: &Shared,
    random: &mut Random,
    mut killed: Killed,
) -> (Killed, Server) {
    let mut points: Vec<Point> =
        Point::ALL.into_iter().filter(|point| ![Point::F1, Point::P1].contains(point)).collect();
    let mut armed_for: Option<Point> = None;
    while killed.all() < KILLS_PER_PLACE || !points.is_empty() {
        assert!(killed.all() < 2 * KILLS_PER_PLACE, "some points are never passed: {points:?}");
        let starting = armed_for.is_none() && random.below(5) == 0;
        let gap = match armed_for {
            Some(_) => POINT_MAX,
            None => Duration::from_millis(random.below(if starting { GAP_START_MS } else { GAP_MS })),
        };
        if armed_for.is_none() && !starting {
            server.listening(place);
        }
        let due = Instant::now() + gap;
        while Instant::now() < due && !(armed_for.is_some() && server.has_ended()) {
            // A kill is at its moment whatever the server does; callers must know where it is, though.
            shared.look(&server);
            std::thread::sleep(Duration::from_millis(2));
        }
        let fault = match armed_for {
            Some(point) if server.has_ended() => {
                was_at_point(place, &mut server);
                points.retain(|left| *left != point);
                point.as_str()
            }
            Some(_) => RANDOM,
            None => {
                assert!(!server.has_ended(), "the server ended by itself: {}", place.errors_of(&server));
                RANDOM
            }
        };
        killed.note(fault);
        killed.under_way += usize::from(shared.is_under_way());
        killed.while_starting += usize::from(server.addresses().is_none());
        server.kill();
        // Points as often as are left for the kills that are left.
        let left = KILLS_PER_PLACE.saturating_sub(killed.all()).max(1) as u64;
        let next =
            (!points.is_empty() && random.below(left) < points.len() as u64).then(|| *random.one_of(&points));
        armed_for = next;
        server = match next {
            Some(point) => armed(place, point, 1 + random.below(passings(point))),
            None => place.serve(),
        };
    }
    if armed_for.is_some() {
        server.kill();
        server = place.serve();
    }
    (killed, server)
}
