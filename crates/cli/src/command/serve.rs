//! Runs the server until somebody interrupts it, then lets what is under way end.
//!
//! ```text
//!  start -> serve -- signal --> drain (readyz 503) -- done, or drain_seconds --> stop: 0
//!    ^        |                    `-- second signal --> 7, at once
//!    |        +-- a write found no room on the disk: reading goes on .. room again --+
//!    +---------------------------- stop <--------------------------------------------+
//! ```
//!
//! After a write that failed nobody knows what landed, so the folder is closed and opened again inside of this
//! process: the normal start, which reads it.

pub(super) mod apart;
mod planes;

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::argv::{Global, ServeArguments};
use crate::config::{self, Config};
use crate::exit::{Exit, Failure};
use crate::node::{self, Node, StartError};
use crate::output::{Output, facts, say};
use crate::telemetry;

/// How often to see whether the engine still runs.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long threads of the former start may hold the data folder when it is opened again.
const LET_GO_MAX: Duration = Duration::from_mins(1);

#[derive(Serialize)]
struct Serving {
    api: String,
    gateway: String,
    data: String,
}

/// Why a node is to stop.
enum Ended {
    Asked,
    /// The engine stopped by itself.
    Stopped,
    /// There is room on the disk again.
    Room,
}

pub(super) async fn serve(global: &Global, serve: &ServeArguments, output: Output) -> Result<Exit, Failure> {
    let (mut config, _) = config::load(global.config.as_deref(), global.data.as_deref())
        .map_err(|error| Failure::of_config(&error))?;
    if let Some(listen) = serve.listen {
        config.server.listen = listen;
    }
    let _telemetry = telemetry::start(&config.telemetry)
        .map_err(|error| Failure::usage("TELEMETRY", error.to_string()).field("telemetry"))?;
    // Before anybody is told that it runs: whoever is told may interrupt it at once.
    let mut signals = Signals::new()?;
    if planes::are_planes(&serve.roles)? {
        return planes::serve(&config, &serve.roles, &mut signals, output).await;
    }
    if !config.kafka.is_embedded() {
        return apart::serve(&config, &serve.roles, serve.listen, &mut signals, output).await;
    }
    let mut node = Node::start(&config).await.map_err(|error| not_started(&error))?;
    tell(&node, &config, output)?;
    // Callers find it where it was.
    config.server.listen = node.api;
    config.gateway.listen = node.gateway_address;
    config.model_server.listen = node.models;
    loop {
        match ended(&node, &mut signals).await {
            Ended::Asked => return Ok(shut_down(node, &config, &mut signals).await),
            Ended::Stopped => {
                node.stop().await;
                return Err(Failure::new(
                    Exit::Failed,
                    "ENGINE_STOPPED",
                    "expected an engine that runs, but it stopped",
                )
                .hint("the log above says why; after that, start again: what was acknowledged is kept"));
            }
            Ended::Room => {
                tracing::warn!("there is room on the disk again: the data folder is opened anew");
                node.stop().await;
                match start_again(&config, &mut signals).await? {
                    Some(again) => node = again,
                    None => return Ok(Exit::Good),
                }
            }
        }
    }
}

fn tell(node: &Node, config: &Config, output: Output) -> Result<(), Failure> {
    let serving = Serving {
        api: format!("http://{}", node.api),
        gateway: format!("http://{}", node.gateway_address),
        data: config.store.data.display().to_string(),
    };
    output.line(&serving, |serving| {
        facts(&[
            ("api", Some(serving.api.clone())),
            ("gateway", Some(serving.gateway.clone())),
            ("data", Some(serving.data.clone())),
        ])
    })
}

async fn ended(node: &Node, signals: &mut Signals) -> Ended {
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            () = signals.next() => return Ended::Asked,
            _ = look.tick() => {
                if node.is_full() {
                    if node.wants_reopening() {
                        return Ended::Room;
                    }
                } else if !node.is_running() {
                    return Ended::Stopped;
                }
            }
        }
    }
}

async fn shut_down(node: Node, config: &Config, signals: &mut Signals) -> Exit {
    let within = Duration::from_secs(config.server.drain_seconds);
    say(&format!(
        "shutting down: what is under way ends first, within {} s; a second signal ends it at once",
        within.as_secs()
    ));
    let ending = async {
        if !node.drain(within).await {
            tracing::warn!("some work has not ended in time; it is done again after the next start");
        }
        node.stop().await;
    };
    tokio::select! {
        () = ending => Exit::Good,
        () = signals.next() => {
            say("cut short: what was acknowledged is kept, what is under way is done again after the next start");
            // Threads of workers would be waited for.
            Exit::CutShort.end()
        }
    }
}

/// Nothing when it was interrupted meanwhile.
async fn start_again(config: &Config, signals: &mut Signals) -> Result<Option<Node>, Failure> {
    let began = Instant::now();
    loop {
        match Node::start(config).await {
            Ok(node) => return Ok(Some(node)),
            Err(error) => {
                let held = matches!(error, StartError::Folder(rocks::Error::InUse { .. }));
                let waits = node::is_full(&error) || (held && began.elapsed() < LET_GO_MAX);
                if !waits {
                    return Err(not_started(&error));
                }
                tracing::warn!(%error, "the data folder cannot be opened yet");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = signals.next() => return Ok(None),
        }
    }
}

/// Until somebody interrupts it: true; or it ended by itself: false.
pub(super) async fn interrupted(signals: &mut Signals, is_running: impl Fn() -> bool) -> bool {
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            () = signals.next() => return true,
            _ = look.tick() => {
                if !is_running() {
                    return false;
                }
            }
        }
    }
}

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(Exit::Failed, "SIGNALS", "failed to listen for signals").cause(&error)
            })
        };
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The code and the hint of what led to it, if that has its own.
fn known(error: &StartError) -> Option<(&'static str, Option<&'static str>)> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut found = None;
    while let Some(error) = next {
        // The deepest one says most.
        found = if let Some(error) = error.downcast_ref::<rocks::Error>() {
            Some((error.code(), error.hint()))
        } else if let Some(stopped) = error.downcast_ref::<engine::code::Stopped>() {
            Some((stopped.code.as_str(), Some(stopped.code.hint())))
        } else if let Some(error) = error.downcast_ref::<api::auth::Error>() {
            Some((error.code(), Some("restore the file from a copy")))
        } else if let Some(engine::port::store::Error::Corrupt(_)) = error.downcast_ref() {
            Some(("VIEW_DAMAGED", Some("restore the data folder from a copy")))
        } else {
            found
        };
        next = error.source();
    }
    found
}

fn code_of(error: &StartError) -> &'static str {
    match error {
        StartError::Secret { .. } => "SECRET",
        StartError::Gateway(_) => "GATEWAY",
        other => known(other).map_or("START", |(code, _)| code),
    }
}

/// A start that failed, with what to do.
pub(super) fn not_started(error: &StartError) -> Failure {
    match error {
        error if node::is_full(error) => Failure::new(Exit::Failed, node::DISK_FULL, error.to_string())
            .cause(std::error::Error::source(error).unwrap_or(error))
            .field("store.data")
            .hint("free some room on the disk of the data folder, then start again"),
        StartError::Folder(error) => Failure::of_folder(error),
        StartError::Listen { address, source } => {
            Failure::usage("PORT", format!("failed to listen on {address}")).cause(source).hint(
                "another process may have the port: choose another with --listen or in the configuration",
            )
        }
        StartError::Workflows(problems) => Failure::usage("WORKFLOWS", problems.clone())
            .field("workflows.folder")
            .hint("`modelrail workflow check FILE` shows each in full"),
        StartError::NoUsers { .. } => Failure::usage("NO_USERS", error.to_string()).field("store.secrets").hint(
            "name the folder that the processes of role api use; the first of them makes the list of users",
        ),
        StartError::Listening(refused) => {
            Failure::usage("EXPOSED", refused.to_string()).field("server.listen")
        }
        other => {
            let failure = Failure::new(Exit::Failed, code_of(other), other.to_string());
            let failure = match std::error::Error::source(other) {
                Some(source) => failure.cause(source),
                None => failure,
            };
            match known(other) {
                Some((_, Some(hint))) => failure.hint(hint),
                _ => failure,
            }
        }
    }
}
