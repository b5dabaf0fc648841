//! What people ask of runs, in every state.

use super::world::*;
use crate::run::{End, Input, Phase};
use crate::time::Millis;
use crate::weight::Weight;
use crate::workflow::WhileRunning;

fn flow() -> crate::definition::Pinned<crate::workflow::Workflow> {
    canary(WhileRunning::Supersede, &[])
}

fn ask(make: fn(crate::roles::Actor, crate::definition::Pinned<crate::roles::RoleMap>) -> Input) -> Input {
    make(actor("ops"), roles())
}

fn pause() -> Input {
    ask(|actor, roles| Input::Pause { actor, roles, reason: "look".into() })
}
fn resume() -> Input {
    ask(|actor, roles| Input::Resume { actor, roles, reason: "looked".into() })
}
fn abort() -> Input {
    ask(|actor, roles| Input::Abort { actor, roles, reason: "no".into() })
}
fn promote(to: Option<u16>) -> Input {
    let to = to.map(|points| Weight::basis_points(points).unwrap());
    Input::Promote { actor: actor("ops"), roles: roles(), to, reason: "sure".into() }
}

#[test]
fn only_operators_may_and_only_with_a_reason() {
    let mut world = World::new();
    let run = world.publish("v1", &flow());
    let cases = [("ada", "why", "NOT_ENTITLED"), ("ops", " ", "NO_RATIONALE"), ("root", "why", "")];
    for (who, reason, code) in cases {
        let input = Input::Pause { actor: actor(who), roles: roles(), reason: reason.into() };
        let refused = world.tell(run, input).err().map_or(String::new(), |refusal| refusal.code);
        assert_eq!(refused, code, "{who}");
    }
}

#[test]
fn a_paused_run_begins_nothing_and_its_bake_stands_still() {
    let mut world = World::new();
    world.bring_live("v1", &flow());
    let run = world.publish("v2", &flow());
    world.work();
    world.traffic = Some(Traffic { candidate: (4, 250), live: (45, 2_250) });
    world.pass(Millis::minutes(5));
    world.tell(run, pause()).unwrap();
    world.pass(Millis::hours(1));
    assert_eq!(world.state(run).stages[3].rollout.step, Some(0));
    world.tell(run, resume()).unwrap();
    world.pass(Millis::minutes(4));
    assert_eq!(world.state(run).stages[3].rollout.step, Some(0), "nine of ten minutes of bake");
    world.pass(Millis::minutes(2));
    assert_eq!(world.state(run).stages[3].rollout.step, Some(1));
}

#[test]
fn harm_acts_while_paused() {
    let mut world = World::new();
    world.bring_live("v1", &flow());
    let run = world.publish("v2", &flow());
    world.work();
    world.tell(run, pause()).unwrap();
    world.traffic = Some(HARMFUL);
    world.pass(Millis::minutes(1));
    assert_eq!(world.state(run).phase, Phase::Ended(End::RolledBack));
}

#[test]
fn abort_ends_a_run_at_once_or_takes_its_traffic_away_first() {
    let mut world = World::new();
    let run = world.publish("v1", &flow());
    world.tell(run, abort()).unwrap();
    assert_eq!(world.state(run).phase, Phase::Ended(End::Aborted));
    assert_eq!(world.tell(run, abort()).unwrap_err().code, "ALREADY_ENDED");

    world.bring_live("v2", &flow());
    let run = world.publish("v3", &flow());
    world.work();
    world.tell(run, abort()).unwrap();
    assert_eq!(world.state(run).phase, Phase::Leaving);
    world.work();
    assert_eq!(world.state(run).phase, Phase::Ended(End::Aborted));

    let live = world.bring_live("v4", &flow());
    world.tell(live, abort()).unwrap();
    world.work();
    assert_eq!(world.state(live).phase, Phase::Ended(End::RolledBack));
}

#[test]
fn promotion_goes_on_without_waiting_for_evidence() {
    let mut world = World::new();
    world.bring_live("v1", &flow());
    let run = world.publish("v2", &flow());
    assert_eq!(world.tell(run, promote(None)).unwrap_err().code, "NOT_PROMOTABLE");
    world.traffic = Some(SCARCE);
    world.work();
    assert_eq!(world.tell(run, promote(Some(500))).unwrap_err().code, "NOT_PROMOTABLE");
    world.tell(run, promote(Some(10_000))).unwrap();
    world.work();
    assert_eq!(world.state(run).stages[3].rollout.step, Some(1));
    world.tell(run, promote(None)).unwrap();
    assert_eq!(world.state(run).phase, Phase::Live);
}

#[test]
fn an_unknown_run_is_said_to_be_unknown() {
    let mut world = World::new();
    let run = crate::name::RunId::derive("nobody", "knows", &target_id());
    let refusal = {
        let now = world.now;
        let (transition, _) =
            crate::transition::transact(&mut world, crate::transition::Input::Run(run, pause()), now)
                .unwrap();
        transition.refused.unwrap()
    };
    assert_eq!(refusal.code, "UNKNOWN_RUN");
}
