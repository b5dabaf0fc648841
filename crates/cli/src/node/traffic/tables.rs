//! Has a gateway obey the topic of tables, and says what it obeys.
//!
//! ```text
//!  modelrail.routes --> newest of each target --> offered --> taken, kept --> modelrail.gateways
//!                            ^                      |             ^
//!                  what was kept before             +- not ready: again      the kill switch
//! ```
//!
//! **Invariant:** before the topic was read to its end nothing of it is offered: what stands in it is history, and
//! only the greatest generation of a target counts. What is offered is never older than what was.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use domain::name::TargetId;
use domain::routes::{Generation, RouteTable};
use engine::message::{GatewayReport, LIST_MAX, TargetServed, decode_table, encode_gateway_report};
use engine::port::clock::Clock;
use gateway::{Gateway, Refused};
use log_kafka::Followed;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::kept::Kept;
use super::topic::Publish;
use crate::node::clock::SystemClock;

/// How often a gateway says what it obeys, whether or not it changed.
pub const SAID_EVERY: Duration = Duration::from_secs(1);
/// Between two reports, however often it changes: a start takes many tables.
const SAID_APART: Duration = Duration::from_millis(20);
/// How long a table that is not ready waits to be offered again; doubled up to the second.
const AGAIN_MIN: Duration = Duration::from_millis(100);
const AGAIN_MAX: Duration = Duration::from_secs(2);
/// How long callers wait for the topic to be read, before a gateway that starts serves by the tables that it kept.
pub const READ_WITHIN: Duration = Duration::from_secs(2);

/// What a gateway knows of a target's tables.
#[derive(Debug)]
struct Known {
    newest: RouteTable,
    place: Place,
    /// From before the start, and not from the topic.
    is_kept: bool,
    tries: u32,
    /// Why it was not taken the last time, said once.
    refused: Option<&'static str>,
}

/// Where the newest table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// To be offered at this time.
    Waiting(Instant),
    /// Being offered, of this generation.
    Offered(Generation),
    /// Taken, or refused for good.
    Done,
}

/// How an offer ended.
type Offered = (TargetId, Generation, Result<(), Refused>);

#[derive(Debug)]
pub struct Tables {
    gateway: Gateway,
    kept: Kept,
    says: Arc<dyn Publish>,
    clock: SystemClock,
    known: BTreeMap<TargetId, Known>,
    offers: JoinSet<Offered>,
    is_read: bool,
    current: watch::Sender<bool>,
    /// The last report did not arrive.
    unheard: Arc<AtomicBool>,
}

impl Tables {
    /// For a gateway that has not served yet. `before` is what it kept.
    pub fn new(gateway: Gateway, kept: Kept, before: Vec<RouteTable>, says: Arc<dyn Publish>) -> Self {
        gateway.catch_up(true);
        let known = |table: RouteTable| {
            (table.target.clone(), Known { is_kept: true, ..Known::waiting(table, Instant::now()) })
        };
        Self {
            gateway,
            kept,
            says,
            clock: SystemClock::default(),
            known: before.into_iter().map(known).collect(),
            offers: JoinSet::new(),
            is_read: false,
            current: watch::Sender::new(false),
            unheard: Arc::default(),
        }
    }

    /// Whether the topic was read to its end, and each newest table was offered.
    pub fn current(&self) -> watch::Receiver<bool> {
        self.current.subscribe()
    }

    /// Until nothing more comes.
    pub async fn obey(mut self, mut seen: mpsc::Receiver<Followed>) {
        let mut changes = self.gateway.changes();
        let (mut said_at, mut is_news) = (Instant::now(), true);
        loop {
            self.offer();
            self.look_whether_current();
            let say_at = said_at + if is_news { SAID_APART } else { SAID_EVERY };
            let (next_offer, is_current) = (self.next_offer(), *self.current.borrow());
            tokio::select! {
                it = seen.recv() => match it {
                    Some(Followed::Record(record)) => self.take(record.value.as_deref()),
                    Some(Followed::End) => self.read_to_the_end(),
                    None => return,
                },
                Some(ended) = self.offers.join_next() => match ended {
                    Ok(offered) => self.offered(offered),
                    Err(error) => tracing::error!(%error, "an offer of a table broke"),
                },
                Ok(()) = changes.changed() => is_news = true,
                // Before, it would say that it obeys nothing, and be believed.
                () = sleep_until(say_at), if is_current => {
                    self.say();
                    (said_at, is_news) = (Instant::now(), false);
                }
                () = sleep_until(next_offer.unwrap_or(say_at)), if next_offer.is_some() => {}
            }
        }
    }

    /// A table that was read. What is not newer than what is known changes nothing.
    fn take(&mut self, value: Option<&[u8]>) {
        let Some(bytes) = value else { return };
        let table = match decode_table(bytes) {
            Ok(table) => table,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a table cannot be read, and is passed over"
                );
                return;
            }
        };
        let Some(known) = self.known.get_mut(&table.target) else {
            self.known.insert(table.target.clone(), Known::waiting(table, Instant::now()));
            return;
        };
        if table.generation > known.newest.generation {
            *known = Known::waiting(table, Instant::now());
        } else if known.newest == table {
            // Whoever says it again may know that it is ready now.
            known.hurry();
        } else if known.newest.generation == table.generation {
            tracing::error!(target = %table.target, generation = %table.generation, "two tables of one generation; the first one counts");
        }
    }

    fn read_to_the_end(&mut self) {
        self.is_read = true;
        // What was not ready may be.
        self.known.values_mut().for_each(Known::hurry);
    }

    /// Offers what is due. Each by itself: a model server that does not answer keeps no other target waiting.
    fn offer(&mut self) {
        let now = Instant::now();
        for (target, known) in &mut self.known {
            // What was read of a topic that was not read to its end is history.
            let may = self.is_read || known.is_kept;
            let is_due = matches!(known.place, Place::Waiting(at) if at <= now);
            if !may || !is_due {
                continue;
            }
            let (table, target) = (known.newest.clone(), target.clone());
            known.place = Place::Offered(table.generation);
            let (gateway, kept) = (self.gateway.clone(), self.kept.clone());
            self.offers.spawn(async move {
                let generation = table.generation;
                let taken = gateway.apply(table.clone()).await;
                if taken.is_ok() {
                    keep(kept, table).await;
                }
                (target, generation, taken.map(drop))
            });
        }
    }

    fn next_offer(&self) -> Option<Instant> {
        let may = self.known.values().filter(|known| self.is_read || known.is_kept);
        let waiting = may.filter_map(|known| match known.place {
            Place::Waiting(at) => Some(at),
            Place::Offered(_) | Place::Done => None,
        });
        waiting.min()
    }

    fn offered(&mut self, (target, generation, taken): Offered) {
        let Some(known) = self.known.get_mut(&target) else { return };
        // A newer one came meanwhile, and is offered by itself.
        if known.place != Place::Offered(generation) {
            return;
        }
        known.place = match taken {
            Ok(()) => Place::Done,
            Err(refused) => {
                if known.refused.replace(refused.code()) != Some(refused.code()) {
                    tracing::warn!(%target, %generation, code = refused.code(), error = &refused as &dyn std::error::Error, "the gateway refused a table");
                }
                let wait = AGAIN_MIN.saturating_mul(1 << known.tries.min(16)).min(AGAIN_MAX);
                known.tries += 1;
                if refused.may_pass() { Place::Waiting(Instant::now() + wait) } else { Place::Done }
            }
        };
    }

    fn look_whether_current(&mut self) {
        if *self.current.borrow() || !self.is_read {
            return;
        }
        let is_untried = |known: &Known| known.tries == 0 && known.place != Place::Done;
        if !self.known.values().any(is_untried) {
            self.gateway.catch_up(false);
            self.current.send_replace(true);
            tracing::info!(targets = self.known.len(), "the route tables are current");
        }
    }

    /// What is obeyed, target by target; also where nothing is yet.
    fn say(&self) {
        let mut served: BTreeMap<TargetId, TargetServed> =
            self.known.keys().map(|target| (target.clone(), nothing_served(target))).collect();
        for observed in self.gateway.observed_all() {
            let (to, killed) = observed.overridden.map_or((None, vec![]), |it| (it.to, it.killed));
            let generation = observed.generation.unwrap_or_default();
            let target = observed.target.clone();
            let of_target = TargetServed { target, generation, override_to: to, killed };
            served.insert(observed.target, of_target);
        }
        let report = GatewayReport {
            gateway: self.gateway.id().into(),
            heard_at: self.clock.wall(),
            targets: served.into_values().take(LIST_MAX).collect(),
        };
        let unheard = Arc::clone(&self.unheard);
        let told = move |result: Result<(), log_kafka::Error>| match result {
            Ok(()) => unheard.store(false, Relaxed),
            Err(error) if unheard.swap(true, Relaxed) => tracing::debug!(%error, "still nobody hears"),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "nobody hears what this gateway obeys; it goes on serving"
            ),
        };
        // What finds no room is said again in a moment.
        let sent = self.says.send(self.gateway.id(), encode_gateway_report(&report), Box::new(told.clone()));
        if sent.is_err() {
            told(sent);
        }
    }
}

impl Known {
    fn waiting(newest: RouteTable, at: Instant) -> Self {
        Self { newest, place: Place::Waiting(at), is_kept: false, tries: 0, refused: None }
    }

    fn hurry(&mut self) {
        if let Place::Waiting(at) = &mut self.place {
            *at = (*at).min(Instant::now());
        }
    }
}

fn nothing_served(target: &TargetId) -> TargetServed {
    let generation = Generation::default();
    TargetServed { target: target.clone(), generation, override_to: None, killed: vec![] }
}

/// A table that is not kept is read from the topic at the next start.
async fn keep(kept: Kept, table: RouteTable) {
    let target = table.target.clone();
    let put = tokio::task::spawn_blocking(move || kept.put(&table)).await;
    match put {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%target, %error, "a table could not be kept"),
        Err(error) => tracing::error!(%target, %error, "keeping a table broke"),
    }
}

#[cfg(test)]
mod tests;
