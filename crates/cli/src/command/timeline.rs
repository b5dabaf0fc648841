//! Transitions as people read them: when, who or what said it, what was decided, with which values.
//!
//! **Invariant:** nothing is left out: what happens the same way again and again is shown once, with a count.

use std::fmt::Write as _;

use api::view::{HappenedView, NamedText, TransitionView};

use crate::output::plain;

/// The longest value that is shown in full.
const VALUE_CHARS_MAX: usize = 96;

/// All of a run.
pub(super) fn text(transitions: &[TransitionView]) -> String {
    let mut text = String::new();
    let mut rest = transitions;
    while let Some(first) = rest.first() {
        let alike = rest.iter().take_while(|other| shape(other) == shape(first)).count();
        text.push_str(&one(first));
        if alike > 1 {
            let last = &rest[alike - 1];
            let _ = writeln!(text, "      {} more like this, to #{} at {}", alike - 1, last.seq, last.now);
        }
        rest = &rest[alike..];
    }
    text
}

/// One transition: a line of what came in, a line for each event.
fn one(transition: &TransitionView) -> String {
    let mut text = format!("#{} {}\n", transition.seq, heading(transition));
    for step in &transition.steps {
        for event in &step.events {
            let _ = writeln!(text, "      {} {}{}", step.stream, event.event, values(&event.values));
        }
    }
    if let Some(refused) = &transition.refused {
        let _ = writeln!(text, "      refused {}: {}", refused.code, plain(&refused.text));
    }
    text
}

/// The same in one line.
pub(super) fn line(transition: &TransitionView) -> String {
    let mut text = format!("#{} {}", transition.seq, heading(transition));
    let events: Vec<&HappenedView> = transition.steps.iter().flat_map(|step| &step.events).collect();
    let names: Vec<String> = events
        .iter()
        .map(|event| match ["stage", "weight", "verdict", "end"].iter().find_map(|name| event.value(name)) {
            Some(value) => format!("{} {}", event.event, plain(value)),
            None => event.event.clone(),
        })
        .collect();
    if !names.is_empty() {
        let _ = write!(text, " -> {}", names.join(", "));
    }
    if let Some(refused) = &transition.refused {
        let _ = write!(text, " -> refused {}: {}", refused.code, plain(&refused.text));
    }
    text
}

fn heading(transition: &TransitionView) -> String {
    let who =
        transition.who.as_ref().map(|who| format!(" by {}", plain(&who.to_string()))).unwrap_or_default();
    format!("{} {}{who}{}", transition.now, transition.input, values(&transition.said))
}

fn values(values: &[NamedText]) -> String {
    values.iter().fold(String::new(), |mut text, value| {
        let _ = write!(text, " {}={}", value.name, short(&value.value));
        text
    })
}

fn short(value: &str) -> String {
    let value = plain(value);
    let value = if value.contains(' ') { format!("\"{value}\"") } else { value };
    if value.chars().count() <= VALUE_CHARS_MAX {
        return value;
    }
    let kept: String = value.chars().take(VALUE_CHARS_MAX).collect();
    format!("{kept}...")
}

/// What makes two transitions alike: who said what, and which events followed where. A refusal stands alone.
fn shape(transition: &TransitionView) -> (String, Vec<(String, String)>, Option<u64>) {
    let events = transition.steps.iter().flat_map(|step| {
        step.events.iter().map(|event| {
            let place = event.value("stage").or_else(|| event.value("verdict")).unwrap_or_default();
            (format!("{} {place}", step.stream), event.event.clone())
        })
    });
    let alone = (transition.refused.is_some() || transition.who.is_some()).then_some(transition.seq);
    (transition.input.clone(), events.collect(), alone)
}

#[cfg(test)]
mod tests {
    use api::view::{DecidedView, Fault, Who};

    use super::*;

    fn named(name: &str, value: &str) -> NamedText {
        NamedText { name: name.into(), value: value.into() }
    }

    fn transition(seq: u64, input: &str, event: &str) -> TransitionView {
        TransitionView {
            seq,
            now: format!("2026-11-20T10:00:{seq:02}.000Z"),
            input: input.into(),
            input_id: None,
            who: None,
            said: vec![],
            steps: vec![DecidedView {
                stream: "01KA".into(),
                input: input.into(),
                events: vec![HappenedView { event: event.into(), values: vec![named("stage", "canary")] }],
            }],
            refused: None,
            engine_version: "0.1.0".into(),
            hash: "00".into(),
        }
    }

    #[test]
    fn repeats_are_counted_and_people_are_named() {
        let approved = TransitionView {
            who: Some(Who { subject: "u1".into(), name: Some("alice".into()), on_behalf_of: None }),
            said: vec![named("stage", "board"), named("rationale", "all checks pass")],
            ..transition(5, "Approve", "Approved")
        };
        let refused = TransitionView {
            refused: Some(Fault {
                code: "NOT_ENTITLED".into(),
                text: "expected to approve as business, but bob is not".into(),
                hint: None,
                field: None,
                line: None,
                column: None,
            }),
            steps: vec![],
            ..transition(6, "Approve", "")
        };
        let all = [
            transition(1, "MeasureDue", "Measured"),
            transition(2, "MeasureDue", "Measured"),
            transition(3, "MeasureDue", "Measured"),
            transition(4, "MeasureDue", "StepEntered"),
            approved.clone(),
            refused,
        ];
        insta::assert_snapshot!(text(&all), @r#"
        #1 2026-11-20T10:00:01.000Z MeasureDue
              01KA Measured stage=canary
              2 more like this, to #3 at 2026-11-20T10:00:03.000Z
        #4 2026-11-20T10:00:04.000Z MeasureDue
              01KA StepEntered stage=canary
        #5 2026-11-20T10:00:05.000Z Approve by alice stage=board rationale="all checks pass"
              01KA Approved stage=canary
        #6 2026-11-20T10:00:06.000Z Approve
              refused NOT_ENTITLED: expected to approve as business, but bob is not
        "#);
        assert_eq!(
            line(&approved),
            "#5 2026-11-20T10:00:05.000Z Approve by alice stage=board rationale=\"all checks pass\" -> Approved canary"
        );
    }
}
