//! Carries out the plans: each process has a thread that harms it, and has it live again.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use engine::fail::Point;

use super::plan::{Fault, Plan, Role};
use super::town::{Process, Town};
use crate::process::place::Place;
use crate::process::random::Random;
use crate::process::workload::Shared;

/// Twice the session of a member of a group.
const STANDS_STILL: Duration = Duration::from_secs(12);
/// From a start to the kill; one in four comes while the process still starts.
const GAP_MS: u64 = 1_500;
const GAP_START_MS: u64 = 300;
/// How long a point is waited for, and how often, before the fault counts as one that was not seen.
const POINT_MAX: Duration = Duration::from_secs(20);
const TRIES: usize = 4;
const START_MAX: Duration = Duration::from_secs(30);
pub(super) const NOT_STARTED: &str = "ended at its start, since no broker answered";
const LOOK: Duration = Duration::from_millis(5);

/// How often which kind befell.
pub(super) type Befell = BTreeMap<String, usize>;

/// Carries out all plans side by side. All processes live in the end.
pub(super) fn carry_out(town: &mut Town, shared: &Shared, plans: Vec<Plan>, random: &mut Random) -> Befell {
    let place = &town.place;
    let mut processes: BTreeMap<&str, Process> =
        std::mem::take(&mut town.processes).into_iter().map(|process| (process.name, process)).collect();
    let is_over = AtomicBool::new(false);
    let befell = thread::scope(|scope| {
        let threads: Vec<_> = plans
            .into_iter()
            .map(|plan| {
                let process = processes.remove(plan.name);
                let random = Random::new(random.below(u64::MAX));
                let harm = Harm { place, shared, random, befell: Befell::new(), is_over: &is_over };
                scope.spawn(move || harm.all(process, plan))
            })
            .collect();
        let mut befell = Befell::new();
        for thread in threads {
            let (process, counted) = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            town.processes.extend(process);
            for (kind, times) in counted {
                *befell.entry(kind).or_default() += times;
            }
        }
        befell
    });
    for process in &mut town.processes {
        process.server.listening(&town.place);
    }
    befell
}

struct Harm<'a> {
    place: &'a Place,
    shared: &'a Shared,
    random: Random,
    befell: Befell,
    /// Somebody failed: the others need not go on.
    is_over: &'a AtomicBool,
}

impl Drop for Harm<'_> {
    fn drop(&mut self) {
        self.is_over.fetch_or(thread::panicking(), Relaxed);
    }
}

impl Harm<'_> {
    fn all(mut self, mut process: Option<Process>, plan: Plan) -> (Option<Process>, Befell) {
        let mut faults: VecDeque<(Fault, usize)> = plan.faults.iter().map(|fault| (*fault, 0)).collect();
        while let Some((fault, tries)) = faults.pop_front().filter(|_| !self.is_over.load(Relaxed)) {
            let began = Instant::now();
            let befell = match (&mut process, fault) {
                (None, Fault::Visits { is_killed }) => self.visit(plan.name, is_killed),
                (Some(process), fault) => self.befall(process, fault),
                (None, _) => panic!("{} is not there: {fault:?}", plan.name),
            };
            println!("{}: {fault:?} in {:?}: {befell}", plan.name, began.elapsed());
            if befell {
                *self.befell.entry(fault.kind(plan.role)).or_default() += 1;
            } else if tries + 1 < TRIES {
                faults.push_back((fault, tries + 1));
            }
        }
        if let Some(process) = &mut process {
            self.lives(process);
        }
        (process, std::mem::take(&mut self.befell))
    }

    /// Whether it came about.
    fn befall(&mut self, process: &mut Process, fault: Fault) -> bool {
        match fault {
            Fault::Killed => {
                let starting = self.random.below(4) == 0;
                if !starting {
                    self.lives(process);
                }
                thread::sleep(Duration::from_millis(self.random.below(if starting {
                    GAP_START_MS
                } else {
                    GAP_MS
                })));
                self.again(process, &[]);
                true
            }
            Fault::EndsAt(point, passing) => {
                self.lives(process);
                self.again(process, &[("MODELRAIL_FAIL_AT", format!("{}:{passing}", point.as_str()))]);
                let ended = self.waits(|| process.server.has_ended());
                if ended {
                    self.was_at(process, point);
                }
                self.again(process, &[]);
                ended
            }
            Fault::Frozen => {
                self.lives(process);
                process.server.signal("STOP");
                thread::sleep(STANDS_STILL);
                process.server.signal("CONT");
                true
            }
            Fault::FrozenAt(point, passing) => {
                self.lives(process);
                self.again(process, &[("MODELRAIL_PAUSE_AT", format!("{}:{passing}", point.as_str()))]);
                let stopped = self.waits(|| process.server.is_stopped());
                if stopped {
                    thread::sleep(STANDS_STILL);
                    process.server.signal("CONT");
                }
                stopped
            }
            Fault::Visits { .. } => panic!("{} is there already", process.name),
        }
    }

    fn visit(&mut self, name: &'static str, is_killed: bool) -> bool {
        let mut process = Process::start(self.place, name, Role::Engine, &[]);
        self.lives(&mut process);
        thread::sleep(Duration::from_millis(self.random.below(GAP_MS)));
        if is_killed {
            process.server.kill();
        } else {
            let errors = self.place.errors_of(&process.server);
            assert_eq!(process.server.stop(), Some(0), "{errors}");
        }
        true
    }

    fn waits(&self, mut is: impl FnMut() -> bool) -> bool {
        let began = Instant::now();
        while began.elapsed() < POINT_MAX && !self.is_over.load(Relaxed) {
            if is() {
                return true;
            }
            thread::sleep(LOOK);
        }
        false
    }

    /// Waits until it says that it is there. One that ends because no broker answers in time is started again, as by
    /// whoever looks after it.
    fn lives(&mut self, process: &mut Process) {
        let unanswered =
            |errors: &str| errors.contains("error[START]") && errors.contains("OperationTimedOut");
        while process.server.addresses().is_none() {
            if process.server.has_ended() && unanswered(&self.place.errors_of(&process.server)) {
                *self.befell.entry(NOT_STARTED.to_owned()).or_default() += 1;
                process.start_again(self.place, &[]);
            }
            thread::sleep(LOOK);
            let waits = process.started.elapsed() < START_MAX;
            assert!(waits, "{} does not start: {}", process.name, self.place.errors_of(&process.server));
        }
        let addresses = process.server.listening(self.place);
        if process.role == Role::Api {
            self.shared.current.lock().unwrap().api = addresses.api;
        }
    }

    fn was_at(&self, process: &mut Process, point: Point) {
        let errors = self.place.errors_of(&process.server);
        let told = format!("fail point {} passed", point.as_str());
        assert!(
            process.server.was_aborted() && errors.contains(&told),
            "{} ended by itself, and not at {}: {errors}",
            process.name,
            point.as_str()
        );
    }

    /// `kill -9`, and another life. One that ended by itself did so at its point.
    fn again(&self, process: &mut Process, variables: &[(&'static str, String)]) {
        let ended = process.server.has_ended() && !process.server.was_aborted();
        assert!(!ended, "{} ended by itself: {}", process.name, self.place.errors_of(&process.server));
        process.start_again(self.place, variables);
    }
}
