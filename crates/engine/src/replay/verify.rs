//! Is it the truth, and would it be decided so again? The chain, density, positions and time by the rule of every
//! reader; then every recorded input is decided again on the state that it met, and the whole transition compared.

use std::collections::BTreeMap;

use domain::chapter;
use domain::name::{Digest, RunId, StreamId, TargetId};
use domain::transition::{self, Changed, Transition};
use wire::record::Recorded;

use super::read::{dense, landed};
use super::shelf::{Laid, RUNS_KEPT_MAX, row_digest};
use super::walk::{self, Walk, Walked};
use super::{Chapters, ReadError, Reader, States};
use crate::chain;
use crate::port::log::{Landed, Log};
use crate::port::row::{RunRow, TargetRow, Withheld};
use crate::port::store::{self, Head, Store};
use crate::{CHAPTERS_SINCE, DECIDE_REVISION};

/// How many differences are kept in words; all are counted.
pub const DIFFERENCES_MAX: usize = 100;

/// What verifying a partition found.
#[derive(Debug, Clone)]
pub struct Report {
    pub head: Head,
    /// Records behind the last accepted one, none of which follows it.
    pub losers_at_end: u64,
    pub transitions: u64,
    /// Inputs decided again.
    pub decided: u64,
    /// Inputs of another revision of the core, decided again too; their differences are no faults.
    pub other_revisions: u64,
    pub differing: u64,
    pub differences: Vec<Difference>,
    pub chapters: Chapters,
    /// Streams on which nothing is decided at the end: quarantined, or parked.
    pub withheld: Vec<(StreamId, Withheld)>,
    /// Of all states at the end.
    pub state: Digest,
    /// The runs touched last, and all targets.
    pub states: States,
    /// The other runs.
    pub laid: BTreeMap<RunId, Laid>,
}

/// A record that would be decided differently today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub seq: u64,
    pub input: &'static str,
    pub decide_revision: u32,
    /// The events by their names, as recorded and as decided again.
    pub recorded: String,
    pub again: String,
}

impl Report {
    /// Whether every input of this revision was decided as recorded, and every chapter begins with what is true.
    pub fn is_clean(&self) -> bool {
        let same = |difference: &Difference| difference.decide_revision != DECIDE_REVISION;
        self.differences.iter().all(same) && self.chapters.broken == 0
    }

    /// Refuses a log of one writer that does not end with an accepted record: nobody else can have written the rest.
    pub fn check_end(&self) -> Result<(), ReadError> {
        chain::one_writer_ends(self.head.seq, self.losers_at_end)
            .map_err(|source| ReadError::Broken { after: self.head.seq, source })
    }

    /// The rows of the view that are not what the log folds to, by what they are of; the head among them, when the
    /// view has taken another record for the last accepted one. What was written since the log was read is not compared.
    pub fn rows_differing(&self, partition: u32, store: &dyn Store) -> Result<Vec<String>, store::Error> {
        let mut differing = vec![];
        let head = store.head(partition)?;
        // One that stands elsewhere was written while the log was read.
        let comparable = head.filter(|head| head.next_offset == self.head.next_offset);
        if comparable.is_some_and(|head| head.hash != self.head.hash) {
            differing.push(format!("the head of partition {partition}"));
        }
        let is_newer = |last_seq: u64| last_seq > self.head.seq;
        for (run, folded) in &self.states.runs {
            let (run, row): (&RunId, Option<RunRow>) = (run, crate::fold::run_row(partition, folded));
            let found = store.run(*run)?;
            if found != row && !found.is_some_and(|found| is_newer(found.last_seq)) {
                differing.push(run.to_string());
            }
        }
        for (run, laid) in &self.laid {
            let found = store.run(*run)?;
            let digest = found.as_ref().map(row_digest);
            if digest != laid.row && !found.is_some_and(|found| is_newer(found.last_seq)) {
                differing.push(run.to_string());
            }
        }
        for (target, folded) in &self.states.targets {
            let (target, row): (&TargetId, Option<TargetRow>) =
                (target, crate::fold::target_row(partition, target, folded));
            let found = store.target(target)?;
            if found != row && !found.is_some_and(|found| is_newer(found.last_seq)) {
                differing.push(target.to_string());
            }
        }
        Ok(differing)
    }
}

/// Verifies the records of a partition from its first. The first break of the chain is an error.
pub fn verify<E: Into<ReadError>>(
    records: impl IntoIterator<Item = Result<Vec<u8>, E>>,
    reader: Reader,
) -> Result<Report, ReadError> {
    verify_with(records, reader, chapter::Bounds::default())
}

/// The same of a log whose owner cut its streams otherwise.
pub fn verify_with<E: Into<ReadError>>(
    records: impl IntoIterator<Item = Result<Vec<u8>, E>>,
    reader: Reader,
    bounds: chapter::Bounds,
) -> Result<Report, ReadError> {
    walked(Walk::whole(reader), dense(records), bounds, &|_| {})
}

/// Verifies a partition of a log in bounded memory. `seen` hears the length of each record.
pub fn verify_log(
    log: &dyn Log,
    partition: u32,
    reader: Reader,
    seen: &dyn Fn(usize),
) -> Result<Report, ReadError> {
    let again = walk::again(log, partition);
    let walk = Walk::laying_aside(reader, RUNS_KEPT_MAX, &again);
    walked(walk, landed(log, partition), chapter::Bounds::default(), seen)
}

pub(super) fn walked<E: Into<ReadError>>(
    mut walk: Walk<'_>,
    records: impl IntoIterator<Item = Result<Landed, E>>,
    bounds: chapter::Bounds,
    seen: &dyn Fn(usize),
) -> Result<Report, ReadError> {
    let mut chapters = Chapters::default();
    let mut differences = vec![];
    let (mut decided, mut other_revisions, mut differing) = (0, 0, 0);
    for landed in records {
        let landed = landed.map_err(Into::into)?;
        seen(landed.bytes.len());
        let Some((seq, recorded)) = walk.read(&landed)? else { continue };
        other_revisions += u64::from(recorded.decide_revision != DECIDE_REVISION);
        let has_chapters = recorded.decide_revision >= CHAPTERS_SINCE;
        walk.states.chapters = if has_chapters { bounds } else { chapter::Bounds::NEVER };
        chapters.compare(&walk.states, seq, &recorded);
        let changed = match decide_again(&mut walk.states, seq, &recorded) {
            Again::Same(changed) => changed,
            Again::NotCompared => Changed::default(),
            Again::Differs(difference) => {
                differing += 1;
                if differences.len() < DIFFERENCES_MAX {
                    differences.push(difference);
                }
                Changed::default()
            }
        };
        decided += 1;
        walk.apply(seq, &recorded, changed);
    }
    let Walked { head, losers_at_end, states, laid } = walk.end();
    Ok(Report {
        head,
        losers_at_end,
        transitions: states.transitions,
        decided,
        other_revisions,
        differing,
        differences,
        chapters,
        withheld: states.withheld_with(&laid),
        state: states.hash_with(&laid),
        states,
        laid,
    })
}

/// What deciding an input again came to.
enum Again {
    /// The same, and these states.
    Same(Changed),
    Differs(Difference),
    NotCompared,
}

fn decide_again(states: &mut States, seq: u64, recorded: &Recorded) -> Again {
    // A decision that failed has no answer to compare with; another binary may well decide it.
    // Nor has one of which this binary reads only a part.
    let failed = recorded.transition.steps.iter().any(|step| step.quarantined().is_some());
    if failed || !recorded.unread.is_empty() {
        return Again::NotCompared;
    }
    let Some(input) = crate::partition::outside(&recorded.transition) else { return Again::NotCompared };
    let name = input.name();
    let again = match transition::transact(states, input, recorded.now) {
        Ok((again, changed)) if again == recorded.transition => return Again::Same(changed),
        Ok((again, _)) => words(&again),
        Err(failure) => failure.to_string(),
    };
    let recorded_words = words(&recorded.transition);
    let decide_revision = recorded.decide_revision;
    Again::Differs(Difference { seq, input: name, decide_revision, recorded: recorded_words, again })
}

/// A transition by the names of what is in it.
fn words(transition: &Transition) -> String {
    let steps = transition.steps.iter().map(|step| {
        let events = step.event_names().join(", ");
        format!("{} to {}: [{events}]", step.input_name(), step.stream())
    });
    let mut words = steps.collect::<Vec<_>>().join("; ");
    if let Some(refusal) = &transition.refused {
        words.push_str("; refused ");
        words.push_str(&refusal.to_string());
    }
    words
}
