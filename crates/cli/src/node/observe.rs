//! What gateways and servers say of themselves: at the start, and whenever it changes. A restart forgot all that
//! was loaded and routed; the targets hear of it here and bring it back under the same generation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use domain::name::{Digest, Environment, ModelName, TargetId};
use domain::time::{Millis, Timestamp};
use domain::work::ServerLoaded;
use engine::port::clock::Clock as _;
use engine::port::predictions::Predictions;
use engine::request::Observation;
use stages::port::{Routers, Serving};

use super::clock::SystemClock;

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

/// Which targets there are, as far as is known now.
pub type Targets = Box<dyn FnMut() -> Vec<TargetId> + Send>;
/// Where it is said. What finds no room is said again at the next look.
pub type Say = Box<dyn FnMut(&TargetId, Observation) + Send>;

/// What is looked at, and who hears of it.
pub struct Looked {
    pub targets: Targets,
    pub say: Say,
    pub servers: BTreeMap<Environment, Vec<Arc<dyn Serving>>>,
    pub routers: Arc<dyn Routers>,
}

/// What servers of an environment have loaded; those that did not say are missing.
type Loaded = Vec<(Arc<dyn Serving>, Vec<(ModelName, Digest)>)>;

struct Observer {
    looked: Looked,
    /// Drops what is older than so long; nothing is kept by this process without.
    swept: Option<(Arc<dyn Predictions>, Millis)>,
    clock: Arc<SystemClock>,
    swept_at: Timestamp,
}

/// Looks until it is stopped; `swept` are predictions of this process, and how long they are kept.
pub fn start(
    looked: Looked,
    swept: Option<(Arc<dyn Predictions>, Millis)>,
    clock: &Arc<SystemClock>,
) -> std::io::Result<Running> {
    let (stop, stopped) = channel();
    let mut observer = Observer { looked, swept, clock: Arc::clone(clock), swept_at: Timestamp::default() };
    let thread =
        std::thread::Builder::new().name("observe".into()).spawn(move || observer.drive(&stopped))?;
    Ok(Running { stop, thread })
}

impl Observer {
    fn drive(&mut self, stopped: &Receiver<()>) {
        loop {
            self.look();
            self.sweep();
            match stopped.recv_timeout(EVERY) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn look(&mut self) {
        let targets = (self.looked.targets)();
        let mut loaded: BTreeMap<Environment, Loaded> = BTreeMap::new();
        for target in &targets {
            let servers = &self.looked.servers;
            let of_environment = loaded.entry(target.environment.clone()).or_insert_with(|| {
                let servers = servers.get(&target.environment).map(Vec::as_slice).unwrap_or_default();
                servers
                    .iter()
                    .filter_map(|server| Some((Arc::clone(server), server.loaded().ok()?)))
                    .collect()
            });
            let heard_at = self.clock.wall();
            let of_target = |(server, loaded): &(Arc<dyn Serving>, Vec<(ModelName, Digest)>)| {
                let of_model = loaded.iter().filter(|(model, _)| *model == target.model);
                let mut bundles: Vec<Digest> = of_model.map(|(_, bundle)| *bundle).collect();
                bundles.sort_unstable();
                ServerLoaded { server: server.name(), bundles, failed: vec![], heard_at }
            };
            let servers: Vec<ServerLoaded> = of_environment.iter().map(of_target).collect();
            // Nobody who says something is not somebody who has nothing.
            if !servers.is_empty() {
                (self.looked.say)(target, Observation::Loaded(servers));
            }
            match self.looked.routers.observed(target) {
                Ok(gateways) if gateways.is_empty() => {}
                Ok(gateways) => (self.looked.say)(target, Observation::Routes(gateways)),
                Err(error) => tracing::debug!(%target, %error, "gateways were not heard"),
            }
        }
    }

    fn sweep(&mut self) {
        let now = self.clock.wall();
        let Some((predictions, retention)) = &self.swept else { return };
        if now - self.swept_at < SWEEP_EVERY {
            return;
        }
        self.swept_at = now;
        if let Err(error) = predictions.sweep(Timestamp(now.0.saturating_sub(retention.0))) {
            tracing::warn!(%error, "old predictions could not be dropped");
        }
    }
}

/// Says only what is news, and everything again after `again`: what was said may have been lost, and repeats change
/// nothing.
pub fn news(again: Millis, mut say: impl FnMut(&TargetId, Observation) -> bool + Send + 'static) -> Say {
    let clock = SystemClock::default();
    let mut said: BTreeMap<(TargetId, bool), (Observation, Millis)> = BTreeMap::new();
    Box::new(move |target, what| {
        let key = (target.clone(), matches!(what, Observation::Routes(_)));
        let (now, timeless) = (clock.monotonic(), timeless(&what));
        if said.get(&key).is_some_and(|(former, at)| *former == timeless && now.0 - at.0 < again.0) {
            return;
        }
        if say(target, what) {
            said.insert(key, (timeless, now));
        }
    })
}

/// When something was heard is no news.
fn timeless(what: &Observation) -> Observation {
    let heard_at = Timestamp::default();
    match what.clone() {
        Observation::Routes(gateways) => Observation::Routes(
            gateways
                .into_iter()
                .map(|gateway| domain::work::GatewayObserved { heard_at, ..gateway })
                .collect(),
        ),
        Observation::Loaded(servers) => Observation::Loaded(
            servers.into_iter().map(|server| ServerLoaded { heard_at, ..server }).collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use domain::routes::Generation;
    use domain::work::GatewayObserved;
    use stages::port::memory;

    use super::*;

    fn target() -> TargetId {
        TargetId::parse("fraud@production").unwrap()
    }

    fn routes(generation: u64, heard_at: u64) -> Observation {
        Observation::Routes(vec![GatewayObserved {
            gateway: "g".into(),
            generation: Generation(generation),
            override_to: None,
            killed: vec![],
            heard_at: Timestamp(heard_at),
        }])
    }

    #[test]
    fn what_is_no_news_is_not_said_again() {
        let (heard, takes) = (Arc::new(Mutex::new(vec![])), Arc::new(Mutex::new(true)));
        let (hears, taken) = (Arc::clone(&heard), Arc::clone(&takes));
        let mut say = news(Millis::hours(1), move |_, what| {
            hears.lock().unwrap().push(what);
            *taken.lock().unwrap()
        });
        let told = || std::mem::take(&mut *heard.lock().unwrap());
        say(&target(), routes(1, 10));
        say(&target(), routes(1, 20));
        assert_eq!(told(), [routes(1, 10)], "the same, heard later");
        say(&target(), Observation::Loaded(vec![]));
        say(&target(), routes(2, 30));
        assert_eq!(told().len(), 2);
        *takes.lock().unwrap() = false;
        say(&target(), routes(3, 40));
        *takes.lock().unwrap() = true;
        say(&target(), routes(3, 50));
        say(&target(), routes(3, 60));
        assert_eq!(told(), [routes(3, 40), routes(3, 50)], "what was not taken is said again");
        let mut often = news(Millis(0), {
            let hears = Arc::clone(&heard);
            move |_, what| {
                hears.lock().unwrap().push(what);
                true
            }
        });
        often(&target(), routes(1, 1));
        often(&target(), routes(1, 2));
        assert_eq!(told().len(), 2, "and everything after a while");
    }

    #[test]
    fn only_servers_of_the_environment_are_said_of_a_target_and_only_those_heard() {
        let environment = |name: &str| Environment::parse(name).unwrap();
        let server = |loaded: &[&str]| -> Arc<dyn Serving> {
            let server = memory::Server::default();
            for model in loaded {
                let signature = domain::model::Signature::default();
                let by = domain::name::AttemptId::parse("fraud@production.1").unwrap();
                let model = ModelName::parse(model).unwrap();
                server.load(&by, &model, Digest::of(b"b"), b"", &signature).unwrap();
            }
            Arc::new(server)
        };
        let nobody: Arc<dyn Serving> =
            Arc::new(stages::port::RemoteServing::new("http://127.0.0.1:1", "").unwrap());
        let (heard, hears) = channel();
        let mut observer = Observer {
            looked: Looked {
                targets: Box::new(|| vec![target(), TargetId::parse("fraud@staging").unwrap()]),
                say: Box::new(move |target, what| heard.send((target.to_string(), what)).unwrap()),
                servers: BTreeMap::from([
                    (environment("production"), vec![server(&["fraud", "other"]), nobody.clone()]),
                    (environment("staging"), vec![nobody]),
                ]),
                routers: Arc::new(memory::Gateway::default()),
            },
            swept: None,
            clock: Arc::default(),
            swept_at: Timestamp::default(),
        };
        observer.look();
        let said: Vec<(String, Observation)> = hears.try_iter().collect();
        let [(of, Observation::Loaded(servers))] = &said[..] else { panic!("{said:?}") };
        assert_eq!((of.as_str(), servers.len()), ("fraud@production", 1));
        assert_eq!(servers[0].bundles, [Digest::of(b"b")], "of its model");
    }
}
