//! The book of what was said, done and answered, kept where nobody is killed.
//!
//! **Invariant:** every trigger that was accepted ends once, and no command is carried out twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use domain::name::{AttemptId, RunId, StreamId, TargetId};
use domain::work::{Command, Order};
use serde::Serialize;

/// How many faults are kept in words; all are counted.
const WORDS_MAX: usize = 20;
/// Of how many ended runs it is remembered what was carried out.
const ENDED_MAX: usize = 20_000;
/// Of how many commands of a target it is remembered that they were carried out.
const TARGET_COMMANDS_MAX: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Under way, by the run's id.
    pub(super) open: BTreeMap<RunId, Open>,
    /// By number from 1.
    said: Vec<Said>,
    /// The latest attempt that was ordered, and what was carried out.
    targets: BTreeMap<TargetId, (u32, Done)>,
    /// The latest that ended, and their order.
    closed: BTreeMap<RunId, Done>,
    closed_order: VecDeque<RunId>,
    pub(super) ended: u64,
    pub(super) carried_out: u64,
    /// Orders, those that came again too.
    pub(super) ordered: u64,
    /// Answers and acknowledgements: each stands in a record.
    pub(super) recorded: u64,
    /// Orders that were given before: a kill had cost the answer.
    pub(super) ordered_again: u64,
    /// Effects that another attempt had carried out before: right when the engine had given that attempt up, as it
    /// does when nothing is heard of a worker for its lease.
    pub(super) effects_again: u64,
    /// The first of them.
    again: Vec<String>,
    pub(super) faults: Faults,
}

/// A run that has not ended.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) number: u64,
    pub(super) target: TargetId,
    pub(super) wanted_at: Instant,
    /// The latest attempt that was ordered.
    ordered: u32,
    done: Done,
}

/// What is known of a trigger for good.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Said {
    /// The record of the answer; 0 when none was named.
    seq: u64,
    pub(super) is_accepted: bool,
    ended: bool,
}

/// The commands of a stream that were carried out, the latest.
#[derive(Debug, Default)]
struct Done {
    attempts: BTreeSet<u64>,
    /// The first bytes of the effect keys.
    effects: BTreeSet<u64>,
    order: VecDeque<(u64, u64)>,
}

/// What must not be. Any of them fails the benchmark.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Faults {
    /// Accepted, and not ended at the end, or not in the log.
    pub(super) lost: u64,
    /// A trigger with two records, a run that ended twice, or an outcome that was taken twice.
    pub(super) decided_twice: u64,
    /// One attempt, or one effect under another attempt.
    pub(super) carried_out_twice: u64,
    /// Refused, or ended otherwise than it should.
    pub(super) wrong: u64,
    /// The first of them, in words.
    pub(super) words: Vec<String>,
}

impl Faults {
    pub(super) fn all(&self) -> u64 {
        self.lost + self.decided_twice + self.carried_out_twice + self.wrong
    }

    pub(super) fn say(&mut self, words: impl FnOnce() -> String) {
        if self.words.len() < WORDS_MAX {
            self.words.push(words());
        }
    }
}

impl Ledger {
    pub(super) fn say(&mut self, run: RunId, number: u64, target: TargetId, wanted_at: Instant) {
        self.said.resize(self.said.len().max(number as usize + 1), Said::default());
        self.open.insert(run, Open { number, target, wanted_at, ordered: 0, done: Done::default() });
    }

    pub(super) fn of(&self, number: u64) -> Said {
        self.said.get(number as usize).copied().unwrap_or_default()
    }

    /// How many were accepted.
    pub(super) fn accepted(&self) -> u64 {
        self.said.iter().filter(|said| said.is_accepted).count() as u64
    }

    /// The triggers that nobody has answered, with their targets.
    pub(super) fn unanswered(&self) -> Vec<(u64, TargetId)> {
        let open = self.open.values().filter(|open| !self.of(open.number).is_accepted);
        open.map(|open| (open.number, open.target.clone())).collect()
    }

    pub(super) fn answered(&mut self, number: u64, seq: Option<u64>, refused: Option<&str>) {
        let Some(said) = self.said.get_mut(number as usize) else { return };
        if let Some(refused) = refused {
            self.faults.wrong += 1;
            self.faults.say(|| format!("trigger {number} was refused: {refused}"));
            return;
        }
        said.is_accepted = true;
        let Some(seq) = seq else { return };
        if said.seq != 0 && said.seq != seq {
            let before = said.seq;
            self.faults.decided_twice += 1;
            self.faults.say(|| format!("trigger {number} was answered by record {before}, and by {seq}"));
        }
        said.seq = seq;
    }

    /// The engine wants this done.
    pub(super) fn order(&mut self, AttemptId { owner, number }: &AttemptId) {
        self.ordered += 1;
        let ordered = match owner {
            StreamId::Run(run) => self.open.get_mut(run).map(|open| &mut open.ordered),
            StreamId::Target(target) => Some(&mut self.targets.entry(target.clone()).or_default().0),
            StreamId::Definitions => None,
        };
        // Of a stream the attempts are ordered one after the other.
        let is_first = ordered.is_some_and(|last| *number > std::mem::replace(last, *number));
        self.ordered_again += u64::from(!is_first);
    }

    /// A worker does what the command says, now.
    pub(super) fn carry_out(&mut self, command: &Command) {
        self.carried_out += 1;
        let AttemptId { owner, number } = &command.attempt;
        let effect = command.effect_key.0.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
        let done = match owner {
            StreamId::Run(run) => {
                let open = self.open.get_mut(run).map(|open| &mut open.done);
                open.or_else(|| self.closed.get_mut(run))
            }
            StreamId::Target(target) => Some(&mut self.targets.entry(target.clone()).or_default().1),
            StreamId::Definitions => None,
        };
        // A look is taken again whenever what it is for has changed; nothing is done outside.
        let is_look = matches!(command.order, Order::Plan(_) | Order::Measure(_) | Order::Watch(_));
        let why = match done.map(|done| done.note(u64::from(*number), effect)) {
            Some(Noted::EffectAgain) if is_look => return,
            Some(Noted::First) => return,
            Some(Noted::EffectAgain) => {
                self.effects_again += 1;
                if self.again.len() < WORDS_MAX {
                    self.again.push(format!("{} {}", command.order.as_str(), command.attempt));
                }
                return;
            }
            Some(Noted::AttemptAgain) => "was carried out before",
            None => "is of a run that ended long ago",
        };
        self.faults.carried_out_twice += 1;
        self.faults.say(|| format!("{} {} {why}", command.order.as_str(), command.attempt));
    }

    /// The run's last outcome is recorded. Where it went and since when, unless it had ended before: an outcome that
    /// came after its attempt was given up is recorded too. That it ended once is for the log to say.
    pub(super) fn end(&mut self, run: RunId) -> Option<(TargetId, Instant)> {
        let open = self.open.remove(&run)?;
        // Its answer may have been lost with the process; that it ended says more.
        let said = &mut self.said[open.number as usize];
        (said.is_accepted, said.ended) = (true, true);
        self.ended += 1;
        self.closed.insert(run, open.done);
        self.closed_order.push_back(run);
        if self.closed_order.len() > ENDED_MAX
            && let Some(oldest) = self.closed_order.pop_front()
        {
            self.closed.remove(&oldest);
        }
        Some((open.target, open.wanted_at))
    }
}

impl Ledger {
    /// Holds the numbers of the runs in the log, sorted, against what was accepted: each once, and no other.
    /// `given_up`: how many attempts the log says were.
    pub(super) fn settle(&mut self, found: &[u64], given_up: u64) {
        if self.effects_again > given_up {
            let (again, which) = (self.effects_again, &self.again);
            self.faults.carried_out_twice += again - given_up;
            self.faults.say(|| {
                format!("{again} effects under another attempt, but {given_up} were given up: {which:?}")
            });
        }
        for pair in found.windows(2).filter(|pair| pair[0] == pair[1]) {
            self.faults.decided_twice += 1;
            self.faults.say(|| format!("trigger {} has two runs", pair[0]));
        }
        for (number, said) in self.said.iter().enumerate().filter(|(_, said)| said.is_accepted) {
            let is_found = found.binary_search(&(number as u64)).is_ok();
            if !is_found || !said.ended {
                self.faults.lost += 1;
                let what = if is_found { "has not ended" } else { "is not in the log" };
                self.faults.say(|| format!("the run of trigger {number} {what}"));
            }
        }
    }
}

enum Noted {
    First,
    /// The same attempt: never right.
    AttemptAgain,
    /// Another attempt at the same.
    EffectAgain,
}

impl Done {
    fn note(&mut self, attempt: u64, effect: u64) -> Noted {
        if !self.attempts.insert(attempt) {
            return Noted::AttemptAgain;
        }
        let is_first = self.effects.insert(effect);
        self.order.push_back((attempt, effect));
        if self.order.len() > TARGET_COMMANDS_MAX
            && let Some((attempt, effect)) = self.order.pop_front()
        {
            self.attempts.remove(&attempt);
            self.effects.remove(&effect);
        }
        if is_first { Noted::First } else { Noted::EffectAgain }
    }
}

#[cfg(test)]
mod tests {
    use domain::name::Digest;
    use domain::routes::RouteTable;
    use domain::time::{Millis, Timestamp};
    use domain::work::{Apply, Prepare};

    use super::*;

    fn target() -> TargetId {
        TargetId::parse("a@production").unwrap()
    }

    fn run(number: u64) -> RunId {
        RunId::derive("/test", &number.to_string(), &target())
    }

    /// With one trigger accepted, for each number.
    fn ledger(numbers: u64) -> Ledger {
        let mut ledger = Ledger::default();
        for number in 1..=numbers {
            ledger.say(run(number), number, target(), Instant::now());
            ledger.answered(number, Some(number * 10), None);
        }
        ledger
    }

    fn command(number: u32, effect: &[u8], order: Order) -> Command {
        Command {
            attempt: AttemptId { owner: StreamId::Run(run(1)), number },
            target: target(),
            effect_key: Digest::of(effect),
            order,
            issued_at: Timestamp(0),
            lease: Millis(0),
            traceparent: None,
        }
    }

    fn prepare(number: u32, effect: &[u8]) -> Command {
        command(number, effect, Order::Prepare(Prepare { releases: vec![] }))
    }

    #[test]
    fn what_ended_once_and_stands_in_the_log_is_no_fault() {
        let mut ledger = ledger(2);
        ledger.answered(1, Some(10), None);
        ledger.carry_out(&prepare(1, b"one"));
        assert!(ledger.end(run(1)).is_some() && ledger.end(run(2)).is_some());
        ledger.settle(&[1, 2], 0);
        assert_eq!(ledger.faults.all(), 0, "{:?}", ledger.faults);
    }

    #[test]
    fn a_run_that_has_not_ended_or_is_not_in_the_log_is_lost() {
        let mut ledger = ledger(2);
        ledger.end(run(1));
        ledger.end(run(2));
        ledger.say(run(3), 3, target(), Instant::now());
        ledger.answered(3, None, None);
        ledger.settle(&[1, 3], 0);
        assert_eq!(ledger.faults.lost, 2, "{:?}", ledger.faults);
    }

    #[test]
    fn a_trigger_with_two_records_or_two_runs_was_decided_twice() {
        let mut ledger = ledger(1);
        ledger.answered(1, Some(11), None);
        ledger.end(run(1));
        ledger.settle(&[1, 1], 0);
        assert_eq!(ledger.faults.decided_twice, 2, "{:?}", ledger.faults);
    }

    #[test]
    fn an_attempt_carried_out_again_is_a_fault_even_after_its_run() {
        let mut ledger = ledger(1);
        ledger.carry_out(&prepare(1, b"one"));
        ledger.carry_out(&prepare(1, b"one"));
        ledger.end(run(1));
        ledger.carry_out(&prepare(1, b"one"));
        assert_eq!(ledger.faults.carried_out_twice, 2, "{:?}", ledger.faults);
    }

    #[test]
    fn an_effect_of_another_attempt_is_right_only_when_one_was_given_up() {
        let again = |given_up| {
            let mut ledger = ledger(1);
            ledger.carry_out(&prepare(1, b"one"));
            ledger.carry_out(&prepare(2, b"one"));
            ledger.end(run(1));
            ledger.settle(&[1], given_up);
            ledger.faults.carried_out_twice
        };
        assert_eq!((again(1), again(0)), (0, 1));
    }

    #[test]
    fn a_refusal_is_wrong() {
        let mut ledger = ledger(1);
        ledger.answered(1, None, Some("no"));
        assert_eq!(ledger.faults.wrong, 1);
    }

    #[test]
    fn what_is_ordered_again_is_counted() {
        let mut ledger = ledger(1);
        let table = RouteTable::empty(target());
        let apply = command(2, b"two", Order::Apply(Apply { table }));
        ledger.order(&prepare(1, b"one").attempt);
        ledger.order(&apply.attempt);
        assert_eq!(ledger.ordered_again, 0);
        ledger.order(&apply.attempt);
        assert_eq!((ledger.ordered, ledger.ordered_again), (3, 1));
    }
}
