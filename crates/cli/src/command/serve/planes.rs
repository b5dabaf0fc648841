//! A process that serves callers: a gateway, a model server, or both. It needs neither an engine nor, once it knows
//! its tables, the brokers.

use serde::Serialize;

use super::{Signals, not_started};
use crate::argv::Role;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::node::{GatewayNode, ModelServerNode};
use crate::output::{Output, facts, say};

#[derive(Serialize)]
struct Serving {
    roles: String,
    gateway: Option<String>,
    models: Option<String>,
    data: String,
}

/// Whether this process only serves callers; engines and APIs are others.
pub(super) fn are_planes(roles: &[Role]) -> Result<bool, Failure> {
    let is_plane = |role: &Role| matches!(role, Role::Gateway | Role::ModelServer);
    if roles.iter().all(is_plane) {
        return Ok(true);
    }
    if roles.iter().any(is_plane) {
        let text = "expected engine and api, or gateway and model-server, but they are mixed";
        return Err(Failure::usage("ROLES", text).field("--roles").hint("start a process for each"));
    }
    Ok(false)
}

pub(super) async fn serve(
    config: &Config,
    roles: &[Role],
    signals: &mut Signals,
    output: Output,
) -> Result<Exit, Failure> {
    let is = |role| roles.contains(&role);
    if is(Role::Gateway) && config.kafka.is_embedded() {
        let text = "expected brokers to hear of route tables by, but none are configured";
        return Err(Failure::usage("GATEWAY", text).field("kafka.brokers"));
    }
    let models = if is(Role::ModelServer) {
        Some(ModelServerNode::start(config).await.map_err(|error| not_started(&error))?)
    } else {
        None
    };
    let gateway = if is(Role::Gateway) {
        let settings =
            config.kafka.settings("modelrail-gateway").map_err(|error| Failure::of_config(&error))?;
        Some(GatewayNode::start(config, &settings).await.map_err(|error| not_started(&error))?)
    } else {
        None
    };
    let address = |address: std::net::SocketAddr| format!("http://{address}");
    let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    let serving = Serving {
        roles: names.join(", "),
        gateway: gateway.as_ref().map(|node| address(node.address)),
        models: models.as_ref().map(|node| address(node.address)),
        data: config.store.data.display().to_string(),
    };
    output.line(&serving, |serving| {
        facts(&[
            ("roles", Some(serving.roles.clone())),
            ("gateway", serving.gateway.clone()),
            ("models", serving.models.clone()),
            ("data", Some(serving.data.clone())),
        ])
    })?;
    signals.next().await;
    say("shutting down: what is being answered is answered first; a second signal ends it at once");
    let ending = async {
        if let Some(gateway) = gateway {
            gateway.stop().await;
        }
        if let Some(models) = models {
            models.stop().await;
        }
    };
    tokio::select! {
        () = ending => Ok(Exit::Good),
        () = signals.next() => Exit::CutShort.end(),
    }
}
