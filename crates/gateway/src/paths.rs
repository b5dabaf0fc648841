//! The paths of the gateway.
//!
//! ```text
//! /{target}/v2/models/{model}[/infer|/ready]     /v2/models/{model}[/infer|/ready]   (the only target of the model)
//! /{target}/v2/health/ready                      /v2, /v2/health/live, /v2/health/ready
//! /{target}/labels   /{target}/kill              /healthz, /readyz, /metrics
//! ```
//!
//! Invariant: a target is `model@environment`, so that no target is taken for another path.

use std::borrow::Cow;

/// What a model is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Infer,
    Metadata,
    Ready,
}

/// Whose a path is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    Healthz,
    /// Whether its tables are the newest, whoever they lead to.
    Readyz,
    Metrics,
    ServerMetadata,
    ServerLive,
    ServerReady,
    TargetReady {
        target: Cow<'a, str>,
    },
    Model {
        target: Option<Cow<'a, str>>,
        model: &'a str,
        verb: Verb,
    },
    /// A version in the path: the table chooses it, not the caller.
    Version,
    Labels {
        target: Cow<'a, str>,
    },
    Kill {
        target: Cow<'a, str>,
    },
}

/// Finds whose `path` is.
pub(crate) fn find(path: &str) -> Option<Place<'_>> {
    let path = path.strip_prefix('/')?;
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    match (first, rest) {
        ("healthz", "") => Some(Place::Healthz),
        ("readyz", "") => Some(Place::Readyz),
        ("metrics", "") => Some(Place::Metrics),
        ("v2", "") => Some(Place::ServerMetadata),
        ("v2", "health/live") => Some(Place::ServerLive),
        ("v2", "health/ready") => Some(Place::ServerReady),
        ("v2", rest) => model(None, rest),
        (target, rest) => {
            let target = target_of(target)?;
            match rest {
                "labels" => Some(Place::Labels { target }),
                "kill" => Some(Place::Kill { target }),
                "v2/health/ready" => Some(Place::TargetReady { target }),
                rest => model(Some(target), rest.strip_prefix("v2/")?),
            }
        }
    }
}

/// The `@` may stand as it is or escaped.
fn target_of(segment: &str) -> Option<Cow<'_, str>> {
    if segment.contains('@') {
        return Some(segment.into());
    }
    segment.contains("%40").then(|| segment.replacen("%40", "@", 1).into())
}

fn model<'a>(target: Option<Cow<'a, str>>, rest: &'a str) -> Option<Place<'a>> {
    let rest = rest.strip_prefix("models/")?;
    let (model, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let verb = match rest {
        "infer" => Verb::Infer,
        "" => Verb::Metadata,
        "ready" => Verb::Ready,
        rest if rest.starts_with("versions/") => return Some(Place::Version),
        _ => return None,
    };
    Some(Place::Model { target, model, verb })
}
