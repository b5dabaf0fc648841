//! What models answer, by value.

use serde_json::Value;

use super::{Random, model, singles};
use crate::{Filled, InferError, Request, Values};

fn ask(inputs: Vec<Filled>) -> Request {
    Request { id: Some("r".to_owned()), inputs, outputs: None }
}

struct Reference {
    x: Vec<f32>,
    probability: Vec<f32>,
    label: Vec<i64>,
}

fn reference() -> Reference {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/logistic.expected.json");
    let json: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let floats =
        |key: &str| json[key].as_array().unwrap().iter().map(|it| it.as_f64().unwrap() as f32).collect();
    let label = json["label"].as_array().unwrap().iter().map(|it| it.as_i64().unwrap()).collect();
    Reference { x: floats("x"), probability: floats("probability"), label }
}

#[test]
fn answers_agree_with_onnxruntime() {
    let expected = reference();
    let rows = expected.label.len();
    let response = model("logistic").infer(&ask(vec![singles("x", &[rows, 4], &expected.x)])).unwrap();
    let [probability, label] = &response.outputs[..] else { panic!("two outputs") };
    assert_eq!((&*probability.name, &*probability.shape), ("probability", &[rows, 1][..]));
    assert_eq!((&*label.name, &*label.shape), ("label", &[rows][..]));
    assert_eq!(label.values, Values::Int64(expected.label));
    let Values::Fp32(found) = &probability.values else { panic!("FP32") };
    let difference = found.iter().zip(&expected.probability).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference < 1e-6, "{difference}");
}

#[test]
fn each_datatype_goes_in_and_comes_out() {
    let named =
        |name: &str, shape: &[usize], values| Filled { name: name.to_owned(), shape: shape.to_vec(), values };
    let inputs = vec![
        named("flag", &[1, 1], Values::Bool(vec![true])),
        named("large", &[1], Values::Int64(vec![(1 << 53) + 1])),
        named("small", &[1, 2], Values::Int32(vec![-7, 7])),
        named("double", &[1, 2], Values::Fp64(vec![0.1, -2.5])),
        named("single", &[1, 2], Values::Fp32(vec![0.5, -0.5])),
    ];
    let response = model("datatypes").infer(&ask(inputs)).unwrap();
    let expected = [
        ("single_plus_one", Values::Fp32(vec![1.5, 0.5])),
        ("double_plus_one", Values::Fp64(vec![1.1, -1.5])),
        ("small_plus_one", Values::Int32(vec![-6, 8])),
        ("large_plus_one", Values::Int64(vec![(1 << 53) + 2])),
        ("not_flag", Values::Bool(vec![false])),
    ];
    let found: Vec<_> =
        response.outputs.iter().map(|output| (&*output.name, output.values.clone())).collect();
    assert_eq!(found, expected);
}

#[test]
fn outputs_come_as_asked_for() {
    let mut request = ask(vec![singles("x", &[2, 3], &[1.0, 2.0, 3.0, -4.0, 0.0, 1.0])]);
    request.outputs = Some(vec!["greatest".to_owned(), "total".to_owned()]);
    let response = model("two_outputs").infer(&request).unwrap();
    assert_eq!(
        response.outputs,
        [singles("greatest", &[2], &[3.0, 1.0]), singles("total", &[2, 1], &[6.0, -3.0])]
    );
    request.outputs = Some(vec!["total".to_owned()]);
    assert_eq!(model("two_outputs").infer(&request).unwrap().outputs.len(), 1);
}

#[test]
fn id_is_echoed_and_made_when_missing() {
    let model = model("reciprocal");
    let mut request = ask(vec![singles("x", &[1, 1], &[4.0])]);
    assert_eq!(model.infer(&request).unwrap().id, "r");
    for missing in [None, Some(String::new())] {
        request.id = missing;
        let (first, second) = (model.infer(&request).unwrap().id, model.infer(&request).unwrap().id);
        assert!(uuid::Uuid::parse_str(&first).is_ok());
        assert_ne!(first, second);
    }
}

#[test]
fn numbers_that_are_not_finite_are_errors_even_when_hidden() {
    let table: [(&str, &str, f32, bool); 9] = [
        ("logarithm", "a finite logarithm", 1.0, true),
        ("logarithm", "minus infinity", -1.0, false),
        ("logarithm", "NaN", -2.0, false),
        ("reciprocal", "a finite quotient", 4.0, true),
        ("reciprocal", "a division by zero", 5.0, false),
        ("logarithm_hidden", "a finite logit", 1.0, true),
        ("logarithm_hidden", "an infinity before Sigmoid", -1.0, false),
        ("logarithm_hidden", "a NaN before Sigmoid", -2.0, false),
        ("logarithm_guarded", "a NaN that Where puts aside", -2.0, true),
    ];
    for (name, what, x, answered) in table {
        let model = model(name);
        let width = model.signature().inputs[0].shape[1] as usize;
        // The bad row among good ones.
        let values = [vec![0.5; width], vec![x; width], vec![0.5; width]].concat();
        let result = model.infer(&ask(vec![singles("x", &[3, width], &values)]));
        match result {
            Ok(_) => assert!(answered, "{name}: {what} was let through"),
            Err(error) => {
                assert!(!answered, "{name}: {what} was refused: {error}");
                assert_eq!(error.code(), "OUTPUT_NOT_FINITE");
                assert!(!error.is_bad_request());
            }
        }
    }
}

#[test]
fn typed_requests_are_checked_like_json_ones() {
    let model = model("logistic");
    let refused = |input: Filled| model.infer(&ask(vec![input])).unwrap_err();
    let x = || singles("x", &[1, 4], &[0.0; 4]);
    assert_eq!(refused(Filled { shape: vec![1, 3], ..x() }).code(), "SHAPE_MISMATCH");
    assert_eq!(refused(Filled { shape: vec![0, 4], ..x() }).code(), "SHAPE_MISMATCH");
    assert_eq!(refused(Filled { shape: vec![2, 4], ..x() }).code(), "LENGTH_MISMATCH");
    assert_eq!(refused(Filled { values: Values::Fp64(vec![0.0; 4]), ..x() }).code(), "DATATYPE_MISMATCH");
    assert_eq!(refused(singles("x", &[1, 4], &[0.0, f32::NAN, 0.0, 0.0])).code(), "VALUE_INVALID");
    let error = model.infer_within(&ask(vec![singles("x", &[3, 4], &[0.0; 12])]), 2).unwrap_err();
    assert!(matches!(error, InferError::BatchTooLarge { rows: 3, rows_max: 2, .. }));
}

#[test]
fn batch_is_bounded_by_the_widest_tensor_on_the_way() {
    let model = model("wide");
    assert!(model.infer(&ask(vec![singles("x", &[2, 1], &[0.5; 2])])).is_ok());
    let error = model.infer(&ask(vec![singles("x", &[65, 1], &[0.5; 65])])).unwrap_err();
    assert!(matches!(error, InferError::BatchTooLarge { rows: 65, rows_max: 64, .. }), "{error}");
}

/// A row's answer does not depend on the rows beside it.
#[test]
fn batch_answers_as_its_rows_do() {
    let model = model("logistic");
    let mut random = Random(20_261_121);
    for count in 1..40 {
        let rows: Vec<f32> = (0..4 * count).map(|_| random.between(-50.0, 50.0)).collect();
        let batch = model.infer(&ask(vec![singles("x", &[count, 4], &rows)])).unwrap();
        for (index, row) in rows.chunks(4).enumerate() {
            let alone = model.infer(&ask(vec![singles("x", &[1, 4], row)])).unwrap();
            let [Values::Fp32(of_batch), Values::Fp32(of_row)] =
                [&batch.outputs[0].values, &alone.outputs[0].values]
            else {
                panic!("FP32")
            };
            assert!((of_batch[index] - of_row[0]).abs() < 1e-6, "row {index} of {count}: {row:?}");
        }
    }
}
