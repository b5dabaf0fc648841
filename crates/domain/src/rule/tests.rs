//! What a rule says of which facts.

use super::Expression as E;
use super::{
    Answer, Comparison, Expression, FACTS, Facts, Operator, RULE_NODES_MAX, RULE_TERMS_MAX, Rule, Value,
    evaluate, known, nearest,
};
use crate::verdict::Verdict::{self, Fail, NoData, Pass};

fn fact(path: &str) -> Expression {
    E::Fact(path.into())
}

fn text(text: &str) -> Expression {
    E::Literal(Value::Text(text.into()))
}

fn number(number: f64) -> Expression {
    E::Literal(Value::Number(number))
}

fn truth(truth: bool) -> Expression {
    E::Literal(Value::Bool(truth))
}

fn compare(left: Expression, comparison: Comparison, right: Expression) -> Expression {
    E::Compare(comparison, left.into(), right.into())
}

fn same(left: Expression, right: Expression) -> Expression {
    compare(left, Comparison::Equal, right)
}

fn at_least(left: Expression, right: Expression) -> Expression {
    compare(left, Comparison::GreaterOrEqual, right)
}

fn arithmetic(left: Expression, operator: Operator, right: Expression) -> Expression {
    E::Arithmetic(operator, left.into(), right.into())
}

fn and(left: Expression, right: Expression) -> Expression {
    E::And(left.into(), right.into())
}

fn or(left: Expression, right: Expression) -> Expression {
    E::Or(left.into(), right.into())
}

fn not(inner: Expression) -> Expression {
    E::Not(inner.into())
}

fn choose(condition: Expression, then: Expression, otherwise: Expression) -> Expression {
    E::Choose { condition: condition.into(), then: then.into(), otherwise: otherwise.into() }
}

fn is_in(element: Expression, list: Expression) -> Expression {
    E::In(element.into(), list.into())
}

fn facts() -> Facts {
    let mut facts = Facts::default();
    facts.set("checks.staging.quality.lower", Value::Number(0.91));
    facts.set("checks.staging.error-rate.verdict", Value::Text("pass".into()));
    facts.set("change.features", Value::Text("changed".into()));
    facts.set("model.risk_tier", Value::Text("low".into()));
    facts.set("target.frozen", Value::Bool(false));
    facts.set("claims.broken", Value::Number(f64::NAN));
    facts
}

fn says(expression: Expression) -> Answer {
    evaluate(&Rule { text: expression.to_string().into(), expression }, &facts())
}

#[test]
fn rules_of_a_gate() {
    let quality = || fact("checks.staging.quality.lower");
    let risk = || fact("model.risk_tier");
    let unchanged = || same(fact("change.features"), text("same"));
    for (rule, expected) in [
        (at_least(quality(), number(0.9)), Pass),
        (at_least(quality(), number(0.95)), Fail),
        (at_least(fact("checks.staging.latency.value"), number(1.0)), NoData),
        (or(unchanged(), same(risk(), text("low"))), Pass),
        (and(unchanged(), same(risk(), text("low"))), Fail),
        (or(unchanged(), same(fact("model.owner"), text("ann"))), NoData),
        (not(fact("target.frozen")), Pass),
        (is_in(risk(), E::List(vec![text("low"), text("medium")])), Pass),
        (is_in(risk(), E::List(vec![text("high")])), Fail),
        (E::Has("model.owner".into()), Fail),
        (or(not(E::Has("model.owner".into())), same(fact("model.owner"), text("ann"))), Pass),
        (choose(E::Has("plan.hours".into()), at_least(number(24.0), fact("plan.hours")), truth(true)), Pass),
        (at_least(arithmetic(quality(), Operator::Subtract, number(0.9)), number(0.0)), Pass),
        (at_least(E::Size(risk().into()), number(3.0)), Pass),
        (at_least(E::Size(E::List(vec![truth(true); 2]).into()), number(3.0)), Fail),
        (E::StartsWith(risk().into(), text("lo").into()), Pass),
        (E::EndsWith(risk().into(), text("lo").into()), Fail),
    ] {
        let answer = says(rule.clone());
        assert_eq!(answer.verdict, expected, "{rule}: {answer:?}");
        assert_eq!(answer.missing.is_empty(), expected != NoData, "{rule}: {answer:?}");
    }
}

/// True, false, unknown.
const THREE: [Verdict; 3] = [Pass, Fail, NoData];

fn of(verdict: Verdict) -> Expression {
    match verdict {
        Pass => truth(true),
        Fail => truth(false),
        Verdict::Inconclusive | NoData => fact("model.owner"),
    }
}

#[test]
fn logic_is_kleenes() {
    for (left, right, conjunction, disjunction) in [
        (Pass, Pass, Pass, Pass),
        (Pass, Fail, Fail, Pass),
        (Pass, NoData, NoData, Pass),
        (Fail, Fail, Fail, Fail),
        (Fail, NoData, Fail, NoData),
        (NoData, NoData, NoData, NoData),
    ] {
        for (left, right) in [(left, right), (right, left)] {
            assert_eq!(says(and(of(left), of(right))).verdict, conjunction, "{left} && {right}");
            assert_eq!(says(or(of(left), of(right))).verdict, disjunction, "{left} || {right}");
        }
    }
    for (verdict, negated) in THREE.into_iter().zip([Fail, Pass, NoData]) {
        assert_eq!(says(not(of(verdict))).verdict, negated);
        assert_eq!(says(choose(of(verdict), truth(true), truth(false))).verdict, verdict);
    }
    // A branch that is not chosen is not missed.
    assert_eq!(says(choose(truth(true), truth(true), of(NoData))).verdict, Pass);
}

#[test]
fn membership_is_told_when_the_other_elements_decide() {
    let list = E::List(vec![fact("model.owner"), text("low")]);
    assert_eq!(says(is_in(text("low"), list.clone())).verdict, Pass);
    let answer = says(is_in(text("high"), list));
    assert_eq!((answer.verdict, &*answer.missing), (NoData, &["model.owner".into()][..]));
}

#[test]
fn mistakes_are_never_true_nor_false_and_say_why() {
    let third = || arithmetic(number(1.0), Operator::Divide, number(0.0));
    for (rule, why) in [
        (
            same(fact("model.risk_tier"), number(1.0)),
            "`model.risk_tier == 1`: a text is not comparable with a number",
        ),
        (
            compare(fact("model.risk_tier"), Comparison::NotEqual, number(1.0)),
            "`model.risk_tier != 1`: a text is not comparable with a number",
        ),
        (at_least(truth(true), truth(false)), "`true >= false`: true or false has no order to true or false"),
        (same(third(), number(1.0)), "`1 / 0`: divides by zero"),
        (
            same(arithmetic(number(1e300), Operator::Multiply, number(1e300)), number(1.0)),
            "`1e300 * 1e300`: is too large a number",
        ),
        (at_least(fact("claims.broken"), number(0.0)), "`claims.broken` is not a finite number"),
        (not(text("x")), "`\"x\"`: is a text, not true or false"),
        (is_in(text("x"), text("xyz")), "`\"x\" in \"xyz\"`: a text is no list"),
        (E::Size(number(1.0).into()), "`size(1)`: a number has no size"),
        (fact("model.risk_tier"), "the rule says \"low\", which is a text, not true or false"),
    ] {
        let answer = says(rule.clone());
        assert_eq!(answer.verdict, NoData, "{rule}");
        assert_eq!(answer.missing, [why.into()]);
        let negated = says(not(rule));
        assert_eq!(negated.verdict, NoData);
    }
}

#[test]
fn each_part_is_shown_once_with_its_value() {
    let quality = || fact("checks.staging.quality.lower");
    let rule = or(
        and(at_least(quality(), number(0.9)), at_least(quality(), number(0.95))),
        same(fact("model.owner"), text("ann")),
    );
    let answer = says(rule);
    let shown = |value: &Option<Value>| value.as_ref().map_or("?".to_owned(), Value::to_string);
    let lines: Vec<_> =
        answer.terms.iter().map(|term| format!("{} is {}", term.text, shown(&term.value))).collect();
    assert_eq!(
        lines,
        [
            "checks.staging.quality.lower >= 0.9 is true",
            "checks.staging.quality.lower is 0.91",
            "checks.staging.quality.lower >= 0.95 is false",
            "model.owner == \"ann\" is ?",
            "model.owner is ?",
        ]
    );
}

#[test]
fn expressions_are_written_as_cel_with_the_brackets_they_need() {
    let (a, b, c) = (|| fact("run.age"), || number(2.0), || number(-3.5));
    for (expression, expected) in [
        (and(or(truth(true), truth(false)), truth(true)), "(true || false) && true"),
        (or(and(truth(true), truth(false)), truth(true)), "true && false || true"),
        (and(truth(true), and(truth(false), truth(true))), "true && (false && true)"),
        (
            arithmetic(a(), Operator::Subtract, arithmetic(b(), Operator::Subtract, c())),
            "run.age - (2 - -3.5)",
        ),
        (arithmetic(arithmetic(a(), Operator::Add, b()), Operator::Multiply, c()), "(run.age + 2) * -3.5"),
        (E::Negate(c().into()), "-(-3.5)"),
        (not(E::Has("plan.hours".into())), "!has(plan.hours)"),
        (not(same(a(), b())), "!(run.age == 2)"),
        (
            choose(choose(a(), a(), b()), b(), choose(a(), b(), c())),
            "(run.age ? run.age : 2) ? 2 : run.age ? 2 : -3.5",
        ),
        (fact("checks.staging.error-rate.lower"), "checks.staging[\"error-rate\"].lower"),
        (is_in(text("a\"\\\n\u{7}"), E::List(vec![b(), c()])), r#""a\"\\\n\u0007" in [2, -3.5]"#),
        (E::StartsWith(fact("model.name").into(), text("x").into()), "model.name.startsWith(\"x\")"),
        (E::Size(E::List(vec![]).into()), "size([])"),
        (number(1e300), "1e300"),
    ] {
        assert_eq!(expression.to_string(), expected);
    }
}

#[test]
fn facts_are_known_and_typos_get_a_suggestion() {
    for path in [
        "model.name",
        "checks.staging.quality.lower",
        "checks.a.b.c-1.verdict",
        "claims.f1",
        "target.live.version",
    ] {
        assert!(known(path), "{path}");
        assert_eq!(nearest(path).as_deref(), Some(path));
    }
    for (path, suggestion) in [
        ("model.nme", Some("model.name")),
        ("model.risk", Some("model.risk_tier")),
        ("modell.name", Some("model.name")),
        ("checks.staging.quality.lowr", Some("checks.staging.quality.lower")),
        ("check.staging.quality.lower", Some("checks.staging.quality.lower")),
        ("checks.quality.lower", Some("checks.NAME.quality.lower")),
        ("lineage.commit", Some("lineage.code.commit")),
        ("target.version", Some("target.live.version")),
        ("claims", Some("claims.NAME")),
        ("checks..quality.lower", Some("checks.NAME.quality.lower")),
        ("zzzzzzzzzzzz", None),
        ("", None),
    ] {
        assert!(!known(path), "{path}");
        assert_eq!(nearest(path).as_deref(), suggestion, "{path}");
    }
    assert_eq!(nearest(&"a.".repeat(10_000)), None);
    assert!(FACTS.iter().all(|fact| known(&fact.pattern.replace('*', "x")) && !fact.meaning.is_empty()));
}

#[test]
fn too_large_a_rule_is_refused_without_harm() {
    let mut deep = truth(true);
    for _ in 0..10 * RULE_NODES_MAX {
        deep = not(deep);
    }
    assert_eq!(evaluate(&Rule { text: "".into(), expression: deep }, &facts()).verdict, NoData);
    let mut facts = facts();
    facts.set("claims.many", Value::List(vec![Value::Number(1.0); 100_000]));
    let expression = is_in(number(2.0), fact("claims.many"));
    let answer = evaluate(&Rule { text: "".into(), expression }, &facts);
    assert_eq!(answer.verdict, NoData, "{:?}", answer.missing);
}

struct Random(u64);

impl Random {
    /// Below `bound` (SplitMix64).
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn value(&mut self) -> Value {
        match self.below(7) {
            0 => Value::Bool(self.below(2) == 0),
            1 => Value::Number(self.below(3) as f64 - 1.0),
            2 => Value::Number([0.0, -0.0, 1e300, f64::MIN_POSITIVE, 0.5][self.below(5) as usize]),
            3 => Value::Number([f64::NAN, f64::INFINITY][self.below(2) as usize]),
            4 | 5 => Value::Text(["", "low", "lö\"w", "a.b"][self.below(4) as usize].into()),
            _ => Value::List((0..self.below(3)).map(|_| self.value()).collect()),
        }
    }

    fn tree(&mut self, depth: u64) -> Expression {
        let paths: Vec<_> =
            ["model.owner"].into_iter().chain(FACTS.iter().map(|fact| fact.pattern)).collect();
        let path = |random: &mut Self| paths[random.below(paths.len() as u64) as usize].into();
        if depth == 0 {
            return if self.below(2) == 0 { E::Literal(self.value()) } else { E::Fact(path(self)) };
        }
        let comparisons = [
            Comparison::Equal,
            Comparison::NotEqual,
            Comparison::Less,
            Comparison::LessOrEqual,
            Comparison::Greater,
            Comparison::GreaterOrEqual,
        ];
        let operators = [Operator::Add, Operator::Subtract, Operator::Multiply, Operator::Divide];
        let kind = self.below(13);
        let mut part = || {
            let less = 1 + self.below(2);
            self.tree(depth.saturating_sub(less))
        };
        match kind {
            0 => E::List(vec![part(), part()]),
            1 => not(part()),
            2 => E::Negate(part().into()),
            3 => and(part(), part()),
            4 => or(part(), part()),
            5 => choose(part(), part(), part()),
            6 | 7 => {
                let (left, right) = (part(), part());
                compare(left, comparisons[self.below(6) as usize], right)
            }
            8 => {
                let (left, right) = (part(), part());
                arithmetic(left, operators[self.below(4) as usize], right)
            }
            9 => is_in(part(), part()),
            10 => E::Size(part().into()),
            11 => E::Has(path(self)),
            _ => E::StartsWith(part().into(), part().into()),
        }
    }
}

#[test]
fn any_tree_over_any_facts_gives_one_answer_without_panic() {
    let mut random = Random(20_261_121);
    let mut seen = [0; 4];
    for _ in 0..20_000 {
        let depth = random.below(6);
        let expression = random.tree(depth);
        let mut facts = Facts::default();
        for fact in FACTS {
            if random.below(3) > 0 {
                let value = random.value();
                facts.set(fact.pattern, value);
            }
        }
        let rule = Rule { text: expression.to_string().into(), expression };
        let answer = evaluate(&rule, &facts);
        assert_eq!(answer, evaluate(&rule, &facts), "{}", rule.text);
        assert_eq!(answer.missing.is_empty(), answer.verdict != NoData, "{}", rule.text);
        assert!(answer.terms.len() <= RULE_TERMS_MAX);
        let finite = |term: &super::Term| !matches!(term.value, Some(Value::Number(x)) if !x.is_finite());
        assert!(answer.terms.iter().all(finite), "{}", rule.text);
        seen[answer.verdict as usize] += 1;
    }
    assert!(seen[Pass as usize] > 50 && seen[Fail as usize] > 50 && seen[NoData as usize] > 50, "{seen:?}");
}

#[test]
fn knowing_more_never_turns_true_to_false() {
    let mut random = Random(7);
    for _ in 0..20_000 {
        let expression = random.tree(4);
        let holds_has = expression.to_string().contains("has(");
        let mut facts = Facts::default();
        for fact in FACTS {
            if random.below(2) > 0 {
                facts.set(fact.pattern, Value::Bool(random.below(2) == 0));
            }
        }
        let rule = Rule { text: "".into(), expression };
        let before = evaluate(&rule, &facts).verdict;
        for fact in FACTS {
            if facts.get(fact.pattern).is_none() {
                facts.set(fact.pattern, Value::Bool(random.below(2) == 0));
            }
        }
        let after = evaluate(&rule, &facts).verdict;
        assert!(holds_has || before == NoData || after == before, "{}", rule.expression);
    }
}
