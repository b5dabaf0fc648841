//! `modelrail.v1.ModelTrained` as the tree that its JSON would be, so that both are held to the same rules.
//!
//! **Invariant:** what Protobuf cannot tell from being absent is left out; all else stands in the tree, however wrong
//! it is, so that whoever reads the tree says so.

use prost::Message as _;

use crate::generated::v1;
use crate::problem::{Problem, code};
use crate::tree::{Entry, Node, Value, shortened};

/// Reads the bytes of a message. `path` is where they stand in the event.
pub(super) fn read(bytes: &[u8], path: &str) -> Result<Node, Problem> {
    let message = v1::ModelTrained::decode(bytes).map_err(|error| {
        let text = format!("expected a message `modelrail.v1.ModelTrained`, but {error}");
        Problem::new(code::MALFORMED, path, text)
    })?;
    let settings = named(message.hyperparameters, path)?;
    Ok(map([
        ("model", required(message.model)),
        ("version", required(message.version)),
        ("artifact", message.artifact.map(artifact)),
        ("signature", message.signature.map(signature)),
        (
            "run",
            message
                .run
                .map(|it| map([("system", text(it.system)), ("id", text(it.id)), ("url", text(it.url))])),
        ),
        ("code", message.code.map(code)),
        ("data", list(message.data, training_set)),
        (
            "features",
            message
                .features
                .map(|it| map([("view", text(it.view)), ("schema_version", text(it.schema_version))])),
        ),
        ("hyperparameters", settings),
        (
            "environment",
            message.environment.map(|it| {
                map([("lock_sha256", text(it.lock_sha256)), ("image_digest", text(it.image_digest))])
            }),
        ),
        ("metrics", list(message.metrics, claim)),
        ("evaluation", message.evaluation.map(test_file)),
        ("baseline_profile", message.baseline_profile.map(test_file)),
        ("risk_tier", text(message.risk_tier)),
        ("owner", text(message.owner)),
        ("workflow", text(message.workflow)),
        ("target", text(message.target)),
    ]))
}

fn artifact(it: v1::Artifact) -> Node {
    let (uri, sha256) = (required(it.uri), digest(it.sha256));
    map([("uri", uri), ("sha256", sha256), ("size", whole(it.size)), ("format", text(it.format))])
}

fn signature(it: v1::Signature) -> Node {
    map([("inputs", list(it.inputs, tensor)), ("outputs", list(it.outputs, tensor))])
}

fn tensor(it: v1::Tensor) -> Node {
    // Without sizes it is a scalar, and JSON would have an empty list.
    let sizes = it.shape.into_iter().map(|size| node(Value::Whole(size.into()))).collect();
    map([
        ("name", required(it.name)),
        ("datatype", required(it.datatype)),
        ("shape", Some(node(Value::List(sizes)))),
    ])
}

fn code(it: v1::model_trained::Code) -> Node {
    map([
        ("repo", text(it.repo)),
        ("commit", text(it.commit)),
        ("dirty", it.dirty.map(|dirty| node(Value::Bool(dirty)))),
    ])
}

fn training_set(it: v1::TrainingSet) -> Node {
    let (uri, sha256) = (required(it.uri), it.sha256.map(|sha256| node(Value::Text(hex::encode(sha256)))));
    map([("uri", uri), ("version", text(it.version)), ("sha256", sha256), ("rows", whole(it.rows))])
}

fn claim(it: v1::Claim) -> Node {
    map([
        ("name", required(it.name)),
        ("value", it.value.map(|value| node(Value::Real(value)))),
        ("n", whole(it.n)),
        ("slice", text(it.slice)),
        ("dataset", text(it.dataset)),
    ])
}

fn test_file(it: v1::TestFile) -> Node {
    map([("uri", required(it.uri)), ("sha256", digest(it.sha256)), ("label", text(it.label))])
}

/// Names and values as a map, each name once.
fn named(settings: Vec<v1::NamedText>, path: &str) -> Result<Option<Node>, Problem> {
    let mut names = std::collections::BTreeSet::new();
    if let Some(twice) = settings.iter().find(|setting| !names.insert(setting.name.as_str())) {
        let text = format!("expected each name once, but found `{}` again", shortened(&twice.name));
        let field =
            if path.is_empty() { "hyperparameters".to_owned() } else { format!("{path}.hyperparameters") };
        return Err(Problem::new(code::DUPLICATE, field, text));
    }
    if settings.is_empty() {
        return Ok(None);
    }
    let entry = |it: v1::NamedText| Entry { key: it.name, place: None, node: node(Value::Text(it.text)) };
    Ok(Some(node(Value::Map(settings.into_iter().map(entry).collect()))))
}

fn map<const N: usize>(entries: [(&str, Option<Node>); N]) -> Node {
    let entries = entries
        .into_iter()
        .filter_map(|(key, node)| Some(Entry { key: key.to_owned(), place: None, node: node? }));
    node(Value::Map(entries.collect()))
}

fn list<T>(items: Vec<T>, of: impl Fn(T) -> Node) -> Option<Node> {
    let items: Vec<Node> = items.into_iter().map(of).collect();
    (!items.is_empty()).then(|| node(Value::List(items)))
}

/// A text that the message always has: empty when nobody set it.
fn required(text: String) -> Option<Node> {
    (!text.is_empty()).then(|| node(Value::Text(text)))
}

fn text(text: Option<String>) -> Option<Node> {
    text.map(|text| node(Value::Text(text)))
}

fn digest(bytes: Vec<u8>) -> Option<Node> {
    (!bytes.is_empty()).then(|| node(Value::Text(hex::encode(bytes))))
}

fn whole(value: Option<u64>) -> Option<Node> {
    value.map(|value| node(Value::Whole(value.into())))
}

fn node(value: Value) -> Node {
    Node { place: None, inner: None, value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trained::cloudevent::{self, PROTOBUF, parse_record, parse_request, parse_structured};
    use crate::trained::{Announced, TYPE};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    const V1: &str = include_str!("../../../../examples/flights/v1.json");

    /// The shipped event's data, as a publisher with generated code writes it.
    fn flights() -> v1::ModelTrained {
        let event: serde_json::Value = serde_json::from_str(V1).unwrap();
        let data = &event["data"];
        let said = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let sha256 = |value: &serde_json::Value| hex::decode(value.as_str().unwrap()).unwrap();
        let all = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
        let tensors = |value: &serde_json::Value| {
            let tensor = |it: serde_json::Value| v1::Tensor {
                name: said(&it["name"]).unwrap(),
                datatype: said(&it["datatype"]).unwrap(),
                shape: all(&it["shape"]).iter().map(|size| size.as_i64().unwrap()).collect(),
            };
            all(value).into_iter().map(tensor).collect()
        };
        let file = |it: &serde_json::Value| {
            it.is_object().then(|| v1::TestFile {
                uri: said(&it["uri"]).unwrap(),
                sha256: sha256(&it["sha256"]),
                label: said(&it["label"]),
            })
        };
        let plain = |value: &serde_json::Value| said(value).unwrap_or_else(|| value.to_string());
        v1::ModelTrained {
            model: said(&data["model"]).unwrap(),
            version: said(&data["version"]).unwrap(),
            artifact: Some(v1::Artifact {
                uri: said(&data["artifact"]["uri"]).unwrap(),
                sha256: sha256(&data["artifact"]["sha256"]),
                size: data["artifact"]["size"].as_u64(),
                format: said(&data["artifact"]["format"]),
            }),
            signature: Some(v1::Signature {
                inputs: tensors(&data["signature"]["inputs"]),
                outputs: tensors(&data["signature"]["outputs"]),
            }),
            run: data["run"].is_object().then(|| v1::model_trained::TrainingRun {
                system: said(&data["run"]["system"]),
                id: said(&data["run"]["id"]),
                url: said(&data["run"]["url"]),
            }),
            code: data["code"].is_object().then(|| v1::model_trained::Code {
                repo: said(&data["code"]["repo"]),
                commit: said(&data["code"]["commit"]),
                dirty: data["code"]["dirty"].as_bool(),
            }),
            data: all(&data["data"])
                .into_iter()
                .map(|it| v1::TrainingSet {
                    uri: said(&it["uri"]).unwrap(),
                    version: said(&it["version"]),
                    sha256: it["sha256"].is_string().then(|| sha256(&it["sha256"])),
                    rows: it["rows"].as_u64(),
                })
                .collect(),
            features: data["features"].is_object().then(|| v1::model_trained::Features {
                view: said(&data["features"]["view"]),
                schema_version: said(&data["features"]["schema_version"]),
            }),
            hyperparameters: data["hyperparameters"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, value)| v1::NamedText { name: name.clone(), text: plain(value) })
                .collect(),
            environment: data["environment"].is_object().then(|| v1::model_trained::TrainingEnvironment {
                lock_sha256: said(&data["environment"]["lock_sha256"]),
                image_digest: said(&data["environment"]["image_digest"]),
            }),
            metrics: all(&data["metrics"])
                .into_iter()
                .map(|it| v1::Claim {
                    name: said(&it["name"]).unwrap(),
                    value: it["value"].as_f64(),
                    n: it["n"].as_u64(),
                    slice: said(&it["slice"]),
                    dataset: said(&it["dataset"]),
                })
                .collect(),
            evaluation: file(&data["evaluation"]),
            baseline_profile: file(&data["baseline_profile"]),
            risk_tier: said(&data["risk_tier"]),
            owner: said(&data["owner"]),
            workflow: said(&data["workflow"]),
            target: said(&data["target"]),
        }
    }

    fn structured(message: &v1::ModelTrained) -> String {
        let event: serde_json::Value = serde_json::from_str(V1).unwrap();
        let base64 = STANDARD.encode(message.encode_to_vec());
        serde_json::json!({
            "specversion": "1.0", "type": TYPE, "source": event["source"], "id": event["id"],
            "datacontenttype": PROTOBUF, "data_base64": base64,
        })
        .to_string()
    }

    fn announced(event: &cloudevent::CloudEvent) -> Announced {
        crate::trained::read(event).unwrap_or_else(|problems| panic!("{problems}")).0
    }

    fn problems(message: &v1::ModelTrained) -> Vec<String> {
        let event = parse_structured(structured(message).as_bytes()).unwrap();
        let problems = crate::trained::read(&event).expect_err("it is wrong");
        problems.0.iter().map(|one| format!("{} {}", one.code, one.field)).collect()
    }

    #[test]
    fn protobuf_says_the_same_as_json_in_both_modes_and_by_both_bindings() {
        let json = announced(&parse_structured(V1.as_bytes()).unwrap());
        assert!(!json.trained.lineage.hyperparameters.is_empty() && !json.trained.claims.is_empty());
        let bytes = flights().encode_to_vec();
        assert_eq!(announced(&parse_structured(structured(&flights()).as_bytes()).unwrap()), json);
        for prefix in ["ce-", "ce_"] {
            let event: serde_json::Value = serde_json::from_str(V1).unwrap();
            let attributes = [("specversion", "1.0"), ("type", TYPE)]
                .into_iter()
                .chain(["source", "id"].map(|name| (name, event[name].as_str().unwrap())));
            let own: Vec<(String, &str)> =
                attributes.map(|(name, value)| (format!("{prefix}{name}"), value)).collect();
            let mut headers: Vec<(&str, &str)> = own.iter().map(|(name, value)| (&**name, *value)).collect();
            headers.push(("content-type", PROTOBUF));
            assert_eq!(announced(&parse_request(headers.clone(), &bytes).unwrap()[0]), json);
            assert_eq!(announced(&parse_record(headers, Some(&bytes)).unwrap()), json);
        }
    }

    #[test]
    fn a_message_is_held_to_the_same_rules_as_json() {
        let with = |change: fn(&mut v1::ModelTrained)| {
            let mut message = flights();
            change(&mut message);
            problems(&message)
        };
        assert_eq!(
            problems(&v1::ModelTrained::default()),
            ["MISSING data.model", "MISSING data.version", "MISSING data.artifact"]
        );
        for (change, expected) in [
            ((|it| it.model = "Fraud".into()) as fn(&mut v1::ModelTrained), "OUT_OF_RANGE data.model"),
            (|it| it.owner = Some(String::new()), "OUT_OF_RANGE data.owner"),
            (|it| it.artifact.as_mut().unwrap().sha256.truncate(31), "OUT_OF_RANGE data.artifact.sha256"),
            (|it| it.artifact.as_mut().unwrap().sha256.clear(), "MISSING data.artifact.sha256"),
            (|it| it.artifact.as_mut().unwrap().size = Some(0), "OUT_OF_RANGE data.artifact.size"),
            (|it| it.metrics[0].value = Some(f64::NAN), "WRONG_TYPE data.metrics[0].value"),
            (|it| it.metrics[0].value = None, "MISSING data.metrics[0].value"),
            (
                |it| it.signature.as_mut().unwrap().inputs[0].shape = vec![0],
                "OUT_OF_RANGE data.signature.inputs[0].shape[0]",
            ),
            (|it| it.hyperparameters.push(it.hyperparameters[0].clone()), "DUPLICATE data.hyperparameters"),
            (|it| it.target = Some("other@production".into()), "CONFLICT data.target"),
        ] {
            assert_eq!(with(change), [expected]);
        }
    }

    #[test]
    fn bytes_that_are_no_message_are_refused_with_where_they_stand() {
        let event = |data: &str| {
            format!(
                r#"{{"specversion":"1.0","type":"{TYPE}","source":"/t","id":"1","datacontenttype":"{PROTOBUF}",{data}}}"#
            )
        };
        let fields = |text: &str| {
            let problems = match parse_structured(text.as_bytes()) {
                Ok(event) => crate::trained::read(&event).expect_err("it is wrong"),
                Err(problems) => problems,
            };
            problems.0.iter().map(|one| format!("{} {}", one.code, one.field)).collect::<Vec<_>>()
        };
        for (data, expected) in [
            (r#""data_base64":"/w==""#, "MALFORMED data"),
            (r#""data_base64":"not base64""#, "MALFORMED data_base64"),
            (r#""data_base64":7"#, "WRONG_TYPE data_base64"),
            (r#""data":{}"#, "CONFLICT data"),
            (r#""data":{},"data_base64":"""#, "CONFLICT data"),
        ] {
            assert_eq!(fields(&event(data)), [expected], "{data}");
        }
        let json = event(&format!(r#""data_base64":"{}""#, STANDARD.encode("{\"model\":1}")))
            .replace(PROTOBUF, "application/json");
        assert_eq!(fields(&json)[0], "WRONG_TYPE data.model", "JSON as Base64 is JSON");
        let broken = event(r#""data_base64":"ew==""#).replace(PROTOBUF, "application/json");
        assert_eq!(fields(&broken), ["MALFORMED data_base64"]);
    }
}
