//! Bad requests, each with its HTTP code and its code.

use super::{call, server_with};
use crate::Limits;

/// `logistic`: one input `x` FP32 [-1, 4]. `datatypes`: five inputs of one batch.
const NAMES: [&str; 3] = ["logistic", "datatypes", "logarithm_hidden"];

fn limits() -> Limits {
    Limits { rows_max: 3, body_bytes_max: 2048, ..Limits::default() }
}

async fn check(path: &str, body: &str, expected: u16, code: &str) {
    let (found, answer) = call(&server_with(limits(), &NAMES), "POST", path, body.to_owned()).await;
    assert_eq!((found, answer["code"].as_str().unwrap_or("answered")), (expected, code), "{body}: {answer}");
    assert_eq!(found == 200, answer["error"].is_null(), "{answer}");
}

/// A request to `logistic` with this input.
fn input(fields: &str) -> String {
    format!(r#"{{"inputs": [{{{fields}}}]}}"#)
}

#[tokio::test]
async fn bodies_that_are_no_request_are_malformed() {
    let deep = format!(r#"{{"inputs": [{{"data": {}1{}}}]}}"#, "[".repeat(300), "]".repeat(300));
    let nine = format!(r#"{{"inputs": [{{"data": {}1{}}}]}}"#, "[".repeat(9), "]".repeat(9));
    let table = [
        "",
        "x",
        "{",
        "[]",
        "null",
        "{}",
        r#"{"inputs": {}}"#,
        r#"{"inputs": [], "inputs": []}"#,
        r#"{"inputs": []} x"#,
        r#"{"id": 7, "inputs": []}"#,
        r#"{"inputs": [{}]}"#,
        r#"{"inputs": [{"name": "x", "datatype": "FP32", "data": [1]}]}"#,
        r#"{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1.5], "data": [1]}]}"#,
        r#"{"inputs": [{"name": "x", "datatype": "FP32", "shape": "1,4", "data": [1]}]}"#,
        r#"{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1,4], "data": "AAAA"}]}"#,
        r#"{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1,4], "data": [NaN,0,0,0]}]}"#,
        r#"{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1,4], "data": [Infinity,0,0,0]}]}"#,
        r#"{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1,4], "data": [1e999,0,0,0]}]}"#,
        r#"{"inputs": [], "outputs": ["label"]}"#,
        r#"[null, [{"name": "features", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}], null, null]"#,
        &deep,
        &nine,
    ];
    for body in table {
        check("/v2/models/logistic/infer", body, 400, "MALFORMED").await;
    }
    let (found, answer) =
        call(&server_with(limits(), &NAMES), "POST", "/v2/models/logistic/infer", vec![0xff, 0xfe]).await;
    assert_eq!((found, answer["code"].as_str()), (400, Some("MALFORMED")));
}

#[tokio::test]
async fn inputs_that_do_not_fit_are_refused_by_their_code() {
    let table = [
        (r#""name": "x", "datatype": "FP32", "shape": [1,4], "data": [1,2,3,4]"#, "answered"),
        (r#""name": "x", "datatype": "FP32", "shape": [1,4], "data": [[1,2.5,3,4]]"#, "answered"),
        (
            r#""data": [1,2,3,4], "shape": [1,4], "datatype": "FP32", "name": "x", "extra": {"a": []}"#,
            "answered",
        ),
        (r#""name": "y", "datatype": "FP32", "shape": [1,4], "data": [1,2,3,4]"#, "INPUT_UNKNOWN"),
        (r#""name": "x", "datatype": "FP64", "shape": [1,4], "data": [1,2,3,4]"#, "DATATYPE_MISMATCH"),
        (r#""name": "x", "datatype": "INT64", "shape": [1,4], "data": [1,2,3,4]"#, "DATATYPE_MISMATCH"),
        (
            r#""name": "x", "datatype": "BYTES", "shape": [1,4], "data": ["a","b","c","d"]"#,
            "DATATYPE_MISMATCH",
        ),
        (r#""name": "x", "datatype": "fp32", "shape": [1,4], "data": [1,2,3,4]"#, "DATATYPE_MISMATCH"),
        (r#""name": "x", "datatype": "FP32", "shape": [1,3], "data": [1,2,3]"#, "SHAPE_MISMATCH"),
        (r#""name": "x", "datatype": "FP32", "shape": [1,5], "data": [1,2,3,4,5]"#, "SHAPE_MISMATCH"),
        (r#""name": "x", "datatype": "FP32", "shape": [4], "data": [1,2,3,4]"#, "SHAPE_MISMATCH"),
        (r#""name": "x", "datatype": "FP32", "shape": [1,4,1], "data": [1,2,3,4]"#, "SHAPE_MISMATCH"),
        (r#""name": "x", "datatype": "FP32", "shape": [], "data": []"#, "SHAPE_MISMATCH"),
        (r#""name": "x", "datatype": "FP32", "shape": [0,4], "data": []"#, "SHAPE_MISMATCH"),
        (r#""name": "x", "datatype": "FP32", "shape": [-1,4], "data": [1,2,3,4]"#, "SHAPE_MISMATCH"),
        (r#""name": "x", "datatype": "FP32", "shape": [2,4], "data": [1,2,3,4]"#, "LENGTH_MISMATCH"),
        (r#""name": "x", "datatype": "FP32", "shape": [1,4], "data": [1,2,3,4,5]"#, "LENGTH_MISMATCH"),
        (r#""name": "x", "datatype": "FP32", "shape": [1,4], "data": []"#, "LENGTH_MISMATCH"),
        (r#""name": "x", "datatype": "FP32", "shape": [2,4], "data": [[1,2,3,4],[1,2,3]]"#, "VALUE_INVALID"),
        (
            r#""name": "x", "datatype": "FP32", "shape": [2,4], "data": [[1,2],[3,4],[5,6],[7,8]]"#,
            "VALUE_INVALID",
        ),
        (r#""name": "x", "datatype": "FP32", "shape": [1,4], "data": [[1,2,3,4],5]"#, "VALUE_INVALID"),
        (r#""name": "x", "datatype": "FP32", "shape": [1,4], "data": [1,2,3,null]"#, "VALUE_INVALID"),
        (r#""name": "x", "datatype": "FP32", "shape": [1,4], "data": [1,2,3,"NaN"]"#, "VALUE_INVALID"),
        (r#""name": "x", "datatype": "FP32", "shape": [1,4], "data": [1,2,3,true]"#, "VALUE_INVALID"),
        (r#""name": "x", "datatype": "FP32", "shape": [1,4], "data": [1,2,3,{"a": 1}]"#, "VALUE_INVALID"),
        (r#""name": "x", "datatype": "FP32", "shape": [1,4], "data": [1,2,3,1e39]"#, "VALUE_INVALID"),
        (r#""name": "x", "datatype": "FP32", "shape": [1,4]"#, "VALUE_INVALID"),
    ];
    for (fields, code) in table {
        let expected = if code == "answered" { 200 } else { 400 };
        check("/v2/models/logistic/infer", &input(fields), expected, code).await;
    }
}

#[tokio::test]
async fn requests_that_do_not_fit_as_a_whole_are_refused_by_their_code() {
    let x = r#"{"name": "x", "datatype": "FP32", "shape": [1,4], "data": [1,2,3,4]}"#;
    let four_rows =
        r#"{"name": "x", "datatype": "FP32", "shape": [4,4], "data": [1,2,3,4,1,2,3,4,1,2,3,4,1,2,3,4]}"#;
    let long_id = "i".repeat(257);
    let table = [
        (r#"{"inputs": []}"#.to_owned(), 400, "INPUT_MISSING"),
        (format!(r#"{{"inputs": [{x}, {x}]}}"#), 400, "INPUT_REPEATED"),
        (format!(r#"{{"inputs": [{four_rows}]}}"#), 413, "BATCH_TOO_LARGE"),
        (format!(r#"{{"id": "{long_id}", "inputs": [{x}]}}"#), 400, "ID_TOO_LONG"),
        (format!(r#"{{"inputs": [{x}], "outputs": []}}"#), 200, "answered"),
        (format!(r#"{{"inputs": [{x}], "outputs": [{{"name": "logit"}}]}}"#), 400, "OUTPUT_UNKNOWN"),
        (
            format!(r#"{{"inputs": [{x}], "outputs": [{{"name": "label"}}, {{"name": "label"}}]}}"#),
            400,
            "OUTPUT_REPEATED",
        ),
        (
            format!(
                r#"{{"inputs": [{x}], "outputs": [{{"name": "label", "parameters": {{"binary_data": true}}}}]}}"#
            ),
            400,
            "BINARY_UNSUPPORTED",
        ),
        (
            input(
                r#""name": "x", "datatype": "FP32", "shape": [1,4], "parameters": {"binary_data_size": 16}"#,
            ),
            400,
            "BINARY_UNSUPPORTED",
        ),
        (
            format!(r#"{{"inputs": [{x}], "parameters": {{"color": "{}"}}}}"#, " ".repeat(2048)),
            413,
            "BODY_TOO_LARGE",
        ),
    ];
    for (body, expected, code) in table {
        check("/v2/models/logistic/infer", &body, expected, code).await;
    }
}

#[tokio::test]
async fn integers_and_booleans_are_taken_exactly() {
    let body = |small: &str, large: &str, flag: &str, rows: usize| {
        let singles = vec!["[1,2]"; rows].join(",");
        format!(
            r#"{{"inputs": [
                {{"name": "single", "datatype": "FP32", "shape": [{rows},2], "data": [{singles}]}},
                {{"name": "double", "datatype": "FP64", "shape": [1,2], "data": [1,2]}},
                {{"name": "small", "datatype": "INT32", "shape": [1,2], "data": [1,{small}]}},
                {{"name": "large", "datatype": "INT64", "shape": [1], "data": [{large}]}},
                {{"name": "flag", "datatype": "BOOL", "shape": [1,1], "data": [{flag}]}}
            ]}}"#
        )
    };
    let table = [
        (body("-1", "9007199254740993", "true", 1), 200, "answered"),
        (body("1.5", "1", "true", 1), 400, "VALUE_INVALID"),
        (body("2147483648", "1", "true", 1), 400, "VALUE_INVALID"),
        (body("1", "9223372036854775808", "true", 1), 400, "VALUE_INVALID"),
        (body("1", "1.0", "true", 1), 400, "VALUE_INVALID"),
        (body("1", "1", "1", 1), 400, "VALUE_INVALID"),
        (body("1", "1", r#""true""#, 1), 400, "VALUE_INVALID"),
        // Two rows in one input and one in the others: one batch has one size.
        (body("1", "1", "true", 2), 400, "SHAPE_MISMATCH"),
    ];
    for (body, expected, code) in &table {
        check("/v2/models/datatypes/infer", body, *expected, code).await;
    }
    let (_, answer) =
        call(&server_with(limits(), &NAMES), "POST", "/v2/models/datatypes/infer", table[0].0.clone()).await;
    assert_eq!(answer["outputs"][3]["data"][0], 9_007_199_254_740_994_i64);
}

#[tokio::test]
async fn model_that_gives_no_finite_number_is_the_servers_fault() {
    let body = input(r#""name": "x", "datatype": "FP32", "shape": [1,1], "data": [-2]"#);
    check("/v2/models/logarithm_hidden/infer", &body, 500, "OUTPUT_NOT_FINITE").await;
}

#[tokio::test]
async fn unknown_places_and_methods_are_told_apart() {
    let server = server_with(limits(), &NAMES);
    let table = [
        ("POST", "/v2/models/nobody/infer", 404, "MODEL_UNKNOWN"),
        ("GET", "/v2/models/nobody", 404, "MODEL_UNKNOWN"),
        ("GET", "/v2/models/nobody/ready", 404, "MODEL_UNKNOWN"),
        ("POST", "/v2/models/logistic/versions/9/infer", 404, "VERSION_UNKNOWN"),
        ("GET", "/v2/models/logistic/versions/9", 404, "VERSION_UNKNOWN"),
        ("GET", "/v2/models/logistic/versions/9/ready", 404, "VERSION_UNKNOWN"),
        ("GET", "/v2/models/logistic/infer", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/v2/models/logistic", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/v2/repository/models/logistic/unload", 404, "ROUTE_UNKNOWN"),
        ("GET", "/v2/models", 404, "ROUTE_UNKNOWN"),
        ("GET", "/v2/models/logistic/versions/1/x", 404, "ROUTE_UNKNOWN"),
    ];
    for (method, path, expected, code) in table {
        let (found, answer) = call(&server, method, path, "{}").await;
        assert_eq!((found, answer["code"].as_str()), (expected, Some(code)), "{method} {path}");
        assert!(answer["error"].is_string());
    }
}
