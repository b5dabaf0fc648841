//! What befalls whom: every named point once, and what else there is of each kind, in an order drawn from the seed.

use engine::fail::Point;

use crate::process::random::Random;

/// How many faults one round has, without those of the events.
pub(super) const FAULTS: usize = 62;
/// And how many of them each kind of process has at moments drawn from the seed.
const ANYTIME: usize = 5;
const COMING_AND_GOING: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Engine,
    Worker,
    Ingress,
    Api,
}

impl Role {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Worker => "worker",
            Self::Ingress => "ingress",
            Self::Api => "api",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It ends when it passes a point, the so-manieth time.
    EndsAt(Point, u64),
    /// SIGKILL.
    Killed,
    /// SIGSTOP for twice its session, then SIGCONT.
    Frozen,
    /// The same, in the middle of something.
    FrozenAt(Point, u64),
    /// It was not there, joins, and leaves: in order, or killed.
    Visits { is_killed: bool },
}

impl Fault {
    /// What it is counted as.
    pub(super) fn kind(self, role: Role) -> String {
        let what = match self {
            Self::EndsAt(point, _) => format!("ends at {}", point.as_str()),
            Self::Killed => "is killed".to_owned(),
            Self::Frozen => "stands still beyond its session".to_owned(),
            Self::FrozenAt(point, _) => format!("stands still at {} beyond its session", point.as_str()),
            Self::Visits { .. } => "joins and leaves".to_owned(),
        };
        format!("{} {what}", role.as_str())
    }
}

/// What befalls one process.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) name: &'static str,
    pub(super) role: Role,
    pub(super) faults: Vec<Fault>,
}

/// Those of an engine, in two halves: each of two engines ends at those of one.
const ENGINE: [[Point; 5]; 2] = [
    [Point::K1, Point::K3, Point::K5, Point::K7, Point::A1],
    [Point::K2, Point::P1, Point::K6, Point::K8, Point::T1],
];
const WORKER: [[Point; 5]; 2] = [
    [Point::E1, Point::E3, Point::E5, Point::B1, Point::B3],
    [Point::E2, Point::E4, Point::E6, Point::B2, Point::E1],
];

pub(super) fn draw(random: &mut Random) -> Vec<Plan> {
    let mut plans = vec![];
    for (name, points, at) in [("engine-1", ENGINE[0], None), ("engine-2", ENGINE[1], Some(Point::K3))] {
        plans.push(plan(name, Role::Engine, &points, at, random));
    }
    for (name, points, at) in [("worker-1", WORKER[0], None), ("worker-2", WORKER[1], Some(Point::E3))] {
        plans.push(plan(name, Role::Worker, &points, at, random));
    }
    for (name, role) in [("ingress", Role::Ingress), ("api", Role::Api)] {
        plans.push(Plan { name, role, faults: vec![Fault::Killed; ANYTIME + 1] });
    }
    let faults = (0..COMING_AND_GOING).map(|_| Fault::Visits { is_killed: random.below(2) == 0 }).collect();
    plans.push(Plan { name: "engine-3", role: Role::Engine, faults });
    plans
}

fn plan(
    name: &'static str,
    role: Role,
    points: &[Point],
    frozen_at: Option<Point>,
    random: &mut Random,
) -> Plan {
    let passing = |point, random: &mut Random| 1 + random.below(passings(point));
    let mut faults: Vec<Fault> =
        points.iter().map(|point| Fault::EndsAt(*point, passing(*point, random))).collect();
    faults.extend([Fault::Killed; ANYTIME]);
    faults.push(match frozen_at {
        Some(point) => Fault::FrozenAt(point, passing(point, random)),
        None => Fault::Frozen,
    });
    // In any order.
    for left in (1..faults.len()).rev() {
        faults.swap(left, random.below(left as u64 + 1) as usize);
    }
    Plan { name, role, faults }
}

/// At which passing of a point it may be: soon, since it waits for runs that are under way.
fn passings(point: Point) -> u64 {
    match point {
        Point::K1 | Point::K2 | Point::K3 | Point::K5 | Point::K6 | Point::K7 | Point::K8 | Point::P1 => 8,
        Point::E1 | Point::E2 | Point::E3 | Point::E4 | Point::E5 | Point::E6 | Point::T1 => 2,
        _ => 1,
    }
}

#[test]
fn a_round_has_as_many_faults_as_it_says_and_a_seed_gives_the_same() {
    let draw = |seed| draw(&mut Random::new(seed));
    let (first, again) = (draw(7), draw(7));
    assert_eq!(first.iter().map(|plan| plan.faults.len()).sum::<usize>(), FAULTS);
    for (one, other) in first.iter().zip(&again) {
        assert_eq!(one.faults, other.faults);
    }
}
