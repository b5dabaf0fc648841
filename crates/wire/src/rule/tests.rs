use domain::rule::{Comparison, Expression, Operator, Value};

use super::*;

fn fact(path: &str) -> Expression {
    Expression::Fact(path.into())
}
fn number(value: f64) -> Expression {
    Expression::Literal(Value::Number(value))
}
fn text(value: &str) -> Expression {
    Expression::Literal(Value::Text(value.into()))
}

#[test]
fn what_we_allow_of_cel_becomes_our_tree() {
    let lower = || Box::new(fact("checks.staging.quality.lower"));
    let cases = [
        (
            "checks.staging.quality.lower >= 0.9",
            Expression::Compare(Comparison::GreaterOrEqual, lower(), number(0.9).into()),
        ),
        (
            "checks[\"staging\"].quality['lower'] > -1",
            Expression::Compare(Comparison::Greater, lower(), number(-1.0).into()),
        ),
        (
            "checks.canary[\"error-rate\"].value * 2 < 1u",
            Expression::Compare(
                Comparison::Less,
                Box::new(Expression::Arithmetic(
                    Operator::Multiply,
                    Box::new(fact("checks.canary.error-rate.value")),
                    number(2.0).into(),
                )),
                number(1.0).into(),
            ),
        ),
        (
            "change.features == \"same\" || !has(model.owner)",
            Expression::Or(
                Box::new(Expression::Compare(
                    Comparison::Equal,
                    Box::new(fact("change.features")),
                    Box::new(text("same")),
                )),
                Box::new(Expression::Not(Box::new(Expression::Has("model.owner".into())))),
            ),
        ),
        (
            "has(model.owner) ? model.name.startsWith('fr') : model.risk_tier in ['low']",
            Expression::Choose {
                condition: Box::new(Expression::Has("model.owner".into())),
                then: Box::new(Expression::StartsWith(Box::new(fact("model.name")), Box::new(text("fr")))),
                otherwise: Box::new(Expression::In(
                    Box::new(fact("model.risk_tier")),
                    Box::new(Expression::List(vec![text("low")])),
                )),
            },
        ),
        (
            "size(lineage.data) - -run.age == lineage.data.size()",
            Expression::Compare(
                Comparison::Equal,
                Box::new(Expression::Arithmetic(
                    Operator::Subtract,
                    Box::new(Expression::Size(Box::new(fact("lineage.data")))),
                    Box::new(Expression::Negate(Box::new(fact("run.age")))),
                )),
                Box::new(Expression::Size(Box::new(fact("lineage.data")))),
            ),
        ),
    ];
    for (source, expected) in cases {
        let rule = parse(source).unwrap_or_else(|problems| panic!("{source}: {problems}"));
        assert_eq!(rule.expression, expected, "{source}");
        assert_eq!(&*rule.text, source);
    }
}

#[test]
fn what_is_not_allowed_is_refused_with_its_column_and_a_hint() {
    let cases = [
        ("[1].all(x, x > 0)", code::RULE_NOT_ALLOWED, 8, "allowed are"),
        ("matches(model.name, 'a')", code::RULE_NOT_ALLOWED, 8, "allowed are"),
        ("run.age % 2 == 0", code::RULE_NOT_ALLOWED, 9, "allowed are"),
        ("model.owner == null", code::RULE_NOT_ALLOWED, 16, "has(fact)"),
        ("{'a': 1}", code::RULE_NOT_ALLOWED, 1, "allowed are"),
        ("true && model.risk_teir == 'low'", code::UNKNOWN_FACT, 9, "did you mean `model.risk_tier`?"),
        ("chekcs.a.b.value > 0", code::UNKNOWN_FACT, 1, "did you mean `checks.a.b.value`?"),
        ("checks.a.b.lowr > 0", code::UNKNOWN_FACT, 1, "did you mean `checks.a.b.lower`?"),
        ("checks.canary.error-rate.value > 0", code::UNKNOWN_FACT, 1, "with a hyphen"),
        ("target.frozen || true", code::NOT_AVAILABLE, 1, ""),
        ("run.age = 1", code::RULE_SYNTAX, 9, "compare with `==`"),
    ];
    for (source, code, column, hint) in cases {
        let problems = parse(source).expect_err(source);
        let first = &problems.0[0];
        assert_eq!((first.code, first.column), (code, Some(column)), "{source}: {problems}");
        assert!(first.hint.as_deref().unwrap_or("").contains(hint), "{source}: {problems}");
    }
}

#[test]
fn every_problem_of_a_rule_is_told() {
    let problems = parse("model.nam == 'a' && run.aeg > 1 || foo(1)").unwrap_err();
    assert_eq!(problems.0.len(), 3, "{problems}");
}

#[test]
fn rules_are_bounded() {
    let long = format!("{} true", "true && ".repeat(150));
    let deep = "(".repeat(17) + "true" + &")".repeat(17);
    let cases = [
        (long, code::TOO_LARGE),
        ("a".repeat(RULE_BYTES_MAX + 1), code::TOO_LARGE),
        (deep, code::TOO_DEEP),
        ("true ? ".repeat(17), code::TOO_DEEP),
    ];
    for (source, code) in cases {
        assert_eq!(parse(&source).unwrap_err().0[0].code, code, "{source}");
    }
    let deepest = "(".repeat(RULE_DEPTH_MAX) + "true" + &")".repeat(RULE_DEPTH_MAX);
    parse(&deepest).unwrap();
    for chain in
        ["a.".repeat(1023) + "b", "!".repeat(2047) + "a", "-".repeat(2000) + "1", "1+".repeat(1000) + "1"]
    {
        let _ = parse(&chain);
    }
}

#[test]
fn garbage_never_panics() {
    let atoms = [
        "model.name",
        ".",
        "(",
        ")",
        "[",
        "]",
        "&&",
        "||",
        "!",
        "?",
        ":",
        "1",
        "1.5e9",
        "\"x\"",
        "'",
        "in",
        "has(",
        "==",
        "<",
        "-",
        "{",
        "}",
        ",",
        "\\",
        "r'",
        "\"\"\"",
        "é",
        "0x",
        "99999999999999999999",
        "\n",
        "all(x,",
        "b'",
    ];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..2000 {
        let mut source = String::new();
        for _ in 0..seed % 24 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            source.push_str(atoms[(seed >> 33) as usize % atoms.len()]);
        }
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let _ = parse(&source);
    }
}
