//! The test's own book of what was answered and seen, held against what the log says in the end.

use std::collections::{BTreeMap, BTreeSet};

use api::view::{TargetHistory, TransitionView};

use super::asking::Client;
use super::callers::Seen;

/// What a run's transitions were when they were read, by record: its hash.
type Prefix = Vec<(u64, String)>;

/// What a client was told.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The published events: run, version and target.
    pub(crate) published: Vec<Published>,
    /// Requests that were accepted: run, key, record.
    pub(crate) accepted: Vec<(String, String, u64)>,
    /// The longest history of each run that was read between kills.
    pub(crate) read: BTreeMap<String, Prefix>,
}

#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) run: String,
    pub(crate) version: String,
    pub(crate) target: String,
}

/// How a version's run may end when nothing is decided differently.
fn good_ends(version: &str) -> &'static [&'static str] {
    match version {
        "v1" => &["live", "standby", "retired"],
        "v2" => &["live"],
        _ => &["rolled_back"],
    }
}

fn prefix(transitions: &[TransitionView]) -> Prefix {
    transitions.iter().map(|transition| (transition.seq, transition.hash.clone())).collect()
}

impl Ledger {
    /// Notes a history that was read; what was read before must be its beginning.
    pub(crate) fn note(&mut self, run: &str, transitions: &[TransitionView]) {
        let now = prefix(transitions);
        let before = self.read.entry(run.to_owned()).or_default();
        assert!(now.starts_with(before), "run {run} was decided differently:\n{before:?}\n{now:?}");
        *before = now;
    }

    /// Holds the book against the log; gives how many answers and effects were looked at.
    pub(crate) fn settle(&mut self, client: &Client, seen: &Seen) -> usize {
        let mut checked = 0;
        let listed: BTreeMap<String, String> =
            client.runs().into_iter().map(|line| (line.run, line.state)).collect();
        for published in self.published.clone() {
            let state = listed.get(&published.run);
            let state = state.unwrap_or_else(|| panic!("a run is lost: {published:?}"));
            let transitions = client.transitions(&published.run);
            let is_good = good_ends(&published.version).contains(&state.as_str());
            assert!(is_good, "{published:?} is {state}:\n{transitions:#?}");
            self.note(&published.run, &transitions);
            checked += 1 + once_each(&published.run, &transitions);
            for (_, key, seq) in self.accepted.iter().filter(|(run, ..)| *run == published.run) {
                let taken: Vec<u64> = transitions
                    .iter()
                    .filter(|it| it.input_id.as_deref().is_some_and(|id| id.ends_with(key.as_str())))
                    .filter(|it| it.refused.is_none())
                    .map(|it| it.seq)
                    .collect();
                assert_eq!(taken, [*seq], "request {key} of run {}", published.run);
                checked += 1;
            }
        }
        assert_eq!(listed.len(), self.published.len(), "there are runs that nobody published");
        let targets: BTreeSet<&String> = self.published.iter().map(|published| &published.target).collect();
        for target in targets {
            checked += one_table_each(target, &history(client, target), seen);
        }
        assert!(seen.went_back.is_empty(), "callers saw generations go back: {:?}", seen.went_back);
        let verified = client.verify();
        assert!(verified.good, "{verified:#?}");
        checked
    }
}

/// Each attempt is issued once, has at most one accepted outcome, and the run is packed once. Gives how many attempts
/// and outcomes there are.
fn once_each(run: &str, transitions: &[TransitionView]) -> usize {
    let mut issued = BTreeSet::new();
    let mut closed: BTreeMap<String, u64> = BTreeMap::new();
    let mut bundles = BTreeSet::new();
    let seqs: BTreeSet<u64> = transitions.iter().map(|transition| transition.seq).collect();
    assert_eq!(seqs.len(), transitions.len(), "run {run}: a record twice");
    for step in transitions.iter().flat_map(|transition| &transition.steps) {
        for event in &step.events {
            let attempt = || format!("{} {}", step.stream, event.value("attempt").unwrap_or_default());
            match event.event.as_str() {
                "AttemptIssued" => assert!(issued.insert(attempt()), "{run}: {} twice", attempt()),
                "EvidenceRecorded" | "PlanMade" | "ApproversNotified" => {
                    *closed.entry(format!("{} {}", attempt(), event.event)).or_default() += 1;
                }
                "BundlePacked" => {
                    bundles.insert(event.value("bundle").unwrap_or_default().to_owned());
                    *closed.entry(format!("{} packed", attempt())).or_default() += 1;
                }
                "ReleaseLoaded" | "RoutesObserved" if event.value("attempt").is_some() => {
                    *closed.entry(format!("{} {}", attempt(), event.event)).or_default() += 1;
                }
                _ => {}
            }
        }
    }
    assert!(!issued.is_empty() && !closed.is_empty(), "run {run} did nothing: {transitions:#?}");
    assert_eq!(bundles.len(), 1, "run {run} was packed to {bundles:?}");
    let twice: Vec<_> = closed.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "run {run}: outcomes were taken twice: {twice:?}");
    issued.len() + closed.len()
}

fn history(client: &Client, target: &str) -> Vec<api::view::HistoryLine> {
    let (mut all, mut cursor) = (vec![], String::new());
    loop {
        let page: TargetHistory = client.get(&format!("/v1/targets/{target}/history?limit=100{cursor}"));
        all.extend(page.history);
        let Some(next) = page.next_cursor else { return all };
        cursor = format!("&cursor={next}");
    }
}

/// Generations rise one by one, each with one table, and callers were answered by that table only.
fn one_table_each(target: &str, history: &[api::view::HistoryLine], seen: &Seen) -> usize {
    let raised: Vec<_> = history.iter().filter(|line| line.what == "generation_raised").collect();
    let generations: Vec<u64> = raised.iter().filter_map(|line| line.generation).collect();
    let dense: Vec<u64> = (1..=generations.len() as u64).collect();
    assert_eq!(generations, dense, "the generations of {target}");
    let versions_of = |generation: u64| -> BTreeSet<String> {
        let line = raised.iter().find(|line| line.generation == Some(generation));
        let line = line.unwrap_or_else(|| panic!("{target} never had generation {generation}"));
        let routes = line.routes.iter().filter(|route| route.weight_basis_points > 0);
        routes.map(|route| route.release.version.clone()).collect()
    };
    for ((_, generation), versions) in seen.versions.iter().filter(|((of, _), _)| of == target) {
        let table = versions_of(*generation);
        assert!(
            versions.is_subset(&table),
            "{target}: generation {generation} is {table:?}, but {versions:?} answered"
        );
    }
    generations.len()
}
