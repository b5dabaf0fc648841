//! Gates: who may vote, on what, and what ends them.

use super::world::*;
use crate::name::{Digest, Role};
use crate::run::{End, Input, Phase, StageState};
use crate::time::Millis;
use crate::verdict::Verdict;
use crate::workflow::WhileRunning;

const TWO: &[(&str, u32)] = &[("ml", 1), ("business", 1)];

fn waiting() -> (World, crate::name::RunId) {
    let mut world = World::new();
    let run = world.publish("v1", &canary(WhileRunning::Supersede, TWO));
    world.work();
    assert!(world.state(run).waits_for_people());
    (world, run)
}

#[test]
fn votes_that_do_not_count() {
    // who, as, after whom, the refusal
    let cases = [
        ("eve", "ml", None, "NOT_ENTITLED"),
        ("bea", "ml", None, "NOT_ENTITLED"),
        ("ole", "ml", None, "SOD_VIOLATION"),
        ("ada", "business", Some(("ada", "ml")), "ALREADY_VOTED"),
        ("ada", "legal", None, "ROLE_NOT_ASKED"),
    ];
    for (who, role, before, code) in cases {
        let (mut world, run) = waiting();
        if let Some((who, role)) = before {
            world.approve(run, who, role).unwrap();
        }
        let before = world.state(run).clone();
        let refusal = world.approve(run, who, role).unwrap_err();
        assert_eq!(refusal.code, code, "{who} as {role}");
        assert!(refusal.hint.is_some(), "{code} has a hint");
        assert_eq!(*world.state(run), before, "a refused vote changes nothing");
    }
}

#[test]
fn a_gate_opens_when_every_seat_is_filled() {
    let (mut world, run) = waiting();
    world.approve(run, "ada", "ml").unwrap();
    assert!(world.state(run).waits_for_people());
    world.approve(run, "tim", "ml").unwrap();
    assert!(world.state(run).waits_for_people(), "a second vote of a role fills no other seat");
    world.approve(run, "bea", "business").unwrap();
    assert_eq!(world.state(run).stages[2].state, StageState::Ended(Verdict::Pass));
    assert_eq!(world.approve(run, "bea", "business").unwrap_err().code, "GATE_CLOSED");
}

#[test]
fn a_tool_that_acts_for_the_owner_is_the_owner() {
    let (mut world, run) = waiting();
    let evidence = world.state(run).stages[2].gate.asked.unwrap();
    let mut bot = actor("ada");
    bot.on_behalf_of = Some(actor("ole").subject);
    let role = Role::parse("ml").unwrap();
    let vote = Input::Approve {
        actor: bot,
        roles: roles(),
        stage: stage("board"),
        role,
        rationale: "x".into(),
        evidence,
    };
    assert_eq!(world.tell(run, vote).unwrap_err().code, "SOD_VIOLATION");
}

#[test]
fn a_vote_names_the_evidence_and_a_reason() {
    let (mut world, run) = waiting();
    let evidence = world.state(run).stages[2].gate.asked.unwrap();
    for (rationale, evidence, code) in
        [("", evidence, "NO_RATIONALE"), ("x", Digest::of(b"another"), "APPROVAL_MISMATCH")]
    {
        let (role, rationale) = (Role::parse("ml").unwrap(), rationale.into());
        let vote = Input::Approve {
            actor: actor("ada"),
            roles: roles(),
            stage: stage("board"),
            role,
            rationale,
            evidence,
        };
        assert_eq!(world.tell(run, vote).unwrap_err().code, code);
    }
}

#[test]
fn one_refusal_ends_the_gate() {
    let (mut world, run) = waiting();
    world.approve(run, "ada", "ml").unwrap();
    let evidence = world.state(run).stages[2].gate.asked.unwrap();
    let role = Role::parse("business").unwrap();
    let rationale = "not before Christmas".into();
    let vote = Input::Reject {
        actor: actor("bea"),
        roles: roles(),
        stage: stage("board"),
        role,
        rationale,
        evidence,
    };
    world.tell(run, vote).unwrap();
    assert_eq!(world.state(run).phase, Phase::Ended(End::Blocked));
}

#[test]
fn a_gate_that_nobody_decides_expires() {
    let (mut world, run) = waiting();
    world.pass(Millis::days(6));
    assert!(world.state(run).waits_for_people());
    world.pass(Millis::days(2));
    assert_eq!(world.state(run).phase, Phase::Ended(End::Blocked));
}

#[test]
fn votes_lapse_when_another_release_goes_live_and_are_asked_for_again() {
    let mut world = World::new();
    let queue = |approvals: &[(&str, u32)]| canary(WhileRunning::Queue, approvals);
    world.bring_live("v1", &queue(&[]));
    let gated = world.publish("v2", &queue(TWO));
    world.work();
    world.approve(gated, "ada", "ml").unwrap();
    let before = world.state(gated).stages[2].gate.asked;
    world.bring_live("v3", &queue(&[]));
    assert!(world.story.iter().any(|event| event == "ApprovalLapsed"));
    let gate = &world.state(gated).stages[2].gate;
    assert_eq!(gate.votes, []);
    assert!(gate.asked.is_some() && gate.asked != before, "asked for again, on other evidence");
    world.approve(gated, "ada", "ml").unwrap();
    world.approve(gated, "bea", "business").unwrap();
    world.pass(Millis::hours(3));
    assert_eq!(world.state(gated).phase, Phase::Live);
}
