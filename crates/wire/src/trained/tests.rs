use super::cloudevent::{
    BATCH, STRUCTURED, parse_batch, parse_binary, parse_record, parse_request, parse_structured,
};
use super::*;
use domain::workflow::Workflow;

const V1: &str = include_str!("../../../../examples/flights/v1.json");
const SHA: &str = "7ca15202be5aa259c161f259dbc621c3811a609f72c987702a588b1a08031329";

fn event(data: &str) -> String {
    format!(r#"{{"specversion":"1.0","type":"{TYPE}","source":"/t","id":"1","data":{data}}}"#)
}

fn small() -> String {
    format!(r#"{{"model":"fraud","version":"2","artifact":{{"uri":"file:m.onnx","sha256":"{SHA}"}}}}"#)
}

fn announced(text: &str) -> Announced {
    read(&parse_structured(text.as_bytes()).unwrap()).unwrap_or_else(|problems| panic!("{problems}")).0
}

fn problems(data: &str) -> Vec<String> {
    let event = parse_structured(event(data).as_bytes()).unwrap();
    let problems = read(&event).expect_err(data);
    problems.0.iter().map(|one| format!("{} {}", one.code, one.field)).collect()
}

fn workflow(name: &str, models: &str, environment: &str) -> Workflow {
    let text = format!(
        "workflow: {name}\ntrigger: {{ models: {models}, target: '{{model}}@{environment}' }}\nstages:\n  - \
         {{ name: p, kind: package }}\n  - {{ name: r, kind: rollout, with: {{ strategy: blue-green, bake: 1s }} }}\n"
    );
    crate::workflow::parse(&text).unwrap_or_else(|problems| panic!("{problems}")).0
}

#[test]
fn a_shipped_event_becomes_what_the_core_knows() {
    let event = parse_structured(V1.as_bytes()).unwrap();
    let (announced, warnings) = read(&event).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let trained = announced.trained;
    assert_eq!((&*trained.source, &*trained.id), ("/training/flights", "flights-late-v1"));
    assert_eq!((trained.model.as_str(), trained.version.as_str()), ("flights-late", "v1"));
    assert_eq!(trained.artifact.sha256.hex(), SHA);
    assert_eq!((trained.artifact.size, trained.artifact.format.as_deref()), (Some(838), Some("onnx")));
    assert_eq!(trained.signature.inputs[0].shape, [-1, 18]);
    assert_eq!(trained.lineage.training_sets[0].rows, Some(85_335));
    assert_eq!(trained.lineage.code_dirty, Some(true));
    assert!(trained.lineage.hyperparameters.is_sorted());
    assert_eq!((&*trained.claims[0].name, trained.claims[0].value), ("auc", 0.692));
    assert_eq!(trained.evaluation.unwrap().label.as_deref(), Some("label"));
    assert_eq!(trained.owner.unwrap().as_str(), "flights-team");
    assert_eq!(trained.publisher, None);
}

#[test]
fn binary_structured_and_batch_mode_say_the_same() {
    let structured = announced(&event(&small()));
    let headers = |prefix: &str| {
        // Percent-encoded by HTTP alone.
        let source = if prefix.eq_ignore_ascii_case("ce-") { "%2Ft" } else { "/t" };
        [("specversion", "1.0"), ("type", TYPE), ("source", source), ("id", "1")]
            .map(|(name, value)| (format!("{prefix}{name}"), value.to_owned()))
    };
    for (prefix, content_type) in
        [("ce-", "application/json"), ("ce_", "application/json; charset=utf-8"), ("CE-", "Application/JSON")]
    {
        let own = headers(prefix);
        let mut all: Vec<(&str, &str)> = own.iter().map(|(name, value)| (&**name, &**value)).collect();
        all.push(("Content-Type", content_type));
        let binary = parse_binary(all.clone(), small().as_bytes()).unwrap();
        assert_eq!(read(&binary).unwrap().0, structured);
        assert_eq!(parse_request(all, small().as_bytes()).unwrap(), [binary]);
    }
    let one = event(&small());
    let batch = format!("[{one},{one}]");
    assert_eq!(parse_batch(batch.as_bytes()).unwrap().len(), 2);
    let by_type = |content_type: &str, body: &str| {
        parse_request([("content-type", content_type)], body.as_bytes()).map(|events| events.len())
    };
    assert_eq!(by_type(&format!("{STRUCTURED}; charset=UTF-8"), &one), Ok(1));
    assert_eq!(by_type(BATCH, &batch), Ok(2));
    assert_eq!(by_type(BATCH, "[]"), Ok(0));
}

#[test]
fn a_record_is_one_event() {
    let one = event(&small());
    let headers = [("ce_specversion", "1.0"), ("ce_type", TYPE), ("ce_source", "/a%20b"), ("ce_id", "1")];
    let read = |more: &[(&'static str, &'static str)], value: Option<&str>| {
        let headers: Vec<(&str, &str)> = more.to_vec();
        parse_record(headers, value.map(str::as_bytes))
    };
    let binary = read(&headers, Some(&small())).unwrap();
    assert_eq!(binary.source, "/a%20b", "headers of a record stand as they are");
    assert_eq!(read(&[("content-type", STRUCTURED)], Some(&one)).unwrap().source, "/t");
    let twice = [headers.as_slice(), &[("ce_id", "2")]].concat();
    let again = [headers.as_slice(), &[("ce_id", "1")]].concat();
    assert!(read(&again, Some(&small())).is_ok(), "the same twice is the same");
    for (headers, value, expected) in [
        (headers.as_slice(), None, "MISSING "),
        (&twice, Some(small()), "DUPLICATE ce-id"),
        (&[("content-type", BATCH)], Some(format!("[{one}]")), "NOT_AVAILABLE content-type"),
        (&[("content-type", "application/cloudevents+avro")], Some(one), "NOT_AVAILABLE content-type"),
    ] {
        let problems = read(headers, value.as_deref()).expect_err(expected);
        assert_eq!(format!("{} {}", problems.0[0].code, problems.0[0].field), expected);
    }
}

#[test]
fn a_trace_context_is_kept_and_a_wrong_one_is_warned_of() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let body = event(&small());
    let with = |value| parse_request([("content-type", STRUCTURED), ("traceparent", value)], body.as_bytes());
    let (announced, warnings) = read(&with(trace).unwrap()[0]).unwrap();
    assert_eq!((announced.trained.traceparent.as_deref(), warnings.len()), (Some(trace), 0));
    let (announced, warnings) = read(&with("nonsense").unwrap()[0]).unwrap();
    assert_eq!((announced.trained.traceparent, warnings[0].field.as_str()), (None, "traceparent"));
}

#[test]
fn what_is_wrong_with_data_is_told_at_once_by_field() {
    let cases = [
        ("{}", vec!["MISSING data.model", "MISSING data.version", "MISSING data.artifact"]),
        ("[]", vec!["WRONG_TYPE data"]),
        (
            r#"{"model":"Fraud","version":2,"artifact":{"uri":"ftp:x","sha256":"abc","size":-1}}"#,
            vec![
                "OUT_OF_RANGE data.model",
                "WRONG_TYPE data.version",
                "OUT_OF_RANGE data.artifact.uri",
                "OUT_OF_RANGE data.artifact.sha256",
                "OUT_OF_RANGE data.artifact.size",
            ],
        ),
        (
            r#"{"model":"a","version":"1","artifact":{},"metrics":[{"name":"f1","value":"0.9"}]}"#,
            vec![
                "MISSING data.artifact.uri",
                "MISSING data.artifact.sha256",
                "WRONG_TYPE data.metrics[0].value",
            ],
        ),
    ];
    for (data, expected) in cases {
        assert_eq!(problems(data), expected, "{data}");
    }
    let with = |more: &str| format!("{},{more}}}", small().trim_end_matches('}').to_owned() + "}");
    let cases = [
        (
            r#""signature":{"inputs":[{"name":"x","datatype":"FLOAT","shape":[0]}]}"#,
            "UNKNOWN_NAME data.signature.inputs[0].datatype|OUT_OF_RANGE data.signature.inputs[0].shape[0]",
        ),
        (r#""hyperparameters":{"a":[1]}"#, "WRONG_TYPE data.hyperparameters.a"),
        (r#""data":[{"sha256":"1"}]"#, "MISSING data.data[0].uri|OUT_OF_RANGE data.data[0].sha256"),
        (r#""evaluation":{"uri":"file:x"}"#, "MISSING data.evaluation.sha256"),
        (r#""target":"churn@production""#, "CONFLICT data.target"),
        (r#""workflow":"A b""#, "OUT_OF_RANGE data.workflow"),
        (r#""owner":"""#, "OUT_OF_RANGE data.owner"),
    ];
    for (more, expected) in cases {
        assert_eq!(problems(&with(more)).join("|"), expected, "{more}");
    }
    let wrong = parse_structured(event(r#"{"model":1}"#).as_bytes()).unwrap();
    let first = read(&wrong).unwrap_err().0[0].to_string();
    assert_eq!(first, "data.model: expected a text, but found `1` [WRONG_TYPE]\n  hint: put it in quotes");
}

/// What is let in here must go through a lane.
#[test]
fn lists_and_names_are_bounded() {
    let with = |more: &str| -> Vec<String> {
        let small = small().trim_end_matches('}').to_owned() + "}";
        let read = read(&parse_structured(event(&format!("{small},{more}}}")).as_bytes()).unwrap());
        let told = read.err().map_or(vec![], |problems| problems.0);
        told.iter().map(|one| format!("{} {}", one.code, one.field)).collect()
    };
    let metrics = |number| format!(r#""metrics":[{}]"#, vec![r#"{"name":"a","value":1}"#; number].join(","));
    assert_eq!(with(&metrics(4_096)), Vec::<String>::new());
    assert_eq!(with(&metrics(4_097)), ["TOO_LARGE data.metrics"]);
    let settings = |number| {
        let all: Vec<String> = (0..number).map(|index| format!("\"{index}\":1")).collect();
        format!("\"hyperparameters\":{{{}}}", all.join(","))
    };
    assert_eq!(with(&settings(4_096)), Vec::<String>::new());
    assert_eq!(with(&settings(4_097)), ["TOO_LARGE data.hyperparameters"]);
    let named = |length| format!("\"hyperparameters\":{{\"{}\":1}}", "x".repeat(length));
    assert_eq!(with(&named(1_024)), Vec::<String>::new());
    assert_eq!(with(&named(1_025)), ["TOO_LARGE data.hyperparameters"]);
}

#[test]
fn fields_that_nobody_knows_are_warned_of() {
    let data = small().replace("\"model\"", "\"colour\":1,\"model\"");
    let (_, warnings) = read(&parse_structured(event(&data).as_bytes()).unwrap()).unwrap();
    assert_eq!((warnings[0].code, warnings[0].field.as_str()), (code::UNKNOWN_KEY, "data.colour"));
}

#[test]
fn envelopes_that_are_not_events_are_refused() {
    let deep = "[".repeat(65) + &"]".repeat(65);
    let large = event(&format!("\"{}\"", "x".repeat(cloudevent::EVENT_BYTES_MAX)));
    let own = event("{}").replace("\"1.0\"", "\"0.3\"").replace("\"id\":\"1\",", "");
    let cases = [
        (String::new(), "MALFORMED "),
        ("{".into(), "MALFORMED "),
        ("{} {}".into(), "MALFORMED "),
        (event("{\"a\":1,\"a\":2}"), "MALFORMED "),
        (event("NaN"), "MALFORMED "),
        (event("1e999"), "MALFORMED "),
        (event(&deep), "MALFORMED "),
        (large, "TOO_LARGE "),
        (own, "UNKNOWN_NAME specversion|MISSING id"),
        (event("{}").replace("\"data\"", "\"data_base64\""), "WRONG_TYPE data_base64"),
        (
            event("{}").replace("\"id\"", "\"datacontenttype\":\"text/xml\",\"id\""),
            "NOT_AVAILABLE datacontenttype",
        ),
    ];
    for (text, expected) in cases {
        let problems = parse_structured(text.as_bytes()).expect_err(&text[..text.len().min(80)]);
        let found: Vec<String> = problems.0.iter().map(|one| format!("{} {}", one.code, one.field)).collect();
        assert_eq!(found.join("|"), expected);
    }
    let named = parse_structured(event("{}").replace(".trained.", ".trainde.").as_bytes()).unwrap();
    assert_eq!(read(&named).unwrap_err().0[0].code, code::UNKNOWN_TYPE);
    let missing = parse_binary([("ce-id", "1"), ("content-type", "text/xml")], b"{}").unwrap_err();
    let fields: Vec<&str> = missing.0.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(fields, ["ce-specversion", "ce-type", "ce-source", "content-type"]);
    let subject = event(&small()).replace("\"id\"", "\"subject\":\"fraud@3\",\"id\"");
    let problems = read(&parse_structured(subject.as_bytes()).unwrap()).unwrap_err();
    assert_eq!(problems.0[0].field, "subject");
    let batch = format!("[{},{{}}]", event("{}"));
    assert_eq!(parse_batch(batch.as_bytes()).unwrap_err().0[0].field, "[1].specversion");
}

#[test]
fn events_start_the_workflows_that_match_one_for_each_target() {
    let (fraud, prefix) =
        (workflow("one", "[fraud]", "production"), workflow("two", "['churn-*']", "production"));
    let (again, never) = (workflow("again", "['fr*']", "production"), workflow("never", "[]", "production"));
    let shadow = workflow("lab", "['*']", "lab");
    let all = [&fraud, &prefix, &again, &never, &shadow];
    let model = |model: &str, more: &str| {
        announced(&event(&small().replace("\"fraud\"", &format!("\"{model}\"{more}"))))
    };
    let names = |announced: &Announced, workflows: &[&Workflow]| {
        let found = matching(announced, workflows.iter().copied())?;
        Ok(found.iter().map(|(workflow, target)| format!("{} {target}", workflow.name)).collect::<Vec<_>>())
    };
    let plain = model("fraud", "");
    assert_eq!(names(&plain, &all[..2]), Ok(vec!["one fraud@production".into()]));
    assert_eq!(
        names(&plain, &[&fraud, &shadow]),
        Ok(vec!["lab fraud@lab".into(), "one fraud@production".into()])
    );
    let both: Problem = names(&plain, &all[..4]).unwrap_err();
    assert_eq!(both.code, code::AMBIGUOUS_WORKFLOW);
    assert!(both.text.contains("`one` and `again`"), "{both}");
    let named = model("fraud", r#","workflow":"never","target":"fraud@eu""#);
    assert_eq!(names(&named, &all), Ok(vec!["never fraud@eu".into()]));
    let mistyped = names(&model("fraud", r#","workflow":"nevr""#), &all).unwrap_err();
    assert_eq!(mistyped.hint.as_deref(), Some("did you mean `never`?"));
    for (wrong, hint) in [
        ("fruad", "nearest is `fraud` of the workflow `one`"),
        ("chrun-eu", "nearest is `churn-*` of the workflow `two`"),
    ] {
        let none = names(&model(wrong, ""), &all[..2]).unwrap_err();
        assert_eq!((none.code, none.hint.as_deref()), (code::NO_WORKFLOW, Some(hint)), "{wrong}");
    }
}

#[test]
fn damaged_events_never_panic() {
    let mut seed = 3_u64;
    let mut next = |bound: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % bound
    };
    for _ in 0..600 {
        let mut damaged = V1.as_bytes().to_vec();
        for _ in 0..=next(3) {
            let at = next(damaged.len());
            match next(3) {
                0 => damaged[at] = next(256) as u8,
                1 => drop(damaged.remove(at)),
                _ => damaged[at] = b"{}[]\",:0-1e"[next(11)],
            }
        }
        if let Ok(event) = parse_structured(&damaged) {
            let _ = read(&event);
        }
    }
}
