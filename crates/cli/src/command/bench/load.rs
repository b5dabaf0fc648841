//! Makes runs and waits for them: so many under way at a time, or so many a second whatever becomes of them.
//!
//! Where they run is behind [`Place`]: an engine of this process, or processes over Kafka.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use domain::name::{RunId, TargetId};
use engine::request::Trigger;
use hdrhistogram::Histogram;

use super::flow::{Completed, Triggers};

/// Without a completed run for this long something is stuck.
const STUCK: Duration = Duration::from_secs(20);
/// Runs under way at one target: one that has the slot, and one that is queued behind it.
const RUNS_PER_TARGET: usize = 2;

/// Where runs run.
pub(super) trait Place {
    /// What is kept of a run that is under way.
    type Said;
    /// What it has cost so far.
    type Costs;

    fn say(&mut self, trigger: Trigger) -> Result<Self::Said, String>;

    /// What became of a run that does not end.
    fn stuck(&mut self, run: RunId, said: &mut Self::Said) -> String;

    fn costs(&mut self) -> Result<Self::Costs, String>;
}

/// The load on a place.
pub(super) struct Load<P: Place> {
    pub place: P,
    completed: Receiver<Completed>,
    triggers: Triggers,
    /// Places for runs, each target as often as it may have one, longest unused first.
    free: VecDeque<TargetId>,
    under_way: BTreeMap<RunId, UnderWay<P::Said>>,
    pub all: Vec<RunId>,
}

struct UnderWay<S> {
    wanted_at: Instant,
    target: TargetId,
    said: S,
}

/// What a measurement took.
pub(super) struct Taken<C> {
    /// Of each run from when it was wanted until it was completed, microseconds.
    pub latencies: Histogram<u64>,
    pub seconds: f64,
    pub before: C,
    pub after: C,
}

impl<C> Taken<C> {
    pub fn runs(&self) -> u64 {
        self.latencies.len()
    }

    pub fn runs_per_second(&self) -> f64 {
        self.runs() as f64 / self.seconds
    }

    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1e3
    }

    pub fn per_run(&self, value: f64) -> f64 {
        value / self.runs().max(1) as f64
    }
}

/// While one is taken.
struct Taking<C> {
    latencies: Histogram<u64>,
    began: Instant,
    before: C,
}

impl<P: Place> Load<P> {
    pub fn new(
        place: P,
        completed: Receiver<Completed>,
        triggers: Triggers,
        targets: usize,
    ) -> Result<Self, String> {
        let targets = (0..targets).map(|number| {
            TargetId::parse(&format!("model-{number}@production")).map_err(|error| error.to_string())
        });
        let targets: Vec<TargetId> = targets.collect::<Result<_, _>>()?;
        let free = targets.iter().cycle().take(targets.len() * RUNS_PER_TARGET).cloned().collect();
        Ok(Self { place, completed, triggers, free, under_way: BTreeMap::new(), all: vec![] })
    }

    /// So many runs, of which nothing is measured.
    pub fn warm(&mut self, runs: usize) -> Result<(), String> {
        for _ in 0..runs.min(self.free.len()) {
            self.say(Instant::now())?;
        }
        self.end()
    }

    /// Keeps so many under way, a tenth of the time to warm up.
    pub fn closed(&mut self, in_flight: usize, seconds: Duration) -> Result<Taken<P::Costs>, String> {
        let began = Instant::now();
        let (warm, end) = (began + seconds / 10, began + seconds / 10 + seconds);
        for _ in 0..in_flight.min(self.free.len()) {
            self.say(Instant::now())?;
        }
        let mut taking = None;
        loop {
            let at = self.complete(taking.as_mut())?;
            if at >= end {
                break;
            }
            if taking.is_none() && at >= warm {
                taking = Some(self.take()?);
            }
            self.say(Instant::now())?;
        }
        self.taken(taking)
    }

    /// Brings them in at a steady rate, whatever becomes of them: a run counts from when it was wanted.
    pub fn open(&mut self, rate: f64, seconds: Duration) -> Result<Taken<P::Costs>, String> {
        let began = Instant::now();
        let (warm, end) = (began + seconds / 10, began + seconds / 10 + seconds);
        let mut taking = None;
        let mut said = 0_u32;
        loop {
            let due = began + Duration::from_secs_f64(f64::from(said) / rate);
            if due >= end {
                break;
            }
            if taking.is_none() && Instant::now() >= warm {
                taking = Some(self.take()?);
            }
            match self.completed.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(done) => self.count(done, taking.as_mut())?,
                Err(RecvTimeoutError::Timeout) => {
                    // Late when no target is free: the wait for one is part of its latency.
                    if self.free.is_empty() {
                        self.complete(taking.as_mut())?;
                    } else {
                        self.say(due)?;
                        said += 1;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Err("nobody tells of runs any more".into()),
            }
        }
        self.taken(taking)
    }

    fn take(&mut self) -> Result<Taking<P::Costs>, String> {
        let latencies = Histogram::new(3).map_err(|error| error.to_string())?;
        Ok(Taking { latencies, began: Instant::now(), before: self.place.costs()? })
    }

    /// Looks at the costs, then lets what is under way end.
    fn taken(&mut self, taking: Option<Taking<P::Costs>>) -> Result<Taken<P::Costs>, String> {
        let Taking { latencies, began, before } = taking.ok_or("too few runs to measure")?;
        let seconds = began.elapsed().as_secs_f64();
        let after = self.place.costs()?;
        self.end()?;
        Ok(Taken { latencies, seconds, before, after })
    }

    /// Lets what is under way end.
    fn end(&mut self) -> Result<(), String> {
        while !self.under_way.is_empty() {
            self.complete(None)?;
        }
        Ok(())
    }

    fn say(&mut self, wanted_at: Instant) -> Result<(), String> {
        let target = self.free.pop_front().ok_or("no target is free")?;
        let trigger = self.triggers.next(&target);
        let run = trigger.run();
        let said = self.place.say(trigger)?;
        self.all.push(run);
        self.under_way.insert(run, UnderWay { wanted_at, target, said });
        Ok(())
    }

    /// Waits for the next run that is completed.
    fn complete(&mut self, taking: Option<&mut Taking<P::Costs>>) -> Result<Instant, String> {
        let Ok(done) = self.completed.recv_timeout(STUCK) else { return Err(self.stuck()) };
        let at = done.at;
        self.count(done, taking)?;
        Ok(at)
    }

    fn count(&mut self, done: Completed, taking: Option<&mut Taking<P::Costs>>) -> Result<(), String> {
        let under_way = self.under_way.remove(&done.run).ok_or("a run was completed twice")?;
        if let Some(taking) = taking {
            let us = done.at.saturating_duration_since(under_way.wanted_at).as_micros() as u64;
            taking.latencies.record(us).map_err(|error| error.to_string())?;
        }
        self.free.push_back(under_way.target);
        Ok(())
    }

    fn stuck(&mut self) -> String {
        let Some((run, under_way)) = self.under_way.iter_mut().next() else {
            return "nothing is under way".into();
        };
        let became = self.place.stuck(*run, &mut under_way.said);
        format!("no run was completed for {STUCK:?}; run {run} {became}")
    }
}
