//! Runs the server until somebody interrupts it, then lets what is under way end.

use std::time::Duration;

use serde::Serialize;

use crate::argv::{Global, ServeArguments};
use crate::config;
use crate::exit::{Exit, Failure};
use crate::node::{Node, StartError};
use crate::output::{Output, facts, say};
use crate::telemetry;

/// How often to see whether the engine still runs.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Serialize)]
struct Serving {
    api: String,
    gateway: String,
    data: String,
}

pub(super) async fn serve(global: &Global, serve: &ServeArguments, output: Output) -> Result<Exit, Failure> {
    let (mut config, _) = config::load(global.config.as_deref(), global.data.as_deref())
        .map_err(|error| Failure::of_config(&error))?;
    if let Some(listen) = serve.listen {
        config.server.listen = listen;
    }
    let _telemetry = telemetry::start(&config.telemetry)
        .map_err(|error| Failure::usage("TELEMETRY", error.to_string()).field("telemetry"))?;
    let node = Node::start(&config).await.map_err(|error| not_started(&error))?;
    // Before anybody is told that it runs: whoever is told may interrupt it at once.
    #[cfg(unix)]
    let terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(|error| no_signals(&error))?;
    #[cfg(not(unix))]
    let terminated = ();
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
    })?;
    let stopped = until_interrupted(&node, terminated).await?;
    say("shutting down: what is under way ends first");
    node.stop().await;
    if stopped {
        return Err(Failure::new(
            Exit::Failed,
            "ENGINE_STOPPED",
            "expected an engine that runs, but it stopped",
        )
        .hint("the log above says why; after that, start again: what was acknowledged is kept"));
    }
    Ok(Exit::Good)
}

#[cfg(unix)]
type Terminated = tokio::signal::unix::Signal;
#[cfg(not(unix))]
type Terminated = ();

fn no_signals(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, "SIGNALS", "failed to listen for signals").cause(error)
}

/// Whether the engine stopped by itself.
async fn until_interrupted(
    node: &Node,
    #[cfg_attr(not(unix), allow(unused_variables, unused_mut))] mut terminated: Terminated,
) -> Result<bool, Failure> {
    #[cfg(unix)]
    let terminated = terminated.recv();
    #[cfg(not(unix))]
    let terminated = std::future::pending::<Option<()>>();
    tokio::pin!(terminated);
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => return interrupted.map(|()| false).map_err(|error| no_signals(&error)),
            _ = &mut terminated => return Ok(false),
            _ = look.tick() => if !node.is_running() {
                return Ok(true);
            },
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
        StartError::Folder(error) => Failure::of_folder(error),
        StartError::Listen { address, source } => {
            Failure::usage("PORT", format!("failed to listen on {address}")).cause(source).hint(
                "another process may have the port: choose another with --listen or in the configuration",
            )
        }
        StartError::Workflows(problems) => Failure::usage("WORKFLOWS", problems.clone())
            .field("workflows.folder")
            .hint("`modelrail workflow check FILE` shows each in full"),
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
