//! Places at which a test may end the process, or take a safety away: the crash tests' hand inside the program.
//!
//! ```text
//!  MODELRAIL_FAIL_AT=K4:3       the third time that K4 is passed, the process ends at once, as by SIGKILL
//!  MODELRAIL_FAIL_AT=B1:1,A1:2  whichever comes first
//!  MODELRAIL_PAUSE_AT=K3:2      the second time, the process stands still at once, as by SIGSTOP, until it is woken
//!  MODELRAIL_FAIL_OFF=sync      writes are not synced: the negative control of the power losses
//!  MODELRAIL_FAIL_OFF=view      the view counts as one of another shape, and is built again
//! ```
//!
//! **Invariant:** in a build without `debug_assertions` there is nothing of it: no variable is read and each call
//! is empty. Which point stands for what is told in ADR 16.

/// A place, by its name in the kill matrix. In the order of an input's way through the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The folder's database is made, and `FORMAT` is not.
    F1,
    /// The view is forgotten, and nothing is built in its place.
    M1,
    /// A message is taken, and is no input yet.
    K1,
    /// Inputs wait, and nothing is decided.
    K2,
    /// Due moments were found, and nothing is decided.
    T1,
    /// A pass is decided, and nothing is written.
    K3,
    /// A pass is on its way to a log that is elsewhere, and nothing is heard of it.
    P1,
    /// The batch is synced, and the guard does not know.
    K4,
    /// The guard is written, and not synced.
    G1,
    /// The batch is acknowledged, and nobody acts on it.
    K5,
    /// A moment's record is acknowledged, and nobody acts on it.
    T2,
    /// Records are read to build the view, and the view does not have them.
    K6,
    /// A pass is written, and nothing of it is released.
    K7,
    /// A request is decided and written, and nobody is answered.
    A1,
    /// A pass is released, and the next has not begun.
    K8,
    /// A command is handed over, and the journal does not know.
    E1,
    /// The journal says that an attempt is begun, and it is not.
    E2,
    /// An attempt is being carried out.
    E3,
    /// A blob is written, and not synced.
    B1,
    /// A blob has its name, and its folder is not synced.
    B2,
    /// A bundle is stored, and there is no outcome.
    B3,
    /// An attempt is carried out, and the journal does not have the answer.
    E4,
    /// An answer is sent, and not acknowledged.
    E5,
    /// An answer is acknowledged, and the journal does not know.
    E6,
}

impl Point {
    pub const ALL: [Self; 24] = [
        Self::F1,
        Self::M1,
        Self::K1,
        Self::K2,
        Self::T1,
        Self::K3,
        Self::P1,
        Self::K4,
        Self::G1,
        Self::K5,
        Self::T2,
        Self::K6,
        Self::K7,
        Self::A1,
        Self::K8,
        Self::E1,
        Self::E2,
        Self::E3,
        Self::B1,
        Self::B2,
        Self::B3,
        Self::E4,
        Self::E5,
        Self::E6,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::F1 => "F1",
            Self::M1 => "M1",
            Self::K1 => "K1",
            Self::K2 => "K2",
            Self::T1 => "T1",
            Self::K3 => "K3",
            Self::P1 => "P1",
            Self::K4 => "K4",
            Self::G1 => "G1",
            Self::K5 => "K5",
            Self::T2 => "T2",
            Self::K6 => "K6",
            Self::K7 => "K7",
            Self::A1 => "A1",
            Self::K8 => "K8",
            Self::E1 => "E1",
            Self::E2 => "E2",
            Self::E3 => "E3",
            Self::B1 => "B1",
            Self::B2 => "B2",
            Self::B3 => "B3",
            Self::E4 => "E4",
            Self::E5 => "E5",
            Self::E6 => "E6",
        }
    }
}

/// Something that a test may take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// Writes are synced.
    Sync,
    /// The view has the shape that this release knows.
    View,
}

impl Safety {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::View => "view",
        }
    }
}

/// This place is passed.
#[inline]
pub fn at(point: Point) {
    #[cfg(debug_assertions)]
    armed::at(point);
    let _ = point;
}

/// This place is passed, if another was since it was passed last.
#[inline]
pub fn at_after(point: Point, other: Point) {
    #[cfg(debug_assertions)]
    armed::at_after(point, other);
    let _ = (point, other);
}

/// Whether a test took this away.
#[inline]
pub fn is_off(safety: Safety) -> bool {
    #[cfg(debug_assertions)]
    return armed::is_off(safety);
    #[cfg(not(debug_assertions))]
    {
        let _ = safety;
        false
    }
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::{Point, Safety};

    static PLAN: OnceLock<Plan> = OnceLock::new();
    static PASSED: [AtomicU64; Point::ALL.len()] = [const { AtomicU64::new(0) }; Point::ALL.len()];
    /// How often the other place had been passed when this one was passed last.
    static SEEN: [AtomicU64; Point::ALL.len()] = [const { AtomicU64::new(0) }; Point::ALL.len()];

    #[derive(Debug, Default, PartialEq, Eq)]
    pub(super) struct Plan {
        /// Where to end, and at which passing.
        pub(super) at: Vec<(Point, u64)>,
        /// Where to stand still.
        pub(super) paused_at: Vec<(Point, u64)>,
        pub(super) off: Vec<String>,
    }

    impl Plan {
        pub(super) fn read(at: &str, paused_at: &str, off: &str) -> Self {
            let names = |list: &str| list.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect();
            let one = |text: String| {
                let (name, times) = text.split_once(':').unwrap_or((&text, "1"));
                let point = Point::ALL.into_iter().find(|point| point.as_str() == name);
                let point = point.unwrap_or_else(|| panic!("expected a fail point, not `{name}`"));
                (point, times.parse().expect("a number after the colon of a fail point"))
            };
            let points = |list: &str| {
                let list: Vec<String> = names(list);
                list.into_iter().map(one).collect()
            };
            Self { at: points(at), paused_at: points(paused_at), off: names(off) }
        }
    }

    fn plan() -> &'static Plan {
        PLAN.get_or_init(|| {
            let text = |name| std::env::var(name).unwrap_or_default();
            Plan::read(&text("MODELRAIL_FAIL_AT"), &text("MODELRAIL_PAUSE_AT"), &text("MODELRAIL_FAIL_OFF"))
        })
    }

    pub(super) fn at(point: Point) {
        let plan = plan();
        if plan.at.is_empty() && plan.paused_at.is_empty() {
            return;
        }
        let passed = PASSED[point as usize].fetch_add(1, Relaxed) + 1;
        if plan.at.contains(&(point, passed)) {
            // Whoever tests reads this line, so that a point which was never reached is no pass.
            eprintln!("fail point {} passed {passed} times: the process ends", point.as_str());
            std::process::abort();
        }
        if plan.paused_at.contains(&(point, passed)) {
            eprintln!("fail point {} passed {passed} times: the process stands still", point.as_str());
            let own = std::process::id().to_string();
            let stopped = std::process::Command::new("kill").args(["-STOP", &own]).status();
            assert!(stopped.is_ok_and(|status| status.success()), "a test has `kill`");
        }
    }

    pub(super) fn at_after(point: Point, other: Point) {
        let passed = PASSED[other as usize].load(Relaxed);
        if SEEN[point as usize].swap(passed, Relaxed) < passed {
            at(point);
        }
    }

    pub(super) fn is_off(safety: Safety) -> bool {
        plan().off.iter().any(|name| name == safety.as_str())
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::armed::Plan;
    use super::*;

    #[test]
    fn a_plan_names_points_with_their_passing() {
        assert_eq!(Plan::read("", "", ""), Plan::default());
        let plan = Plan::read("K4:3,B1", "K3:2", "sync");
        let (at, paused_at) = (vec![(Point::K4, 3), (Point::B1, 1)], vec![(Point::K3, 2)]);
        assert_eq!(plan, Plan { at, paused_at, off: vec!["sync".into()] });
    }

    #[test]
    fn points_are_told_apart_and_nothing_is_armed_here() {
        for (index, point) in Point::ALL.into_iter().enumerate() {
            assert_eq!(point as usize, index, "{point:?} stands in its place of ALL");
            at(point);
            at_after(point, Point::K1);
        }
        assert!(!is_off(Safety::Sync) && !is_off(Safety::View));
    }
}
