//! What is recorded, what is answered from memory, what is refused.

use super::*;
use crate::samples::{define_roles, freeze, trained, trigger};
use domain::run::Phase;

#[test]
fn a_trained_model_goes_live_with_its_workflow_recorded_first() {
    let mut world = World::new();
    world.say(Lane::Triggers, trained("flights", "v1"));
    world.run_until(START + Millis::minutes(10)).unwrap();
    let run = trigger("flights", "v1").run();
    assert_eq!(world.run(run).phase, Phase::Live, "{:?}", world.database.run(run));
    let report = world.verify();
    assert!(report.states.definitions.known.contains(&trigger("flights", "v1").workflow.digest));
    assert_eq!(report.state, replayed(&world).hash(), "folding again gives the same state hash");
    let row = world.database.run(run).unwrap().unwrap();
    assert_eq!((row.state.as_str(), row.ended, row.outstanding), ("live", false, 0));
    assert_eq!(world.database.target(&row.target).unwrap().unwrap().live.unwrap().0.as_str(), "v1");
}

fn replayed(world: &World) -> replay::States {
    let reader = replay::Reader::new(world.config.identity(), world.config.parsers);
    replay::fold(replay::from_log(&*world.database, 0), reader, u64::MAX).unwrap()
}

#[test]
fn the_history_of_a_run_names_what_began_and_ended() {
    let mut world = World::new();
    world.say(Lane::Triggers, trained("flights", "v1"));
    world.run_until(START + Millis::minutes(10)).unwrap();
    let run = trigger("flights", "v1").run();
    let reader = replay::Reader::new(world.config.identity(), world.config.parsers);
    let history =
        replay::history(replay::from_log(&*world.database, 0), reader, &StreamId::Run(run)).unwrap();
    let row = world.database.run(run).unwrap().unwrap();
    assert_eq!(history.len() as u64, row.transitions);
    assert_eq!(history[0].began, [format!("package {run}.1")]);
    assert_eq!(history[1].ended, [format!("package {run}.1")]);
    let at = replay::fold(
        replay::from_log(&*world.database, 0),
        replay::Reader::new(world.config.identity(), world.config.parsers),
        history[0].seq,
    );
    assert_eq!(at.unwrap().runs[&run].state.attempts_open.len(), 1, "the state at any record");
}

#[test]
fn the_same_trigger_again_is_answered_and_not_recorded() {
    let mut world = World::new();
    world.say(Lane::Triggers, trained("flights", "v1"));
    world.say(Lane::Triggers, trained("flights", "v1"));
    world.turn().unwrap();
    let run = trigger("flights", "v1").run();
    let answers = world.answers();
    assert_eq!(answers[0], Answer::Recorded { seq: 4, run: Some(run), refused: None });
    assert_eq!(answers[1], Answer::Repeat { seq: None, run: Some(run), refused: None });
    world.run_until(START + Millis::minutes(10)).unwrap();
    let records = world.records();
    world.answers();
    world.restart();
    world.say(Lane::Triggers, trained("flights", "v1"));
    world.turn().unwrap();
    assert_eq!(world.answers(), [Answer::Repeat { seq: None, run: Some(run), refused: None }]);
    assert_eq!(world.records(), records + 1, "nothing but the claim");
}

/// By HTTP somebody is known who published; by a topic nobody is, and a client that says it again is in another trace.
#[test]
fn the_same_trigger_by_another_way_says_the_same() {
    let mut world = World::new();
    world.say(Lane::Triggers, trained("flights", "v1"));
    let mut again = trigger("flights", "v1");
    let trained = Arc::make_mut(&mut again.trained);
    trained.publisher = Some(domain::name::Subject::parse("ci").unwrap());
    trained.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    let run = again.run();
    world.say(Lane::Triggers, Said::Trigger(Box::new(again)));
    world.turn().unwrap();
    assert_eq!(world.answers()[1], Answer::Repeat { seq: None, run: Some(run), refused: None });
    assert_eq!(world.run(run).start.as_ref().unwrap().trained.publisher, None, "as it came first");
}

#[test]
fn the_same_identity_with_other_content_is_a_conflict() {
    let mut world = World::new();
    world.say(Lane::Triggers, trained("flights", "v1"));
    let mut other = trigger("flights", "v1");
    Arc::make_mut(&mut other.trained).risk_tier = Some("high".into());
    world.say(Lane::Triggers, Said::Trigger(Box::new(other)));
    world.turn().unwrap();
    assert_eq!(refused_code(&world.answers()[1]), refused::CONFLICT);
}

#[test]
fn a_request_needs_recorded_roles_and_gets_those_in_force() {
    let mut world = World::new();
    world.say(Lane::Requests, freeze("flights", "ann", "holiday"));
    world.turn().unwrap();
    assert_eq!(refused_code(&world.answers()[0]), refused::NO_ROLES);
    let records = world.records();
    world.say(Lane::Requests, define_roles());
    world.say(Lane::Requests, define_roles());
    world.turn().unwrap();
    assert_eq!(world.records(), records + 1, "the same definition again is no transition");
    assert!(matches!(world.answers()[..], [Answer::Recorded { .. }, Answer::Repeat { .. }]));
    world.say(Lane::Requests, freeze("flights", "mo", "holiday"));
    world.turn().unwrap();
    assert_eq!(refused_code(&world.answers()[0]), "NOT_ENTITLED", "ml may not operate");
    assert_eq!(world.records(), records + 2, "a refusal by the core is recorded");
    world.verify();
}

#[test]
fn a_request_of_a_known_id_gets_the_same_answer_also_after_a_restart() {
    let mut world = World::new();
    world.say(Lane::Requests, define_roles());
    world.say_as(Lane::Requests, freeze("flights", "mo", "holiday"), Some("r1"));
    world.say_as(Lane::Requests, freeze("flights", "mo", "holiday"), Some("r1"));
    world.say_as(Lane::Requests, freeze("flights", "mo", "another"), Some("r1"));
    world.turn().unwrap();
    let answers = world.answers();
    let Answer::Recorded { seq, refused: Some(refusal), .. } = answers[1].clone() else { panic!() };
    let again = Answer::Repeat { seq: Some(seq), run: None, refused: Some(refusal) };
    assert_eq!(answers[2], again);
    assert_eq!(refused_code(&answers[3]), refused::CONFLICT);
    world.restart();
    world.say_as(Lane::Requests, freeze("flights", "mo", "holiday"), Some("r1"));
    world.turn().unwrap();
    assert_eq!(world.answers().pop().as_ref(), Some(&again));
    world.database.forget_view();
    world.restart();
    world.say_as(Lane::Requests, freeze("flights", "mo", "holiday"), Some("r1"));
    world.turn().unwrap();
    assert_eq!(world.answers().pop(), Some(again), "and with the view built again");
}

#[test]
fn a_request_of_an_unknown_run_is_refused_and_not_recorded() {
    let mut world = World::new();
    world.say(Lane::Requests, define_roles());
    world.turn().unwrap();
    let records = world.records();
    world.say(Lane::Requests, samples::abort(RunId([1; 16])));
    world.turn().unwrap();
    assert_eq!(refused_code(&world.answers()[1]), refused::UNKNOWN_RUN);
    assert_eq!(world.records(), records);
}

#[test]
fn an_outcome_without_the_token_of_its_attempt_never_reaches_the_core() {
    let mut world = World::new();
    world.answer = |_, _| None;
    world.say(Lane::Triggers, trained("flights", "v1"));
    world.turn().unwrap();
    let records = world.records();
    let attempt = AttemptId { owner: StreamId::Run(trigger("flights", "v1").run()), number: 1 };
    let forged = Report {
        attempt: attempt.clone(),
        token: token::Token([0; 32]),
        answer: WorkerAnswer::Declined("no".into()),
    };
    world.say(Lane::Outcomes, Said::Report(Box::new(forged)));
    world.turn().unwrap();
    assert_eq!(refused_code(&world.answers()[1]), refused::WRONG_TOKEN);
    assert_eq!(world.records(), records);
    let signed = Report {
        token: token::sign(world.config.key, &attempt),
        attempt,
        answer: WorkerAnswer::Declined("no".into()),
    };
    world.say(Lane::Outcomes, Said::Report(Box::new(signed)));
    world.turn().unwrap();
    assert_eq!(world.records(), records + 1);
    assert!(world.cancelled.is_empty(), "what its worker answered is not withdrawn");
}

#[test]
fn what_disappears_without_an_answer_is_withdrawn() {
    let mut world = World::new();
    world.answer = |_, _| None;
    world.say(Lane::Requests, define_roles());
    world.say(Lane::Triggers, trained("flights", "v1"));
    world.turn().unwrap();
    let run = trigger("flights", "v1").run();
    world.say(Lane::Requests, samples::abort(run));
    world.turn().unwrap();
    assert_eq!(world.cancelled, [AttemptId { owner: StreamId::Run(run), number: 1 }]);
    assert!(matches!(world.run(run).phase, Phase::Ended(_)));
    assert_eq!(world.partition.wake_at(), None, "an ended run has no effects");
}

#[test]
fn an_input_of_another_partition_is_refused() {
    let mut world = World::with(samples::config(2));
    let [here, there] = [0, 1].map(|partition| {
        let mut names = ["a", "b", "c", "d", "e", "f"].into_iter();
        names.find(|name| crate::placement::partition_of(&samples::target(name), 2) == partition).unwrap()
    });
    world.say(Lane::Triggers, trained(there, "v1"));
    world.say(Lane::Triggers, trained(here, "v1"));
    world.turn().unwrap();
    let answers = world.answers();
    assert_eq!(refused_code(&answers[0]), refused::WRONG_PARTITION);
    assert!(matches!(answers[1], Answer::Recorded { .. }));
}

#[test]
fn more_important_lanes_come_first_and_none_starves() {
    let mut config = samples::config(1);
    config.bounds = Bounds { inputs_per_step_max: 6, lane_share_min: 2, ..Bounds::default() };
    let mut world = World::with(config);
    for number in 0..10 {
        world.say(Lane::Triggers, trained("flights", &format!("v{number}")));
        world.say(Lane::Requests, define_roles());
    }
    world.turn().unwrap();
    assert_eq!(world.partition.taken, [4, 0, 2]);
}

#[test]
fn a_full_lane_says_so() {
    let mut config = samples::config(1);
    config.bounds = Bounds { lane_waiting_max: 1, ..Bounds::default() };
    let mut world = World::with(config);
    world.say(Lane::Requests, define_roles());
    world.say(Lane::Requests, define_roles());
    world.turn().unwrap();
    assert_eq!(refused_code(&world.answers()[0]), refused::BUSY);
}

#[test]
fn streams_at_rest_leave_memory_and_come_back_the_same() {
    let mut config = samples::config(1);
    config.bounds = Bounds { streams_cached_max: 4, ..Bounds::default() };
    let mut world = World::with(config);
    let models = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for model in models {
        world.say(Lane::Triggers, trained(model, "v1"));
    }
    world.run_until(START + Millis::minutes(10)).unwrap();
    assert!(world.partition.streams.cached() <= 8, "runs and targets, four each");
    for model in models {
        assert_eq!(world.run(trigger(model, "v1").run()).phase, Phase::Live, "{model}");
    }
    world.verify();
}
