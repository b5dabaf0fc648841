//! What gateways and servers say of themselves: at the start, and whenever it changes. A restart forgot all that
//! was loaded and routed; the targets hear of it here and bring it back under the same generation.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use domain::name::TargetId;
use domain::time::{Millis, Timestamp};
use domain::work::ServerLoaded;
use engine::port::clock::Clock as _;
use engine::port::predictions::Predictions;
use engine::port::store::Store;
use engine::request::Observation;
use stages::port::{Routers as _, Serving as _};

use super::clock::SystemClock;
use super::engine_thread::Message;
use super::routers::OneGateway;
use super::serving::InProcess;

/// The interval of looking.
const EVERY: Duration = Duration::from_secs(1);
/// How often old predictions are dropped.
const SWEEP_EVERY: Millis = Millis::hours(1);

#[derive(Debug)]
pub struct Running {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Running {
    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the observing thread panicked");
        }
    }
}

struct Observer {
    engine: SyncSender<Message>,
    store: Arc<dyn Store>,
    serving: Arc<InProcess>,
    routers: Arc<OneGateway>,
    predictions: Arc<dyn Predictions>,
    retention: Millis,
    clock: Arc<SystemClock>,
    swept_at: Timestamp,
}

pub fn start(
    engine: SyncSender<Message>,
    store: Arc<dyn Store>,
    serving: Arc<InProcess>,
    routers: Arc<OneGateway>,
    predictions: Arc<dyn Predictions>,
    predictions_days: u64,
    clock: &Arc<SystemClock>,
) -> std::io::Result<Running> {
    let (stop, stopped) = channel();
    let (clock, retention) = (Arc::clone(clock), Millis::days(predictions_days));
    let swept_at = Timestamp::default();
    let mut observer = Observer { engine, store, serving, routers, predictions, retention, clock, swept_at };
    let thread =
        std::thread::Builder::new().name("observe".into()).spawn(move || observer.drive(&stopped))?;
    Ok(Running { stop, thread })
}

impl Observer {
    fn drive(&mut self, stopped: &Receiver<()>) {
        loop {
            match self.store.targets() {
                Ok(rows) => {
                    for row in rows {
                        self.observe(&row.target);
                    }
                }
                Err(error) => tracing::warn!(%error, "targets could not be listed"),
            }
            let now = self.clock.wall();
            if now - self.swept_at >= SWEEP_EVERY {
                self.swept_at = now;
                let before = Timestamp(now.0.saturating_sub(self.retention.0));
                if let Err(error) = self.predictions.sweep(before) {
                    tracing::warn!(%error, "old predictions could not be dropped");
                }
            }
            match stopped.recv_timeout(EVERY) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// What is not news is not recorded; what finds no room is said again at the next look.
    fn observe(&self, target: &TargetId) {
        if let Ok(loaded) = self.serving.loaded() {
            let of_model = loaded.into_iter().filter(|(model, _)| *model == target.model);
            let mut bundles: Vec<_> = of_model.map(|(_, bundle)| bundle).collect();
            bundles.sort_unstable();
            let (server, heard_at) = (self.serving.name(), self.clock.wall());
            let what = Observation::Loaded(vec![ServerLoaded { server, bundles, failed: vec![], heard_at }]);
            drop(self.engine.try_send(Message::Observed { target: target.clone(), what }));
        }
        if let Ok(gateways) = self.routers.observed(target) {
            let what = Observation::Routes(gateways);
            drop(self.engine.try_send(Message::Observed { target: target.clone(), what }));
        }
    }
}
