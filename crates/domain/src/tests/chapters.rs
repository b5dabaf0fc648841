//! When a stream is cut, and what stands where.

use super::world::*;
use crate::chapter::{Bounds, Chaptered, HEARD_MAX};
use crate::decider::Decider;
use crate::evidence::Text;
use crate::name::{Digest, RunId};
use crate::quarantine::{Holding, Quarantine};
use crate::run::{self, Phase, Run};
use crate::target::{self, Target};
use crate::time::{Millis, Timestamp};
use crate::transition::Step;
use crate::work::{GatewayObserved, ServerLoaded};
use crate::workflow::WhileRunning;

fn live_world(chapters: Bounds) -> (World, RunId) {
    let mut world = World::cut(chapters);
    let run = world.bring_live("v1", &canary(WhileRunning::Supersede, &[]));
    assert_eq!(world.state(run).phase, Phase::Live);
    (world, run)
}

#[test]
fn a_monitored_run_is_cut_after_its_bound_and_goes_on() {
    let run_events_max = 40;
    let bounds = Bounds { run_events_max, ..Bounds::default() };
    let (mut world, run) = live_world(bounds);
    for _ in 0..100 {
        world.pass(Millis::hours(1));
    }
    let state = world.state(run);
    assert!(state.chapter.opened >= 4, "{:?}", state.chapter);
    assert!(state.chapter.events < run_events_max + 20, "{:?}", state.chapter);
    let stage = state.stages.last().unwrap();
    assert!(stage.monitor.windows >= 100, "windows are counted through chapters: {:?}", stage.monitor);
    let issued = world.story.iter().filter(|name| *name == "AttemptIssued").count();
    let all = state.attempts_issued + world.place().attempts_issued;
    assert_eq!(issued, all as usize, "attempts are numbered through chapters");
}

#[test]
fn the_event_is_the_last_of_its_stream_in_the_transition_that_finds_it_at_rest() {
    let bounds = Bounds { target_events_max: 1, ..Bounds::NEVER };
    let (mut world, _) = live_world(bounds);
    let reason: Text = "holidays".into();
    let freeze = target::Input::Freeze { actor: actor("ops"), roles: roles(), until: None, reason };
    let transition = world.tell_target(freeze).unwrap();
    let names: Vec<_> = transition.steps.iter().map(Step::event_names).collect();
    assert_eq!(names, [["TargetFrozen", "ChapterOpened"]]);
    let Step::Target { events, .. } = &transition.steps[0] else { panic!("{transition:?}") };
    let carried = Target::carried_by(&events[1]).unwrap();
    assert_eq!(carried, world.place(), "what is carried is true from then on");
    assert!(carried.frozen.is_some() && carried.chapter.events == 0);
}

#[test]
fn what_is_refused_opens_no_chapter() {
    let bounds = Bounds { target_events_max: 0, run_events_max: 0 };
    let (mut world, run) = live_world(bounds);
    let before = (world.state(run).chapter, world.place().chapter);
    let (actor, roles) = (actor("tim"), roles());
    world.tell(run, run::Input::Pause { actor, roles, reason: "no".into() }).unwrap_err();
    assert_eq!((world.state(run).chapter, world.place().chapter), before);
}

/// A run that was cut after the votes decides on with all that they were about.
#[test]
fn votes_and_evidence_are_remembered_through_a_chapter() {
    let bounds = Bounds { run_events_max: 1, ..Bounds::default() };
    let mut world = World::cut(bounds);
    let run = world.publish("v1", &canary(WhileRunning::Supersede, &[("ml", 1), ("business", 1)]));
    world.work();
    world.approve(run, "ada", "ml").unwrap();
    let again = world.approve(run, "ada", "business").unwrap_err();
    assert!(again.text.contains("ada"), "nobody votes twice: {again}");
    assert!(world.state(run).chapter.opened > 0);
    world.approve(run, "bea", "business").unwrap();
    let asked = world.state(run).stages[2].gate.decided_on;
    assert!(asked.is_some() && world.state(run).stages[2].gate.votes.len() == 2);
}

fn held<I>(quarantine: Option<Quarantine>) -> Holding<I> {
    Holding { quarantine, held: vec![], released: 0, resolved_at: Timestamp(0) }
}

#[test]
fn at_rest_is_without_a_command_and_with_nothing_held() {
    let (world, run) = live_world(Bounds::NEVER);
    let (state, place) = (world.state(run).clone(), world.place().clone());
    assert!(state.is_at_rest() && place.is_at_rest());
    assert!(state.effects().iter().all(|effect| effect.attempt().is_none()));
    assert!(place.effects().iter().all(|effect| effect.attempt().is_none()));

    assert!(!Run::default().is_at_rest(), "it has not begun");
    let open =
        run::OpenAttempt { number: 9, stage: 4, purpose: run::Purpose::Measure, issued_at: Timestamp(0) };
    let quarantined = || Some(Quarantine { why: "x".into(), since: Timestamp(0), holds_cause: false });
    let not: Vec<(&str, Run)> = vec![
        ("an attempt is open", Run { attempts_open: vec![open], ..state.clone() }),
        ("it is quarantined", Run { holding: Some(Box::new(held(quarantined()))), ..state.clone() }),
        ("it releases what it held", Run { holding: Some(Box::new(held(None))), ..state.clone() }),
        ("it has ended", Run { phase: Phase::Ended(run::End::Retired), ..state.clone() }),
    ];
    for (why, run) in not {
        assert!(!run.is_at_rest(), "{why}");
    }
    for phase in [Phase::Active, Phase::Standby, Phase::Leaving] {
        assert!(Run { phase, ..state.clone() }.is_at_rest(), "{phase:?} may last for ever too");
    }

    assert!(!Target::default().is_at_rest(), "it has not begun");
    let busy = target::ErrandState { open: Some((9, Timestamp(0))), ..place.prepare.clone() };
    let gateway = |number: usize| GatewayObserved {
        gateway: format!("gateway-{number}").into(),
        generation: crate::routes::Generation(1),
        override_to: None,
        killed: vec![Digest([0; 32])],
        heard_at: Timestamp(0),
    };
    let not: Vec<(&str, Target)> = vec![
        ("releases are being loaded", Target { prepare: busy.clone(), ..place.clone() }),
        ("gateways are being told", Target { apply: busy, ..place.clone() }),
        ("it is quarantined", Target { holding: Some(Box::new(held(quarantined()))), ..place.clone() }),
        (
            "it heard of too many",
            Target { gateways: (0..=HEARD_MAX).map(gateway).collect(), ..place.clone() },
        ),
    ];
    for (why, target) in not {
        assert!(!target.is_at_rest(), "{why}");
    }
}

/// Errands that fail for ever are what makes a target grow for ever: between two tries it is cut.
#[test]
fn a_target_whose_servers_fail_for_ever_stays_small() {
    let (mut world, _) = live_world(Bounds::default());
    world.servers_fail = true;
    let server = ServerLoaded { server: "s".into(), bundles: vec![], failed: vec![], heard_at: world.now };
    world.tell_target(target::Input::ReportLoaded { servers: vec![server] }).unwrap();
    for _ in 0..600 {
        world.pass(Millis::minutes(1));
    }
    let chapter = world.place().chapter;
    assert!(chapter.opened > 1 && chapter.events < 300, "{chapter:?}");
}
