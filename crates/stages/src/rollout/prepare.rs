//! Has exactly the wanted releases of a model loaded and warm on every model server of the target's environment.
//!
//! **Invariant:** a release is reported only after it answered a request. Whatever is wanted stays loaded; only
//! releases of this model that nobody wants are unloaded. A release that cannot be loaded keeps no other from it. An
//! attempt that is not the target's latest any more changes nothing: the server tells it so.

use std::collections::BTreeSet;

use domain::evidence::Finding;
use domain::model::Release;
use domain::name::{AttemptId, Digest, ModelName};
use domain::work::{self, Outcome, ServerLoaded};

use crate::bundle::{Bundle, read_trusted};
use crate::evidence::{check_name, finding};
use crate::port::{Serving, ServingError};
use crate::sample;
use crate::stage_test::client::Client;
use crate::trouble::{Trouble, words};
use crate::{Attempt, Workers};

const NAME: &str = "prepare";

pub(crate) fn carry_out(
    workers: &Workers,
    attempt: Attempt<'_>,
    order: &work::Prepare,
) -> Result<Outcome, Trouble> {
    let target = &attempt.command.target;
    let known = workers.ports.servers.get(&target.environment).filter(|servers| !servers.is_empty());
    let known = known.ok_or_else(|| Trouble::NoServer(target.environment.clone()))?;
    let (mut servers, mut last) = (Vec::new(), None);
    for server in known {
        attempt.step("preparing a model server")?;
        match prepare(workers, attempt, server.as_ref(), &target.model, &order.releases) {
            Ok(loaded) => servers.push(loaded),
            Err(Trouble::Cancelled) => return Err(Trouble::Cancelled),
            Err(trouble @ Trouble::Serving { source: ServingError::Superseded(_), .. }) => {
                return Err(trouble);
            }
            // A server that is not heard is missing from the answer; the core knows whom it waits for.
            Err(trouble) => {
                tracing::warn!(
                    server = &*server.name(),
                    reason = trouble.words(),
                    "model server not prepared"
                );
                last = Some(trouble);
            }
        }
    }
    match last {
        Some(trouble) if servers.is_empty() => Err(trouble),
        _ => Ok(Outcome::Prepared { servers }),
    }
}

fn prepare(
    workers: &Workers,
    attempt: Attempt<'_>,
    server: &dyn Serving,
    model: &ModelName,
    wanted: &[Release],
) -> Result<ServerLoaded, Trouble> {
    let (by, mut failed) = (&attempt.command.attempt, vec![]);
    let mut kept: Vec<Digest> = wanted.iter().map(|release| release.bundle).collect();
    // From here on no earlier attempt takes anything away that is found present.
    keep(server, by, model, &kept)?;
    let present = loaded(server, model)?;
    for release in wanted.iter().filter(|release| !present.contains(&release.bundle)) {
        attempt.step("loading a release")?;
        if let Some(finding) = load(workers, by, server, model, release)? {
            // Whatever came of it must not be routed to.
            kept.retain(|bundle| *bundle != release.bundle);
            keep(server, by, model, &kept)?;
            failed.push(finding);
        }
    }
    let bundles = loaded(server, model)?.into_iter().collect();
    Ok(ServerLoaded { server: server.name(), bundles, failed, heard_at: workers.ports.clock.wall() })
}

/// Loads and warms one release; gives what is wrong with it.
fn load(
    workers: &Workers,
    by: &AttemptId,
    server: &dyn Serving,
    model: &ModelName,
    release: &Release,
) -> Result<Option<Finding>, Trouble> {
    let name = check_name(NAME);
    let said = |code: &str, text: String| {
        Ok(Some(finding(&name, code, format!("{} ({}): {text}", release.version, release.bundle.short()))))
    };
    let ports = &workers.ports;
    let trusted = &workers.config.trusted_keys;
    let read = read_trusted(ports.blobs.as_ref(), ports.referrers.as_ref(), release.bundle, trusted);
    let bundle: Bundle = match read {
        Ok(bundle) => bundle,
        Err(Trouble::Bundle { source, .. }) if !source.may_pass() => {
            return said(source.code(), words(&source));
        }
        Err(trouble) => return Err(trouble),
    };
    let endpoint = match server.load(by, model, release.bundle, &bundle.model, &bundle.signature) {
        Ok(endpoint) => endpoint,
        Err(ServingError::Refused { code, text }) => return said(&code, text.to_string()),
        Err(source) => return Err(unreachable(server, source)),
    };
    let client = Client::new(endpoint, workers.config.test.call_timeout)?;
    let reply = client.infer(&sample::request(&bundle.signature, "warm", 1))?;
    if reply.is_ok() {
        Ok(None)
    } else {
        said("INFERENCE_FAILED", format!("one row of zeros gets {}", reply.words()))
    }
}

fn loaded(server: &dyn Serving, model: &ModelName) -> Result<BTreeSet<Digest>, Trouble> {
    let all = server.loaded().map_err(|source| unreachable(server, source))?;
    Ok(all.into_iter().filter(|(of, _)| of == model).map(|(_, bundle)| bundle).collect())
}

fn keep(server: &dyn Serving, by: &AttemptId, model: &ModelName, bundles: &[Digest]) -> Result<(), Trouble> {
    server.keep(by, model, bundles).map_err(|source| unreachable(server, source))
}

fn unreachable(server: &dyn Serving, source: ServingError) -> Trouble {
    Trouble::Serving { server: server.name().to_string(), source }
}
