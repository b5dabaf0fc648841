use domain::check::Kind;
use domain::name::StageName;
use domain::routes::Sticky;
use domain::time::Millis;
use domain::verdict::{On, Reaction};
use domain::weight::Weight;
use domain::workflow::{Strategy, WhileRunning, With};

use super::*;

/// The workflows that are shipped.
const SHIPPED: [(&str, &str); 5] = [
    ("blue-green-basic", include_str!("../../../../workflows/blue-green-basic.yaml")),
    ("canary-safe", include_str!("../../../../workflows/canary-safe.yaml")),
    ("manual", include_str!("../../../../workflows/manual.yaml")),
    ("flights-blue-green", include_str!("../../../../examples/flights/workflows/flights-blue-green.yaml")),
    ("flights-canary", include_str!("../../../../examples/flights/workflows/flights-canary.yaml")),
];

const SMALL: &str = "workflow: small
trigger: { models: [fraud] }
stages:
  - { name: package, kind: package }
  - { name: staging, kind: stage-test, with: { checks: [{ check: smoke }] } }
  - { name: board, kind: gate, with: { approvals: [{ role: ml }] } }
  - { name: switch, kind: rollout, with: { strategy: blue-green, bake: 1m } }
  - { name: watch, kind: monitor, with: { checks: [{ check: error-rate, max: 1% }] } }
";

fn good(text: &str) -> Workflow {
    parse(text).unwrap_or_else(|problems| panic!("{problems}\n{text}")).0
}

/// The code, the field and what stands at the place, of each problem.
fn problems(text: &str) -> Vec<String> {
    let stands_at = |line: u32, column: u32| -> String {
        let rest = text.lines().nth(line as usize - 1).unwrap().chars().skip(column as usize - 1);
        rest.take_while(|c| !" ,]}".contains(*c)).collect()
    };
    let problems = parse(text).expect_err(text);
    let told = problems.0.iter().map(|one| {
        let place = stands_at(one.line.unwrap(), one.column.unwrap());
        format!("{} {} at {place}", one.code, one.field)
    });
    told.collect()
}

#[test]
fn shipped_workflows_parse_without_warnings_and_are_told_and_drawn() {
    for (name, text) in SHIPPED {
        let (workflow, warnings) = parse(text).unwrap_or_else(|problems| panic!("{name}: {problems}"));
        assert_eq!(workflow.name.as_str(), name);
        let unexpected: Vec<_> =
            warnings.iter().filter(|one| !one.text.contains("nothing is compared")).collect();
        assert!(unexpected.is_empty(), "{name}: {unexpected:?}");
        for told in [words(&workflow), draw(&workflow)] {
            for stage in &workflow.stages {
                assert!(told.contains(stage.name.as_str()), "{told}");
            }
            assert!(told.is_ascii() && told.ends_with('\n'), "{told}");
        }
    }
}

#[test]
fn a_small_workflow_gets_the_documented_defaults() {
    let workflow = good(SMALL);
    assert_eq!(workflow.trigger.environment.as_str(), "production");
    assert_eq!(workflow.trigger.while_running, WhileRunning::Supersede);
    let needs: Vec<_> = workflow.stages.iter().map(|stage| stage.needs.clone()).collect();
    assert_eq!(needs, [vec![], vec![0], vec![1], vec![2], vec![3]]);
    let stage = |name: &str| workflow.stage(&StageName::parse(name).unwrap()).unwrap().1;
    assert_eq!(stage("package").timeout, Millis::hours(1));
    let retry = stage("package").retry;
    assert_eq!((retry.attempts, retry.backoff_min, retry.backoff_max), (3, Millis(10_000), Millis(300_000)));
    let With::Package(package) = &stage("package").with else { panic!() };
    assert_eq!((&*package.formats[0], package.size_max_bytes, package.sign), ("onnx", 2 << 30, true));
    let With::StageTest(test) = &stage("staging").with else { panic!() };
    assert_eq!((test.environment.as_str(), test.checks[0].on), ("staging", On::TEST));
    let With::Gate(gate) = &stage("board").with else { panic!() };
    assert_eq!((gate.expires, gate.four_eyes, gate.approvals[0].count), (Millis::days(7), true, 1));
    let (_, rollout) = workflow.rollout().unwrap();
    assert_eq!(rollout.strategy, Strategy::BlueGreen);
    assert_eq!((rollout.steps.len(), rollout.steps[0].weight), (1, Weight::ALL));
    assert_eq!((rollout.steps[0].bake, rollout.steps[0].deadline), (Millis::minutes(1), None));
    assert_eq!((rollout.alpha, rollout.tick, rollout.share_cap), (0.05, Millis(10_000), Weight::ALL));
    assert_eq!((rollout.leave_deadline, rollout.keep_warm), (Millis(60_000), Millis::hours(24)));
    assert_eq!((rollout.on, &rollout.sticky), (On::LIVE, &Sticky::None));
    let With::Monitor(monitor) = &stage("watch").with else { panic!() };
    assert_eq!((monitor.window, monitor.labels_delay), (Millis::hours(1), Millis(0)));
}

#[test]
fn a_canary_is_what_its_file_says() {
    let workflow = good(SHIPPED[1].1);
    let (_, rollout) = workflow.rollout().unwrap();
    let weights: Vec<u16> = rollout.steps.iter().map(|step| step.weight.points()).collect();
    assert_eq!(weights, [500, 2_500, 10_000]);
    assert_eq!(rollout.steps[0].samples, 500);
    assert_eq!(rollout.steps[0].deadline, Some(Millis::hours(2)));
    assert_eq!(rollout.share_cap.points(), 2_500);
    assert_eq!(rollout.sticky, Sticky::Header("x-user-id".into()));
    let margins: Vec<_> = rollout
        .analysis
        .iter()
        .filter_map(|check| match &check.kind {
            Kind::ErrorRate(check) => check.margin,
            Kind::Outcome(check) => check.margin,
            _ => None,
        })
        .collect();
    assert_eq!(margins, [0.005, 0.01]);
    let With::Monitor(monitor) = &workflow.stages[4].with else { panic!() };
    assert_eq!(monitor.checks[0].on, On { fail: Reaction::Alert, ..On::LIVE });
    let With::Gate(gate) = &workflow.stages[2].with else { panic!() };
    assert_eq!(&*gate.require[0].name, "measured quality");
    assert_eq!(&*gate.require[1].name, "change.features == \"same\" || model.risk_tier == \"low\"");
}

#[test]
fn stages_stand_after_what_they_need_whatever_the_order_of_the_text() {
    let text = "workflow: graph
trigger: { models: [] }
stages:
  - { name: watch, kind: monitor, needs: [switch], with: { checks: [{ check: error-rate, max: 1% }] } }
  - { name: switch, kind: rollout, needs: [b, a], with: { strategy: blue-green, bake: 1m } }
  - { name: a, kind: stage-test, needs: [pack], with: { checks: [{ check: smoke }] } }
  - { name: b, kind: stage-test, needs: [pack], with: { checks: [{ check: smoke }] } }
  - { name: pack, kind: package, needs: [] }
";
    let workflow = good(text);
    let stages: Vec<_> =
        workflow.stages.iter().map(|stage| (stage.name.as_str(), stage.needs.clone())).collect();
    let expected =
        [("pack", vec![]), ("a", vec![0]), ("b", vec![0]), ("switch", vec![1, 2]), ("watch", vec![3])];
    assert_eq!(stages, expected);
    assert!(!workflow.trigger.matches(&domain::name::ModelName::parse("graph").unwrap()));
}

#[test]
fn the_drawing_shows_what_runs_side_by_side() {
    let text = SMALL.replace("- { name: board, kind: gate, with: { approvals: [{ role: ml }] } }", "- { name: load, kind: stage-test, needs: [package], with: { checks: [{ check: latency, p99_max: 50ms }] } }")
        .replace("name: switch, kind: rollout,", "name: switch, kind: rollout, needs: [staging, load],");
    let expected = "\
+---------------+
| package       |
| package: onnx |
+---------------+
     |
     v
+-------------------+  +---------------------+
| staging           |  | load                |
| stage-test: smoke |  | stage-test: latency |
+-------------------+  +---------------------+
     |
     v
+--------------------------+
| switch                   |
| rollout: blue-green 100% |
+--------------------------+
     |
     v
+-------------------+
| watch             |
| monitor: every 1h |
+-------------------+
";
    assert_eq!(draw(&good(&text)), expected);
}

/// A line of [`SMALL`] replaced: what is wrong then.
#[test]
fn one_wrong_part_is_one_problem_at_its_place() {
    let stage_test = |with: &str| format!("with: {{ checks: [{with}] }}");
    let cases: Vec<(&str, String, &str)> = vec![
        // keys and names
        ("workflow: small", "wrkflow: small".into(), "MISSING workflow at wrkflow: | UNKNOWN_KEY wrkflow at wrkflow:"),
        ("workflow: small", "workflow: Small".into(), "OUT_OF_RANGE workflow at Small"),
        ("workflow: small", "workflow: small\nworkflow: big".into(), "DUPLICATE workflow at workflow:"),
        ("workflow: small", "workflow: small\nnotify: x".into(), "NOT_AVAILABLE notify at notify:"),
        ("models: [fraud]", "models: [fraud, Fraud]".into(), "OUT_OF_RANGE trigger.models[1] at Fraud"),
        ("models: [fraud]", "models: [fraud], target: fraud@x".into(), "OUT_OF_RANGE trigger.target at fraud@x"),
        ("models: [fraud]", "models: [fraud], while_running: que".into(), "UNKNOWN_NAME trigger.while_running at que"),
        ("kind: gate", "kind: gat".into(), "UNKNOWN_NAME stages[2].kind at gat"),
        ("name: board", "name: staging".into(), "DUPLICATE stages[2].name at {"),
        ("name: board", "name: a.b".into(), "OUT_OF_RANGE stages[2].name at a.b"),
        ("name: board,", "name: board, needs: [stagin],".into(), "UNKNOWN_NAME stages[2].needs[0] at stagin"),
        ("name: staging,", "name: staging, needs: [board],".into(), "CYCLE stages[1].needs at {"),
        // bounds that a kind does not have
        ("kind: gate", "kind: gate, timeout: 1h".into(), "CONFLICT stages[2].timeout at 1h"),
        ("kind: monitor", "kind: monitor, retry: { attempts: 2 }".into(), "CONFLICT stages[4].retry at {"),
        ("kind: package", "kind: package, when: 'true'".into(), "CONFLICT stages[0].when at 'true'"),
        ("kind: package", "kind: package, timeout: 60".into(), "WRONG_UNIT stages[0].timeout at 60"),
        ("kind: package", "kind: package, retry: { attempts: 0 }".into(), "OUT_OF_RANGE stages[0].retry.attempts at 0"),
        ("kind: package", "kind: package, retry: { backoff: 5m..1s }".into(), "OUT_OF_RANGE stages[0].retry.backoff at 5m..1s"),
        // package
        ("kind: package", "kind: package, with: { formats: [pickle] }".into(), "UNKNOWN_NAME stages[0].with.formats[0] at pickle"),
        ("kind: package", "kind: package, with: { size_max: 64 }".into(), "WRONG_UNIT stages[0].with.size_max at 64"),
        ("kind: package", "kind: package, with: { pickle: exec }".into(), "NOT_AVAILABLE stages[0].with.pickle at exec"),
        ("kind: package", "kind: package, with: { require: [code.comit] }".into(), "UNKNOWN_NAME stages[0].with.require[0] at code.comit"),
        // checks
        ("with: { checks: [{ check: smoke }] }", stage_test("{ check: smok }"), "UNKNOWN_NAME stages[1].with.checks[0].check at smok"),
        ("with: { checks: [{ check: smoke }] }", stage_test("{ check: drift }"), "NOT_AVAILABLE stages[1].with.checks[0].check at drift"),
        ("with: { checks: [{ check: smoke }] }", stage_test("{ check: fairness }"), "NOT_AVAILABLE stages[1].with.checks[0].check at fairness"),
        ("with: { checks: [{ check: smoke }] }", stage_test("{ check: smoke }, { check: smoke }"), "DUPLICATE stages[1].with.checks[1] at {"),
        ("with: { checks: [{ check: smoke }] }", stage_test("{ check: quality, metric: f2, min: 0.9 }"), "UNKNOWN_NAME stages[1].with.checks[0].metric at f2"),
        ("with: { checks: [{ check: smoke }] }", stage_test("{ check: quality, metric: f1, min: 90 }"), "OUT_OF_RANGE stages[1].with.checks[0].min at 90"),
        ("with: { checks: [{ check: smoke }] }", stage_test("{ check: quality, metric: f1, min: 0.9, against: live }"), "NOT_AVAILABLE stages[1].with.checks[0].against at against:"),
        ("with: { checks: [{ check: smoke }] }", stage_test("{ check: latency, p99_max: 50, rate: 200 }"), "WRONG_UNIT stages[1].with.checks[0].p99_max at 50 | WRONG_UNIT stages[1].with.checks[0].rate at 200"),
        ("with: { checks: [{ check: smoke }] }", "with: { checks: [] }".into(), "OUT_OF_RANGE stages[1].with.checks at ["),
        ("with: { checks: [{ check: smoke }] }", stage_test("{ check: smoke, on: { fail: roll_back } }"), "UNKNOWN_NAME stages[1].with.checks[0].on.fail at roll_back"),
        ("with: { checks: [{ check: smoke }] }", stage_test("{ check: smoke, level: score }"), "NOT_AVAILABLE stages[1].with.checks[0].level at score"),
        ("max: 1%", "max: 1".into(), "WRONG_UNIT stages[4].with.checks[0].max at 1"),
        ("max: 1%", "against: live, margin: 1%".into(), "CONFLICT stages[4].with.checks[0].margin at 1%"),
        ("max: 1%", "level: veto".into(), "MISSING stages[4].with.checks[0] at {"),
        ("max: 1%", "max: 1%, on: { fail: open_incident }".into(), "NOT_AVAILABLE stages[4].with.checks[0].on.fail at open_incident"),
        // gate
        ("approvals: [{ role: ml }]", "approvals: [{ role: ml, count: 0 }]".into(), "OUT_OF_RANGE stages[2].with.approvals[0].count at 0"),
        ("approvals: [{ role: ml }]", "approvals: [{ role: ml }, { role: ml }]".into(), "DUPLICATE stages[2].with.approvals[1] at {"),
        ("approvals: [{ role: ml }]", "max_age: 14d".into(), "NOT_AVAILABLE stages[2].with.max_age at max_age:"),
        ("approvals: [{ role: ml }]", "require: [checks.stagin.smoke.n > 1]".into(), "UNKNOWN_FACT stages[2].with.require[0] at checks.stagin.smoke.n"),
        ("approvals: [{ role: ml }]", "require: ['checks.staging.smok.n > 1']".into(), "UNKNOWN_FACT stages[2].with.require[0] at checks.staging.smok.n"),
        ("approvals: [{ role: ml }]", "require: ['true && checks.watch[\"error-rate\"].n > 1']".into(), "CONFLICT stages[2].with.require[0] at checks.watch[\"error-rate\""),
        ("approvals: [{ role: ml }]", "require: [model.nam == 'a']".into(), "UNKNOWN_FACT stages[2].with.require[0] at model.nam"),
        ("approvals: [{ role: ml }]", "require: ['[1].all(x, x > 0)']".into(), "RULE_NOT_ALLOWED stages[2].with.require[0] at (x"),
        ("approvals: [{ role: ml }]", "require: [{ rule: 'model.name ==' }]".into(), "RULE_SYNTAX stages[2].with.require[0].rule at '"),
        // rollout
        ("strategy: blue-green, bake: 1m", "strategy: shadow".into(), "NOT_AVAILABLE stages[3].with.strategy at shadow"),
        ("strategy: blue-green, bake: 1m", "strategy: [canary]".into(), "NOT_AVAILABLE stages[3].with.strategy at [canary"),
        ("strategy: blue-green, bake: 1m", "strategy: blue-green".into(), "MISSING stages[3].with.bake at {"),
        ("strategy: blue-green, bake: 1m", "strategy: blue-green, bake: 1m, steps: []".into(), "CONFLICT stages[3].with.steps at ["),
        ("strategy: blue-green, bake: 1m", "strategy: blue-green, bake: 1m, deadline: 1m".into(), "CONFLICT stages[3].with.deadline at 1m"),
        ("strategy: blue-green, bake: 1m", "strategy: canary".into(), "MISSING stages[3].with.steps at {"),
        ("strategy: blue-green, bake: 1m", "strategy: canary, steps: [{ weight: 5%, bake: 1m }]".into(), "CONFLICT stages[3].with.steps[0] at {"),
        ("strategy: blue-green, bake: 1m", "strategy: canary, steps: [{ weight: 50, bake: 1m }]".into(), "WRONG_UNIT stages[3].with.steps[0].weight at 50"),
        ("strategy: blue-green, bake: 1m", "strategy: canary, steps: [{ weight: 50%, bake: 1m }, { weight: 50%, bake: 1m }, { weight: 100% }]".into(), "CONFLICT stages[3].with.steps[1] at {"),
        ("strategy: blue-green, bake: 1m", "strategy: canary, steps: [{ weight: 0.005%, bake: 1m }, { weight: 100% }]".into(), "OUT_OF_RANGE stages[3].with.steps[0].weight at 0.005%"),
        ("strategy: blue-green, bake: 1m", "strategy: canary, caps: { share: 10% }, steps: [{ weight: 20%, bake: 1m }, { weight: 100% }]".into(), "CONFLICT stages[3].with.caps.share at 10%"),
        ("strategy: blue-green, bake: 1m", "strategy: blue-green, bake: 1m, alpha: 0.05".into(), "WRONG_UNIT stages[3].with.alpha at 0.05"),
        ("strategy: blue-green, bake: 1m", "strategy: blue-green, bake: 1m, alpha: 60%".into(), "OUT_OF_RANGE stages[3].with.alpha at 60%"),
        ("strategy: blue-green, bake: 1m", "strategy: blue-green, bake: 1m, alpha: 0%".into(), "OUT_OF_RANGE stages[3].with.alpha at 0%"),
        ("strategy: blue-green, bake: 1m", "strategy: blue-green, bake: 1m, analysis: [{ check: error-rate, max: 1%, margin: 1% }]".into(), "CONFLICT stages[3].with.analysis[0].max at 1%"),
        ("strategy: blue-green, bake: 1m", "strategy: blue-green, bake: 1m, sticky: cookie:a".into(), "OUT_OF_RANGE stages[3].with.sticky at cookie:a"),
        ("strategy: blue-green, bake: 1m", "strategy: blue-green, bake: 1m, rollback: { shape: stepped }".into(), "NOT_AVAILABLE stages[3].with.rollback.shape at stepped"),
        // the whole
        ("  - { name: switch, kind: rollout, with: { strategy: blue-green, bake: 1m } }\n", String::new(), "MISSING stages at {"),
        ("name: watch, kind: monitor", "name: watch, kind: monitor, needs: [board]".into(), "CONFLICT stages[4] at {"),
        ("name: board, kind: gate", "name: board, kind: gate, needs: []".into(), "CONFLICT stages[0] at { | CONFLICT stages[1] at { | CONFLICT stages[3] at {"),
        ("name: staging, kind: stage-test, with: { checks: [{ check: smoke }] }", "name: staging, kind: package".into(), "CONFLICT stages[1] at {"),
    ];
    for (from, to, expected) in cases {
        assert!(SMALL.contains(from), "{from}");
        let found = problems(&SMALL.replacen(from, &to, 1)).join(" | ");
        assert_eq!(found, expected, "{to}");
    }
}

#[test]
fn every_problem_of_a_file_is_told_at_once_with_suggestions() {
    let text = "workflow: bad
trigger: { modles: [fraud] }
stages:
  - { name: package, kind: pakage }
  - name: staging
    kind: stage-test
    with:
      checks:
        - { check: qualty, metric: f1 }
        - { check: latency, p99_max: 50 }
";
    let expected = "\
2:10: trigger.models: expected `models` (names, or prefixes that end in `*`; `[]`: only when an event names it), but it is missing [MISSING]
2:12: trigger.modles: expected `models`, `target` or `while_running`, but found `modles` [UNKNOWN_KEY]
  hint: did you mean `models`?
4:28: stages[0].kind: expected `package`, `stage-test`, `gate`, `rollout` or `monitor`, but found `pakage` [UNKNOWN_NAME]
  hint: did you mean `package`?
9:20: stages[1].with.checks[0].check: expected `smoke`, `contract`, `quality` or `latency`, but found `qualty` [UNKNOWN_NAME]
  hint: did you mean `quality`?
10:38: stages[1].with.checks[1].p99_max: expected a duration such as `10s`, `5m`, `2h`, `7d` or `500ms`, but found `50` [WRONG_UNIT]
  hint: write the unit: `50s` or `50m`";
    assert_eq!(parse(text).unwrap_err().to_string(), expected);
}

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    let text = SMALL
        .replace("approvals: [{ role: ml }]", "four_eyes: false")
        .replace("blue-green, bake: 1m", "canary, steps: [{ weight: 5% }, { weight: 100%, bake: 1s }]");
    let (_, warnings) = parse(&text).unwrap();
    let fields: Vec<&str> = warnings.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(fields, ["stages[2].with", "stages[3].with.steps[0]", "stages[3].with"]);
}

#[test]
fn yaml_that_could_harm_is_refused() {
    let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n";
    let cases = [
        ("", "MALFORMED"),
        ("a: [", "MALFORMED"),
        ("- a\n- b\n", "WRONG_TYPE"),
        ("a: 1\n---\nb: 2\n", "MALFORMED"),
        ("a: !!binary x\n", "MALFORMED"),
        ("%TAG ! x\n---\na: 1\n", "MALFORMED"),
        ("? [a]\n: b\n", "MALFORMED"),
        (bomb, "MALFORMED"),
    ];
    for (text, code) in cases {
        assert_eq!(parse(text).unwrap_err().0[0].code, code, "{text}");
    }
    let deep = "a: ".to_owned() + &"[".repeat(5_000);
    assert!(parse(&deep).is_err());
    let nested: Vec<String> = (0..200).map(|depth| format!("{}a:", " ".repeat(depth))).collect();
    assert!(parse(&nested.join("\n")).is_err());
    let large = "#".repeat(crate::yaml::TEXT_BYTES_MAX + 1);
    assert_eq!(parse(&large).unwrap_err().0[0].code, "TOO_LARGE");
}

#[test]
fn a_damaged_file_never_panics() {
    for (_, text) in SHIPPED {
        let bytes = text.as_bytes();
        let mut seed = 7_u64;
        let mut next = |bound: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % bound
        };
        for _ in 0..150 {
            let mut damaged = bytes.to_vec();
            for _ in 0..=next(4) {
                let at = next(damaged.len());
                match next(3) {
                    0 => damaged[at] = b" :,-[]{}\"'#&*!%\n\t01aZ"[next(20)],
                    1 => drop(damaged.remove(at)),
                    _ => damaged.truncate(at.max(1)),
                }
            }
            if let Ok(text) = std::str::from_utf8(&damaged) {
                let _ = parse(text);
            }
        }
    }
}
