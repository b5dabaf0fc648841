//! The end of the story: what happened in figures, and whether it is the story that was promised.

use std::path::Path;

use api::view::{RunView, VerifyView};

use super::Error;
use super::traffic::Served;

/// The most of all callers that a canary may be shown before its last step, as its workflow says.
const SHARE_CAP: f64 = 0.50;
/// A share of few requests strays from the intended one by chance: this many standard deviations are let pass.
const STRAY: f64 = 4.0;

pub struct Ending {
    pub runs: Vec<RunView>,
    pub served: Served,
    pub verified: VerifyView,
}

impl Ending {
    /// With the folder where the past can be asked for afterwards.
    pub fn print(&self, data: Option<&Path>) {
        let served = &self.served;
        println!("\nRuns");
        for run in &self.runs {
            println!("  {}  {:<4} {:<12} {} transitions", run.run, run.version, run.state, run.transitions);
        }
        let seconds = served.elapsed.as_secs_f64();
        println!("\nCallers");
        println!(
            "  requests        {} in {seconds:.0} s ({:.0} a second)",
            served.answered,
            served.answered as f64 / seconds
        );
        println!("  failed          {}", served.failed);
        println!("  latency         p50 {:.1} ms, p99 {:.1} ms", self.latency_ms(0.5), self.latency_ms(0.99));
        for (version, answers) in &served.by_version {
            let right = answers.right as f64 / answers.count.max(1) as f64;
            println!("  answered by {version:<3} {:>7}, {:.1} % of them right", answers.count, right * 100.0);
        }
        println!("\nThe bad version");
        println!(
            "  saw it          {:.2} % of all requests; {:.1} % at its widest step",
            self.share() * 100.0,
            self.widest() * 100.0
        );
        println!("  first to last   {:.1} s from its first answer to its last", self.exposed_seconds());
        let third = &self.runs[2];
        let cause = third.leaving.as_ref().map_or("", |leaving| leaving.cause.as_str());
        println!("  rolled back for {cause}");
        let Some(data) = data else { return };
        let flags = format!("--data {}", data.display());
        println!("\nLook further");
        println!("  modelrail replay {} --at {} {flags}", third.run, third.seq.saturating_sub(6));
        println!("  modelrail explain {} {flags}", third.run);
        println!("  modelrail verify {flags}");
        println!("  modelrail serve {flags}");
    }

    /// Every part of the promise; the first that does not hold is named.
    pub fn check(&self) -> Result<(), Error> {
        let states: Vec<&str> = self.runs.iter().map(|run| run.state.as_str()).collect();
        let holds = |holds: bool, text: String| if holds { Ok(()) } else { Err(Error::Untrue(text)) };
        holds(states == ["standby", "live", "rolled_back"], format!("the runs ended as {states:?}"))?;
        let failure = self.served.first_failure.clone().unwrap_or_default();
        holds(
            self.served.failed == 0,
            format!("{} requests failed, the first with: {failure}", self.served.failed),
        )?;
        let widest = self.widest();
        holds(widest > 0.0, "nobody saw the bad version".to_owned())?;
        let cap = SHARE_CAP + STRAY * self.stray();
        holds(
            widest <= cap,
            format!("the bad version had {:.1} % of callers, more than its cap", widest * 100.0),
        )?;
        let reached = self.runs[2]
            .stages
            .iter()
            .filter_map(|stage| stage.rollout.as_ref())
            .any(|it| it.weight == "100%");
        holds(!reached, "the bad version reached its last step".to_owned())?;
        holds(self.verified.good, "the log does not verify; ask `modelrail verify`".to_owned())?;
        println!("\nThe story came true.");
        Ok(())
    }

    fn latency_ms(&self, quantile: f64) -> f64 {
        let sorted = &self.served.latencies_us;
        let place = ((sorted.len().max(1) - 1) as f64 * quantile) as usize;
        sorted.get(place).map_or(0.0, |us| f64::from(*us) / 1_000.0)
    }

    fn bad(&self) -> &str {
        &self.runs[2].version
    }

    fn share(&self) -> f64 {
        let bad = self.served.by_version.get(self.bad()).map_or(0, |answers| answers.count);
        bad as f64 / self.served.answered.max(1) as f64
    }

    /// The generation that led most callers to the bad version: its share, and how many asked.
    fn widest_generation(&self) -> (f64, u64) {
        let shares = self.served.by_generation.values().filter_map(|versions| {
            let all: u64 = versions.values().sum();
            let bad = *versions.get(self.bad())?;
            // A handful of requests at a switch is no share.
            (all >= 100).then(|| (bad as f64 / all as f64, all))
        });
        shares.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((0.0, 1))
    }

    fn widest(&self) -> f64 {
        self.widest_generation().0
    }

    fn stray(&self) -> f64 {
        (SHARE_CAP * (1.0 - SHARE_CAP) / self.widest_generation().1 as f64).sqrt()
    }

    fn exposed_seconds(&self) -> f64 {
        let answers = self.served.by_version.get(self.bad()).copied().unwrap_or_default();
        (answers.last_ms - answers.first_ms) as f64 / 1_000.0
    }
}
