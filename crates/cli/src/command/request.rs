//! Requests of people: each is accepted, not decided yet, or refused with the reason.
//!
//! **Invariant:** nobody votes on evidence that was not named: on a terminal it is shown and asked about, elsewhere
//! its digest is an argument.

use std::io::{IsTerminal as _, Write as _};

use api::view::{
    ReleaseView, RequestAnswer, RequestOutcome, RunRequest, RunRequestKind, RunView, TargetHistory,
    TargetRequest, TargetRequestKind, TargetView,
};

use super::show;
use crate::argv::{
    AdoptArguments, FreezeArguments, KillArguments, PromoteArguments, ResolveArguments, RetryArguments,
    RollbackArguments, RunReason, TargetReason, VoteArguments,
};
use crate::client::{Client, segment};
use crate::exit::{Exit, Failure};
use crate::output::{Output, plain, say};

pub(super) async fn vote(
    client: &Client,
    kind: RunRequestKind,
    vote: VoteArguments,
    output: Output,
) -> Result<Exit, Failure> {
    let evidence = match vote.evidence {
        Some(evidence) => evidence,
        None if std::io::stdin().is_terminal() => looked_at(client, kind, &vote.run.run, &vote.stage).await?,
        None => {
            return Err(Failure::usage("MISSING", "expected the digest of the evidence, but it is missing")
                .field("--evidence")
                .hint("`modelrail show RUN` prints it as `asked on evidence`"));
        }
    };
    let request = RunRequest {
        stage: Some(vote.stage),
        role: Some(vote.role),
        rationale: Some(vote.rationale),
        evidence: Some(evidence),
        ..empty(kind)
    };
    ask_run(client, &vote.run.run, &request, output).await
}

/// Shows what the gate asks about, and takes its digest when the person says so.
async fn looked_at(client: &Client, kind: RunRequestKind, run: &str, stage: &str) -> Result<String, Failure> {
    let view: RunView = client.get(&format!("/v1/runs/{}", segment(run)), &[]).await?;
    let found = view.stages.iter().find(|known| known.name == stage);
    let asked = found.and_then(|stage| stage.gate.as_ref()).and_then(|gate| gate.asked.clone());
    let Some(asked) = asked else {
        let text = format!("expected a gate `{stage}` that asks people, but run {} has none now", view.run);
        return Err(
            Failure::new(Exit::Failed, "NOT_ASKED", text).hint("`modelrail why RUN` says what it waits for")
        );
    };
    say(&show::text(&view));
    let verb = if kind == RunRequestKind::Approve { "approve" } else { "reject" };
    let mut stderr = std::io::stderr();
    let mut line = String::new();
    let answered = write!(stderr, "{verb} `{}` on evidence {asked}? [y/N] ", plain(stage))
        .and_then(|()| stderr.flush())
        .and_then(|()| std::io::stdin().read_line(&mut line));
    answered.map_err(|error| Failure::new(Exit::Failed, "TERMINAL", "failed to ask").cause(&error))?;
    if matches!(line.trim().to_lowercase().as_str(), "y" | "yes") {
        return Ok(asked);
    }
    Err(Failure::new(Exit::Failed, "NOT_CONFIRMED", "expected a yes, but found none: nothing was sent"))
}

pub(super) async fn run(
    client: &Client,
    kind: RunRequestKind,
    asked: RunReason,
    output: Output,
) -> Result<Exit, Failure> {
    let request = RunRequest { reason: Some(asked.reason), ..empty(kind) };
    ask_run(client, &asked.run.run, &request, output).await
}

pub(super) async fn promote(
    client: &Client,
    asked: PromoteArguments,
    output: Output,
) -> Result<Exit, Failure> {
    let to = if asked.full { Some("100%".to_owned()) } else { asked.to };
    let request = RunRequest { reason: Some(asked.reason), to, ..empty(RunRequestKind::Promote) };
    ask_run(client, &asked.run.run, &request, output).await
}

/// A target has an `@` in its name, a run has none.
pub(super) async fn resolve(
    client: &Client,
    asked: ResolveArguments,
    output: Output,
) -> Result<Exit, Failure> {
    let ResolveArguments { stream, reason, drop } = asked;
    if stream.contains('@') {
        let request = TargetRequest { drop, ..of_target(TargetRequestKind::Resolve, reason) };
        return ask_target(client, &stream, &request, output).await;
    }
    let request = RunRequest { reason: Some(reason), drop, ..empty(RunRequestKind::Resolve) };
    ask_run(client, &stream, &request, output).await
}

pub(super) async fn retry(client: &Client, asked: RetryArguments, output: Output) -> Result<Exit, Failure> {
    let request =
        RunRequest { stage: Some(asked.stage), reason: Some(asked.reason), ..empty(RunRequestKind::Retry) };
    ask_run(client, &asked.run.run, &request, output).await
}

pub(super) async fn rollback(
    client: &Client,
    asked: RollbackArguments,
    output: Output,
) -> Result<Exit, Failure> {
    let to = match &asked.to {
        Some(release) => Some(bundle(client, &asked.target, release).await?),
        None => None,
    };
    let request = TargetRequest { to, ..of_target(TargetRequestKind::RollBack, asked.reason) };
    ask_target(client, &asked.target, &request, output).await
}

pub(super) async fn freeze(client: &Client, asked: FreezeArguments, output: Output) -> Result<Exit, Failure> {
    let request = TargetRequest { until: asked.until, ..of_target(TargetRequestKind::Freeze, asked.reason) };
    ask_target(client, &asked.target, &request, output).await
}

pub(super) async fn unfreeze(client: &Client, asked: TargetReason, output: Output) -> Result<Exit, Failure> {
    let request = of_target(TargetRequestKind::Unfreeze, asked.reason);
    ask_target(client, &asked.target, &request, output).await
}

pub(super) async fn kill(client: &Client, asked: KillArguments, output: Output) -> Result<Exit, Failure> {
    let bundle = bundle(client, &asked.target, &asked.release).await?;
    let request = TargetRequest { bundle: Some(bundle), ..of_target(TargetRequestKind::Kill, asked.reason) };
    ask_target(client, &asked.target, &request, output).await
}

pub(super) async fn adopt(client: &Client, asked: AdoptArguments, output: Output) -> Result<Exit, Failure> {
    let request = TargetRequest {
        version: Some(asked.version),
        bundle: Some(asked.bundle),
        ..of_target(TargetRequestKind::Adopt, asked.reason)
    };
    ask_target(client, &asked.target, &request, output).await
}

/// The bundle that RELEASE means: a digest, or a version that the target knows.
async fn bundle(client: &Client, target: &str, release: &str) -> Result<String, Failure> {
    if domain::name::Digest::parse(release).is_ok() {
        return Ok(release.to_owned());
    }
    let path = format!("/v1/targets/{}", segment(target));
    let view: TargetView = client.get(&path, &[]).await?;
    let mut known: Vec<ReleaseView> = vec![];
    known.extend(view.live.map(|live| live.release));
    known.extend(view.last_good);
    known.extend(view.routes.into_iter().map(|route| route.release));
    let mut cursor: Option<String> = None;
    loop {
        let query: Vec<_> = cursor.take().map(|cursor| ("cursor", cursor)).into_iter().collect();
        let page: TargetHistory = client.get(&format!("{path}/history"), &query).await?;
        known.extend(page.history.into_iter().flat_map(|line| {
            let routes = line.routes.into_iter().map(|route| route.release);
            line.from.into_iter().chain(line.to).chain(routes).collect::<Vec<_>>()
        }));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    chosen(known, target, release)
}

fn chosen(known: Vec<ReleaseView>, target: &str, release: &str) -> Result<String, Failure> {
    let mut bundles: Vec<String> =
        known.into_iter().filter(|known| known.version == release).map(|known| known.bundle).collect();
    bundles.sort();
    bundles.dedup();
    match bundles.len() {
        1 => Ok(bundles.remove(0)),
        0 => {
            let text = format!("expected a release of {target}, but it knows no version `{release}`");
            Err(Failure::new(Exit::Failed, "UNKNOWN_RELEASE", text)
                .hint("`modelrail target history TARGET` lists what it knows"))
        }
        _ => {
            let text = format!("expected one release, but several are known as `{release}`");
            let failure = Failure::new(Exit::Failed, "AMBIGUOUS_RELEASE", text).candidates(bundles);
            Err(failure.hint("give the bundle's digest"))
        }
    }
}

fn empty(kind: RunRequestKind) -> RunRequest {
    RunRequest {
        kind,
        stage: None,
        role: None,
        rationale: None,
        evidence: None,
        reason: None,
        to: None,
        drop: false,
    }
}

fn of_target(kind: TargetRequestKind, reason: String) -> TargetRequest {
    TargetRequest { kind, reason, to: None, bundle: None, version: None, until: None, drop: false }
}

async fn ask_run(client: &Client, run: &str, request: &RunRequest, output: Output) -> Result<Exit, Failure> {
    let answer = client.post(&format!("/v1/runs/{}/requests", segment(run)), request).await?;
    told(&answer, output)
}

async fn ask_target(
    client: &Client,
    target: &str,
    request: &TargetRequest,
    output: Output,
) -> Result<Exit, Failure> {
    let answer = client.post(&format!("/v1/targets/{}/requests", segment(target)), request).await?;
    told(&answer, output)
}

fn told(answer: &RequestAnswer, output: Output) -> Result<Exit, Failure> {
    output.one(answer, |answer| match (answer.outcome, answer.seq) {
        (RequestOutcome::Accepted, Some(seq)) => format!("accepted in record {seq}\n"),
        (RequestOutcome::Accepted, None) => "accepted\n".to_owned(),
        (RequestOutcome::Pending, _) => format!("not decided yet, request {}\n", answer.id),
    })?;
    Ok(match answer.outcome {
        RequestOutcome::Accepted => Exit::Good,
        RequestOutcome::Pending => Exit::Waiting,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_means_the_one_bundle_it_is_known_by() {
        let release = |version: &str, bundle: &str| ReleaseView {
            version: version.into(),
            bundle: bundle.into(),
            run: None,
        };
        let known = vec![release("v1", "aa"), release("v2", "bb"), release("v1", "aa"), release("v2", "cc")];
        assert_eq!(chosen(known.clone(), "t@p", "v1").unwrap(), "aa");
        assert_eq!(chosen(known.clone(), "t@p", "v3").unwrap_err().code, "UNKNOWN_RELEASE");
        assert_eq!(chosen(known, "t@p", "v2").unwrap_err().code, "AMBIGUOUS_RELEASE");
    }
}
