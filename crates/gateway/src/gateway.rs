//! The gateway's state and what the rollout worker asks of it: take a table, say what is served.
//!
//! Readers take a target's [`Serving`] without a lock. Tables and kills replace it one after the other; a kill never
//! waits for a table, because readiness is asked before the lock is taken.
//! Invariant: what is served was ready when it was taken; see `tables` for the rest.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use domain::model::Release;
use domain::name::{Digest, Environment, TargetId};
use domain::routes::RouteTable;
use engine::port::predictions::Predictions;
use hyper::header::HeaderValue;
use tokio::sync::{Semaphore, watch};

use crate::backend::Backend;
use crate::kill::Credential;
use crate::lanes::Lanes;
use crate::limits::Limits;
use crate::log::Log;
use crate::metrics::{self, Counts, ReleaseCounts};
use crate::overrides::{Override, Overrides, OverridesError};
use crate::tables::{self, Led, Observed, Refused, Serving};

/// Releases whose counts are kept when no table names them any more.
const RELEASES_COUNTED_MAX: usize = 256;

/// What a gateway is made of.
#[derive(Debug)]
pub struct Settings {
    /// How it calls itself in what it reports.
    pub id: String,
    /// Where overrides are kept; no other gateway may have the same.
    pub folder: PathBuf,
    /// Where releases answer that were not placed elsewhere by [`Gateway::place`], at targets of environments that
    /// have none of their own.
    pub backend: Arc<dyn Backend>,
    /// Where the releases of an environment's targets answer.
    pub environments: BTreeMap<Environment, Arc<dyn Backend>>,
    pub predictions: Arc<dyn Predictions>,
    /// What opens the kill switch; without one it is shut.
    pub kill: Option<Credential>,
    pub limits: Limits,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Overrides(#[from] OverridesError),
    #[error("failed to start the thread that writes predictions")]
    Thread(#[source] std::io::Error),
    #[error("failed to start the threads that serve")]
    Lanes(#[source] std::io::Error),
}

/// A gateway; clones share everything.
#[derive(Debug, Clone)]
pub struct Gateway {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    id: String,
    pub(crate) limits: Limits,
    pub(crate) credential: Option<Credential>,
    pub(crate) predictions: Arc<dyn Predictions>,
    pub(crate) log: Arc<Log>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) in_flight: Semaphore,
    pub(crate) lanes: Lanes,
    targets: ArcSwap<Targets>,
    overrides: Overrides,
    backend: Arc<dyn Backend>,
    environments: BTreeMap<Environment, Arc<dyn Backend>>,
    /// Whether newer tables may be there that were not offered yet.
    catching_up: AtomicBool,
    /// Counts what was replaced.
    changes: watch::Sender<u64>,
    changing: Mutex<Changing>,
}

/// Held by whoever replaces what is served.
#[derive(Debug, Default)]
pub(crate) struct Changing {
    placed: BTreeMap<Digest, Arc<dyn Backend>>,
    releases: BTreeMap<(TargetId, Digest), Arc<ReleaseCounts>>,
}

#[derive(Debug, Default, Clone)]
struct Targets {
    by_id: HashMap<String, Arc<Target>>,
    /// Nothing where several targets have the model.
    by_model: HashMap<String, Option<Arc<Target>>>,
}

#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) id: TargetId,
    pub(crate) serving: ArcSwap<Serving>,
}

impl Gateway {
    /// Opens a gateway that serves nobody yet: tables come by [`Gateway::apply`], overrides were kept.
    pub fn open(settings: Settings) -> Result<Self, OpenError> {
        let (overrides, kept) = Overrides::open(&settings.folder)?;
        let counts = Arc::new(Counts::default());
        let log = Log::start(Arc::clone(&settings.predictions), &settings.limits, Arc::clone(&counts));
        let shared = Shared {
            id: settings.id,
            in_flight: Semaphore::new(settings.limits.in_flight_max.min(Semaphore::MAX_PERMITS)),
            lanes: Lanes::start().map_err(OpenError::Lanes)?,
            limits: settings.limits,
            credential: settings.kill,
            predictions: settings.predictions,
            log: Arc::new(log.map_err(OpenError::Thread)?),
            counts,
            targets: ArcSwap::default(),
            overrides,
            backend: settings.backend,
            environments: settings.environments,
            catching_up: AtomicBool::new(false),
            changes: watch::Sender::default(),
            changing: Mutex::default(),
        };
        for overridden in kept {
            tracing::warn!(target = %overridden.target, killed = ?overridden.killed, "an override was kept");
            shared.serve(&mut shared.changing(), overridden.target.clone(), None, Some(overridden));
        }
        Ok(Self { shared: Arc::new(shared) })
    }

    pub fn id(&self) -> &str {
        &self.shared.id
    }

    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Says whether there may be newer tables than those that were offered: until that is over the gateway serves
    /// by what it has, and tells probes that it is not ready.
    pub fn catch_up(&self, catching_up: bool) {
        self.shared.catching_up.store(catching_up, Relaxed);
    }

    /// Says where a release answers, from the next table on that names it.
    pub fn place(&self, bundle: Digest, backend: Arc<dyn Backend>) {
        self.shared.changing().placed.insert(bundle, backend);
    }

    /// Forgets where a release answers; from the next table on it is the gateway's own backend again.
    pub fn displace(&self, bundle: Digest) {
        self.shared.changing().placed.remove(&bundle);
    }

    /// Takes a table when its generation is not older than the one served, it is sound, and all that it leads
    /// callers to is ready; from then on requests go by it. Those in flight end where they are.
    pub async fn apply(&self, table: RouteTable) -> Result<Observed, Refused> {
        let result = self.try_apply(table).await;
        let counts = &self.shared.counts;
        let count = if result.is_ok() { &counts.tables_applied } else { &counts.tables_refused };
        count.fetch_add(1, Relaxed);
        result
    }

    async fn try_apply(&self, table: RouteTable) -> Result<Observed, Refused> {
        self.admit(&table)?;
        for release in tables::must_be_ready(&table) {
            self.is_ready(&table.target, release).await?;
        }
        let mut changing = self.shared.changing();
        // Another table or a kill may have come while the releases were asked.
        let before = self.admit(&table)?;
        let former = before.as_ref().and_then(|target| target.serving.load().overridden.clone());
        let overridden = tables::remaining(former.as_ref(), &table);
        if former.is_some() && overridden.is_none() {
            tracing::warn!(target = %table.target, generation = %table.generation, "the override has ended");
        }
        let changed = former != overridden;
        let serving = self.shared.serve(&mut changing, table.target.clone(), Some(table), overridden);
        if changed && let Err(error) = self.shared.keep_overrides() {
            // After a restart the kept one ends again by this table, or keeps callers away for longer.
            tracing::error!(error = crate::refusal::text_with_causes(&error), "failed to keep the overrides");
        }
        Ok(serving.observed())
    }

    fn admit(&self, table: &RouteTable) -> Result<Option<Arc<Target>>, Refused> {
        let target = self.shared.target(&table.target.to_string());
        let (limits, serving) =
            (&self.shared.limits, target.as_ref().map(|target| target.serving.load_full()));
        let served = serving.as_ref().and_then(|serving| serving.intended.as_ref());
        let overridden = serving.as_ref().and_then(|serving| serving.overridden.as_ref());
        tables::admit(limits, served, overridden, table)?;
        if target.is_none() && self.shared.targets.load().by_id.len() >= limits.targets_max {
            return Err(Refused::TooMany { targets_max: limits.targets_max });
        }
        Ok(target)
    }

    async fn is_ready(&self, target: &TargetId, release: &Release) -> Result<(), Refused> {
        let backend = self.shared.backend_of(&self.shared.changing(), target, release.bundle);
        let asked = backend.is_ready(&target.model, release.bundle);
        let timeout = Duration::from_millis(self.shared.limits.ready_timeout_ms);
        let source = match tokio::time::timeout(timeout, asked).await {
            Ok(Ok(true)) => return Ok(()),
            Ok(Ok(false)) => return Err(Refused::NotReady { release: Box::new(release.clone()) }),
            Ok(Err(fault)) => fault.into(),
            Err(late) => late.into(),
        };
        Err(Refused::Unreachable { release: Box::new(release.clone()), source })
    }

    /// What is served at a target; nothing when neither a table nor an override is here.
    pub fn observed(&self, target: &TargetId) -> Option<Observed> {
        Some(self.shared.target(&target.to_string())?.serving.load().observed())
    }

    /// What is served at all targets, by their names.
    pub fn observed_all(&self) -> Vec<Observed> {
        let targets = self.shared.targets.load();
        let mut all: Vec<_> = targets.by_id.values().map(|target| target.serving.load().observed()).collect();
        all.sort_by(|a, b| a.target.cmp(&b.target));
        all
    }

    /// Changes when what is served at any target does: by a table, or by the kill switch.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Requests that a release is at. A release that no table names may be unloaded when there are none; one that
    /// was just chosen by the former table is led anew.
    pub fn in_flight(&self, bundle: Digest) -> u64 {
        let changing = self.shared.changing();
        let of_bundle = changing.releases.iter().filter(|((_, of), _)| *of == bundle);
        of_bundle.map(|(_, counts)| counts.in_flight.load(Relaxed)).sum()
    }

    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// Counts of the releases of a target, by their bundles.
    pub fn release_counts(&self, target: &TargetId) -> Vec<Arc<ReleaseCounts>> {
        let changing = self.shared.changing();
        changing.releases.iter().filter(|((of, _), _)| of == target).map(|(_, it)| Arc::clone(it)).collect()
    }

    /// All counts as OpenMetrics text, each name beginning with `prefix`; without the closing `# EOF`.
    pub fn render_openmetrics(&self, prefix: &str) -> String {
        let releases: Vec<_> = self.shared.changing().releases.values().cloned().collect();
        metrics::render(prefix, self.counts(), &releases, &self.observed_all())
    }

    /// Waits until the predictions of all answers given so far are written.
    pub async fn flush(&self) {
        self.shared.log.flush().await;
    }
}

impl Shared {
    pub(crate) fn changing(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn target(&self, id: &str) -> Option<Arc<Target>> {
        self.targets.load().by_id.get(id).cloned()
    }

    /// The only target with the model.
    pub(crate) fn target_of_model(&self, model: &str) -> Option<Arc<Target>> {
        self.targets.load().by_model.get(model).cloned().flatten()
    }

    /// Whether there is no newer table that was not offered.
    pub(crate) fn is_current(&self) -> bool {
        !self.catching_up.load(Relaxed)
    }

    /// Whether any target has somebody to answer.
    pub(crate) fn serves(&self) -> bool {
        self.targets.load().by_id.values().any(|target| target.serving.load().first().is_some())
    }

    fn backend_of(&self, changing: &Changing, target: &TargetId, bundle: Digest) -> Arc<dyn Backend> {
        let placed = changing.placed.get(&bundle);
        let of_environment = || self.environments.get(&target.environment);
        Arc::clone(placed.or_else(of_environment).unwrap_or(&self.backend))
    }

    /// Replaces what is served at a target.
    pub(crate) fn serve(
        &self,
        changing: &mut Changing,
        target: TargetId,
        intended: Option<RouteTable>,
        overridden: Option<Override>,
    ) -> Arc<Serving> {
        // An override alone leads nobody anywhere: only a table was asked whether its releases are ready.
        let effective = intended.as_ref().map_or_else(
            || RouteTable::empty(target.clone()),
            |table| tables::effective(table, overridden.as_ref()),
        );
        let mut led = vec![];
        for route in &effective.routes {
            let bundle = route.release.bundle;
            let counts = changing
                .releases
                .entry((target.clone(), bundle))
                .or_insert_with(|| Arc::new(ReleaseCounts::new(target.clone(), route.release.clone())));
            led.push(Led {
                release: route.release.clone(),
                version: header(route.release.version.as_str()),
                bundle: bundle.hex().into(),
                counts: Arc::clone(counts),
                backend: self.backend_of(changing, &target, bundle),
            });
        }
        let generation = header(&effective.generation.to_string());
        let serving = Arc::new(Serving { intended, overridden, effective, led, generation });
        match self.target(&target.to_string()) {
            Some(place) => place.serving.store(Arc::clone(&serving)),
            None => self.add(Target { id: target, serving: ArcSwap::new(Arc::clone(&serving)) }),
        }
        self.forget(changing);
        self.changes.send_modify(|changes| *changes += 1);
        serving
    }

    fn add(&self, target: Target) {
        let mut targets = Targets::clone(&self.targets.load());
        let target = Arc::new(target);
        targets
            .by_model
            .entry(target.id.model.to_string())
            .and_modify(|only| *only = None)
            .or_insert_with(|| Some(Arc::clone(&target)));
        targets.by_id.insert(target.id.to_string(), target);
        self.targets.store(Arc::new(targets));
    }

    /// Forgets the counts of releases that nobody names, when there are too many.
    fn forget(&self, changing: &mut Changing) {
        if changing.releases.len() <= RELEASES_COUNTED_MAX {
            return;
        }
        let targets = self.targets.load();
        let is_named = |target: &TargetId, bundle: &Digest| {
            let target = targets.by_id.get(&target.to_string());
            target.is_some_and(|it| it.serving.load().led.iter().any(|led| led.release.bundle == *bundle))
        };
        changing
            .releases
            .retain(|(target, bundle), it| it.in_flight.load(Relaxed) > 0 || is_named(target, bundle));
    }

    /// Writes the overrides of all targets; the caller holds [`Shared::changing`].
    pub(crate) fn keep_overrides(&self) -> Result<(), OverridesError> {
        let targets = self.targets.load();
        let mut all: Vec<Override> =
            targets.by_id.values().filter_map(|target| target.serving.load().overridden.clone()).collect();
        all.sort_by(|a, b| a.target.cmp(&b.target));
        self.overrides.write(all.iter())
    }
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("versions and numbers are plain text")
}
