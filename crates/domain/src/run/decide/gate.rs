//! Gates: the plan of what comes, the policy, then people.

use std::sync::Arc;

use super::{Draft, Refused, rollout, stages};
use crate::definition::Pinned;
use crate::evidence::Text;
use crate::name::{Digest, Role, StageName, Subject};
use crate::roles::{Actor, RoleMap};
use crate::rule;
use crate::run::event::PolicyTerm;
use crate::run::facts::facts;
use crate::run::state::{Purpose, StageState, WaitFor};
use crate::run::{Event, Rejection};
use crate::verdict::Verdict;
use crate::workflow::{GateWith, StageKind, With};

fn with(d: &Draft, index: usize) -> GateWith {
    match &d.workflow().stages[index].with {
        With::Gate(with) => with.clone(),
        _ => unreachable!("the index of a gate"),
    }
}

/// First the plan of the rollout, so that those who decide know what it will take.
pub(super) fn begin(d: &mut Draft, index: usize) {
    if !rollout::ask_for_plan(d) {
        judge_policy(d, index);
    }
}

/// Every gate that is open and was not judged goes on.
pub(super) fn planned(d: &mut Draft) {
    let workflow = d.workflow();
    for (index, stage) in workflow.stages.iter().enumerate() {
        let state = &d.run.stages[index];
        if stage.with.kind() == StageKind::Gate
            && state.state == StageState::Working
            && state.gate.policy.is_none()
        {
            judge_policy(d, index);
        }
    }
}

/// `fail` ends the gate without asking anybody; what cannot be told waits until the gate expires.
pub(super) fn judge_policy(d: &mut Draft, index: usize) {
    let gate = with(d, index);
    let (verdict, terms) = policy(d, &gate);
    let stage = d.workflow().stages[index].name.clone();
    let missing = terms.iter().find(|term| term.verdict == Verdict::NoData).map(|term| term.text.clone());
    let failed = terms.iter().find(|term| term.verdict == Verdict::Fail).map(|term| term.name.clone());
    d.emit(Event::PolicyJudged { stage: stage.clone(), verdict, terms: Arc::new(terms) });
    match verdict {
        Verdict::Fail => {
            let why = format!("policy: {} does not hold", failed.unwrap_or_else(|| "a rule".into()));
            stages::judge(d, index, Verdict::Fail, why.into());
        }
        Verdict::Pass if gate.approvals.is_empty() => {
            stages::judge(d, index, Verdict::Pass, "the policy holds and nobody has to approve".into());
        }
        Verdict::Pass => ask(d, index, &gate),
        Verdict::Inconclusive | Verdict::NoData => {
            let on = WaitFor::Facts { missing: missing.unwrap_or_else(|| "a fact".into()) };
            d.emit(Event::WaitBegan { stage, on, at: d.now });
        }
    }
}

fn policy(d: &Draft, gate: &GateWith) -> (Verdict, Vec<PolicyTerm>) {
    let facts = facts(&d.run, d.now);
    let terms: Vec<_> = gate
        .require
        .iter()
        .map(|required| {
            let answer = rule::evaluate(&required.rule, &facts);
            let values = answer.terms.iter().map(|term| {
                let value = term.value.as_ref().map_or_else(|| "missing".to_owned(), ToString::to_string);
                (term.text.clone(), value.into())
            });
            let (name, text) = (required.name.clone(), required.rule.text.clone());
            PolicyTerm { name, text, verdict: answer.verdict, values: values.collect() }
        })
        .collect();
    (Verdict::all(terms.iter().map(|term| term.verdict)), terms)
}

fn ask(d: &mut Draft, index: usize, gate: &GateWith) {
    let stage = d.workflow().stages[index].name.clone();
    let expires_at = d.run.stages[index].began_at + gate.expires;
    let evidence = evidence_digest(d, index);
    d.emit(Event::ApprovalAsked { stage: stage.clone(), evidence, expires_at });
    stages::issue(d, &stage, Purpose::Notify);
    d.emit(Event::WaitBegan { stage, on: WaitFor::People, at: d.now });
}

/// SHA-256 over the sorted digests of the evidence in force of the stages before the gate, the bundle, the plan
/// and the live release. A vote names it; when it changes, the votes lapse.
pub(super) fn evidence_digest(d: &Draft, gate: usize) -> Digest {
    let before = &d.run.stages[..gate];
    let mut digests: Vec<Digest> =
        before.iter().flat_map(|stage| stage.evidence.iter().map(|evidence| evidence.digest)).collect();
    digests.extend(d.run.bundle.iter().map(|bundle| bundle.digest));
    digests.extend(d.run.live.iter().map(|live| live.bundle));
    let plans = d.run.stages.iter().filter_map(|stage| stage.rollout.plan.as_ref());
    digests.extend(plans.map(|plan| plan.digest));
    digests.sort_unstable();
    Digest::of_parts(digests.iter().map(|digest| digest.0.as_slice()))
}

pub(super) struct Ballot<'a> {
    pub actor: &'a Actor,
    pub roles: &'a Pinned<RoleMap>,
    pub stage: &'a StageName,
    pub role: &'a Role,
    pub rationale: &'a Text,
    pub evidence: Digest,
}

/// What holds for every vote: the gate is open and asks for this role, the voter holds it, has looked at the
/// evidence in force, says why, and has not voted. Gives the gate's index and the person who votes.
fn admit(d: &Draft, verb: &'static str, ballot: &Ballot<'_>) -> Result<(usize, Subject), Rejection> {
    let (index, stage) = d.stage(verb, ballot.stage)?;
    let closed = |actual: &str| Rejection::GateClosed {
        verb,
        stage: ballot.stage.to_string(),
        actual: actual.to_owned(),
    };
    let workflow = d.workflow();
    let With::Gate(gate) = &workflow.stages[index].with else { return Err(closed("not a gate")) };
    let Some(asked) = stage.gate.asked.filter(|_| stage.state == StageState::Waiting) else {
        return Err(closed(stage.state.as_str()));
    };
    if !gate.approvals.iter().any(|approvals| approvals.role == *ballot.role) {
        return Err(Rejection::RoleNotAsked { verb, role: ballot.role.to_string() });
    }
    let person = ballot.actor.person().clone();
    let subject = person.to_string();
    if !ballot.roles.holds(&person, ballot.role.as_str()) {
        return Err(Rejection::NotEntitled { verb, role: ballot.role.to_string(), subject });
    }
    if ballot.rationale.trim().is_empty() {
        return Err(Rejection::NoRationale);
    }
    if ballot.evidence != asked {
        return Err(Rejection::OtherEvidence {
            verb,
            expected: asked.short(),
            found: ballot.evidence.short(),
        });
    }
    if stage.gate.votes.iter().any(|vote| vote.by == person) {
        return Err(Rejection::AlreadyVoted { verb, subject });
    }
    Ok((index, person))
}

pub(super) fn approve(d: &mut Draft, ballot: &Ballot<'_>) -> Refused {
    let verb = "approve";
    let (index, by) = admit(d, verb, ballot)?;
    let gate = with(d, index);
    let trained = Arc::clone(&d.start().trained);
    if gate.four_eyes {
        let voters = [Some(&by), Some(&ballot.actor.subject)];
        for (person, part) in [(&trained.owner, "owner"), (&trained.publisher, "publisher")] {
            if person.is_some() && voters.contains(&person.as_ref()) {
                return Err(Rejection::FourEyes { verb, subject: by.to_string(), part });
            }
        }
    }
    d.emit(Event::Approved {
        stage: ballot.stage.clone(),
        role: ballot.role.clone(),
        by,
        rationale: ballot.rationale.clone(),
        evidence: ballot.evidence,
        roles: ballot.roles.digest,
    });
    if open_seats(&gate, &d.run.stages[index].gate.votes) == 0 {
        last_vote(d, index, &gate);
    }
    Ok(())
}

/// How many approvals are missing. A vote fills one seat of its role.
pub(in crate::run) fn open_seats(gate: &GateWith, votes: &[crate::run::Vote]) -> u32 {
    gate.approvals
        .iter()
        .map(|asked| {
            let filled = votes.iter().filter(|vote| vote.role == asked.role).count();
            asked.count.saturating_sub(u32::try_from(filled).unwrap_or(u32::MAX))
        })
        .sum()
}

/// The policy is judged again at the last vote.
fn last_vote(d: &mut Draft, index: usize, gate: &GateWith) {
    let (verdict, terms) = policy(d, gate);
    let stage = d.workflow().stages[index].name.clone();
    d.emit(Event::PolicyJudged { stage: stage.clone(), verdict, terms: Arc::new(terms) });
    let notifying = d.run.open(index, |purpose| purpose == Purpose::Notify).map(|open| open.number);
    if let Some(attempt) = notifying {
        d.emit(Event::AttemptCancelled { stage, attempt });
    }
    let why = if verdict == Verdict::Pass {
        "the policy holds and all have approved"
    } else {
        "the policy no longer holds"
    };
    stages::judge(d, index, verdict, why.into());
}

/// One refusal ends the gate.
pub(super) fn reject(d: &mut Draft, ballot: &Ballot<'_>) -> Refused {
    let (index, by) = admit(d, "reject", ballot)?;
    let why = format!("refused as {}: {}", ballot.role, ballot.rationale);
    d.emit(Event::ApprovalRefused {
        stage: ballot.stage.clone(),
        role: ballot.role.clone(),
        by,
        rationale: ballot.rationale.clone(),
        evidence: ballot.evidence,
        roles: ballot.roles.digest,
    });
    stages::judge(d, index, Verdict::Fail, why.into());
    Ok(())
}

pub(super) fn expired(d: &mut Draft, name: &StageName) -> Refused {
    let (index, stage) = d.stage("expire", name)?;
    let expires = with(d, index).expires;
    if !stage.state.is_open() || d.now < stage.began_at + expires {
        return Err(Rejection::MomentOver);
    }
    stages::judge(d, index, Verdict::Fail, format!("nobody decided within {expires}").into());
    Ok(())
}

/// What the stage was held against is void: votes lapse and are asked for again.
pub(super) fn reopen(d: &mut Draft, index: usize, cause: &str) {
    let stage = d.workflow().stages[index].name.clone();
    let cause: Text = cause.into();
    if d.run.stages[index].gate.asked.is_some() {
        d.emit(Event::ApprovalLapsed { stage: stage.clone(), cause: cause.clone() });
    }
    let of_stage = d.run.attempts_open.iter().filter(|open| open.stage == index);
    for attempt in of_stage.map(|open| open.number).collect::<Vec<_>>() {
        d.emit(Event::AttemptCancelled { stage: stage.clone(), attempt });
    }
    d.emit(Event::StageReopened { stage, why: cause });
}
