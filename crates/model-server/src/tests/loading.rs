//! What loads, and what each thing that must not load is called.

use super::{Random, fixture, logistic_signature, tensor};
use crate::{Datatype, LoadError, Model, Signature};

fn code(bytes: &[u8], signature: Option<&Signature>) -> &'static str {
    match Model::load(bytes, signature) {
        Ok(_) => "loaded",
        Err(error) => {
            assert!(!error.hint().is_empty());
            error.code()
        }
    }
}

#[test]
fn each_fixture_loads_or_is_refused_by_its_code() {
    let table = [
        ("logistic", "loaded"),
        ("logistic_unnamed", "SIGNATURE_NEEDED"),
        ("logistic_zero_scale", "OUTPUT_NOT_FINITE"),
        ("graph_wrong_width", "GRAPH_REFUSED"),
        ("graph_lost_output", "RUNTIME_PANICKED"),
        ("bomb", "TENSOR_TOO_LARGE"),
        ("wide", "loaded"),
        ("datatypes", "loaded"),
        ("two_outputs", "loaded"),
        ("logarithm", "loaded"),
        ("logarithm_hidden", "loaded"),
        ("logarithm_guarded", "loaded"),
        ("logarithm_bare", "OUTPUT_NOT_FINITE"),
        ("reciprocal", "loaded"),
        ("scaler", "OPERATOR_UNSUPPORTED"),
        ("stranger", "OPERATOR_UNSUPPORTED"),
        ("small_integers", "DATATYPE_UNSUPPORTED"),
    ];
    for (name, expected) in table {
        assert_eq!(code(&fixture(name), None), expected, "{name}");
    }
}

#[test]
fn unsupported_operators_are_named() {
    let error = Model::load(&fixture("scaler"), None).unwrap_err();
    assert!(matches!(&error, LoadError::OperatorUnsupported { operators } if operators == &["Scaler"]));
    assert_eq!(error.to_string(), "expected to load a model of known operators, but it uses Scaler");
}

#[test]
fn signature_is_found_without_a_declared_one() {
    let model = Model::load(&fixture("logistic"), None).unwrap();
    assert_eq!(model.signature(), &logistic_signature());
}

#[test]
fn declared_signature_gives_the_shapes_that_the_graph_leaves_open() {
    let model = Model::load(&fixture("logistic_unnamed"), Some(&logistic_signature())).unwrap();
    assert_eq!(model.signature(), &logistic_signature());
}

#[test]
fn declared_signature_is_held_against_the_found_one() {
    let base = logistic_signature;
    let with_input =
        |datatype, shape: &[i64]| Signature { inputs: vec![tensor("x", datatype, shape)], ..base() };
    let with_outputs = |outputs: &[(&str, Datatype, &[i64])]| Signature {
        outputs: outputs.iter().map(|(name, datatype, shape)| tensor(name, *datatype, shape)).collect(),
        ..base()
    };
    let probability: (&str, Datatype, &[i64]) = ("probability", Datatype::Fp32, &[-1, 1]);
    let label: (&str, Datatype, &[i64]) = ("label", Datatype::Int64, &[-1]);
    let table = [
        ("the same", base(), "loaded"),
        ("outputs in another order", with_outputs(&[label, probability]), "loaded"),
        ("a wider output", with_outputs(&[("probability", Datatype::Fp32, &[-1, -1]), label]), "loaded"),
        ("one row only, which is less than the model can", with_input(Datatype::Fp32, &[1, 4]), "loaded"),
        ("wrong width", with_input(Datatype::Fp32, &[-1, 5]), "SIGNATURE_MISMATCH"),
        ("any width", with_input(Datatype::Fp32, &[-1, -1]), "SIGNATURE_MISMATCH"),
        ("wrong rank", with_input(Datatype::Fp32, &[-1, 4, 1]), "SIGNATURE_MISMATCH"),
        ("wrong input type", with_input(Datatype::Fp64, &[-1, 4]), "SIGNATURE_MISMATCH"),
        ("negative size", with_input(Datatype::Fp32, &[-2, 4]), "SIGNATURE_MISMATCH"),
        ("no input", Signature { inputs: vec![], ..base() }, "SIGNATURE_MISMATCH"),
        (
            "other input",
            Signature { inputs: vec![tensor("z", Datatype::Fp32, &[-1, 4])], ..base() },
            "SIGNATURE_MISMATCH",
        ),
        ("output missing", with_outputs(&[probability]), "SIGNATURE_MISMATCH"),
        ("output twice", with_outputs(&[probability, label, label]), "SIGNATURE_MISMATCH"),
        (
            "output unknown",
            with_outputs(&[probability, ("class", Datatype::Int64, &[-1])]),
            "SIGNATURE_MISMATCH",
        ),
        (
            "output type",
            with_outputs(&[probability, ("label", Datatype::Int32, &[-1])]),
            "SIGNATURE_MISMATCH",
        ),
        (
            "output width",
            with_outputs(&[("probability", Datatype::Fp32, &[-1, 2]), label]),
            "SIGNATURE_MISMATCH",
        ),
        ("output rank", with_outputs(&[("probability", Datatype::Fp32, &[-1]), label]), "SIGNATURE_MISMATCH"),
    ];
    for (what, declared, expected) in table {
        assert_eq!(code(&fixture("logistic"), Some(&declared)), expected, "{what}");
    }
}

#[test]
fn wrong_width_that_only_the_graph_shows_is_a_mismatch() {
    let declared = Signature { inputs: vec![tensor("x", Datatype::Fp32, &[-1, 5])], ..logistic_signature() };
    assert_eq!(code(&fixture("logistic_unnamed"), Some(&declared)), "SIGNATURE_MISMATCH");
}

#[test]
fn graph_that_contradicts_itself_is_not_the_declarations_fault() {
    let declared = Signature {
        inputs: vec![tensor("x", Datatype::Fp32, &[-1, 3])],
        outputs: vec![tensor("y", Datatype::Fp32, &[-1, 1])],
    };
    assert_eq!(code(&fixture("graph_wrong_width"), Some(&declared)), "GRAPH_REFUSED");
}

#[test]
fn every_truncation_is_unreadable() {
    let bytes = fixture("logistic");
    for length in 0..bytes.len() {
        assert_eq!(code(&bytes[..length], None), "MODEL_UNREADABLE", "cut to {length} bytes");
    }
}

#[test]
fn garbage_is_unreadable() {
    let mut random = Random(7);
    for length in [1, 7, 64, 517, 4096] {
        let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        assert_eq!(code(&bytes, None), "MODEL_UNREADABLE", "{length} bytes");
    }
    assert_eq!(code(b"\x80\x04\x95pickle", None), "MODEL_UNREADABLE");
}

/// Whatever a flipped bit makes of a model: it loads, or it is refused; it never takes the server down.
#[test]
fn every_flipped_bit_ends_in_a_model_or_an_error() {
    let bytes = fixture("logistic");
    for place in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << bit;
            let _loaded_or_refused = Model::load(&flipped, Some(&logistic_signature()));
        }
    }
}
