//! Labels by HTTP.

use domain::time::Timestamp;
use engine::port::predictions::Predictions;

use super::{INFER, Loaded, Stage, one_row, table, target};
use crate::instant;

const LABELS: &str = "/fraud@production/labels";

#[tokio::test]
async fn labels_join_their_predictions_as_array_and_as_lines() {
    let stage = Stage::new(Loaded::of(&["v1"])).await;
    stage.gateway.apply(table(1, &[("v1", 10_000)])).await.unwrap();
    for id in ["a", "b", "c", "d"] {
        assert_eq!(stage.client.post(INFER, &[], one_row(id)).await.status, 200);
    }
    let array = r#"[{"id":"a","label":1,"time":"2026-11-21T10:30:00Z"}, {"id":"b","value":false}]"#;
    let got = stage.client.post(LABELS, &[], array).await;
    assert_eq!((got.status.as_u16(), &got.body["labels"]), (200, &2.into()));
    let lines = "{\"id\":\"c\",\"label\":0.5,\"time\":1795257000000}\n\n{\"id\":\"z\",\"label\":true}\n";
    assert_eq!(stage.client.post(LABELS, &[], lines).await.body["labels"], 2);
    stage.gateway.flush().await;
    let mut joined = vec![];
    let all = (Timestamp(0), Timestamp(u64::MAX));
    stage
        .predictions
        .scan(&target(), all.0, all.1, &mut |it, label| joined.push((it.request_id.clone(), label)))
        .unwrap();
    joined.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [("a", Some(1.0)), ("b", Some(0.0)), ("c", Some(0.5)), ("d", None)];
    assert_eq!(joined, expected.map(|(id, label)| (id.to_owned(), label)));
}

#[test]
fn a_wrong_label_is_refused_with_its_line_and_field() {
    let good = r#"{"id":"a","label":1}"#;
    let cases = [
        ("", "LABELS_MALFORMED", None, None),
        ("[]", "LABELS_MALFORMED", None, None),
        ("[{\n]", "LABELS_MALFORMED", Some(2), None),
        ("5", "LABEL_INVALID", Some(1), None),
        ("{", "LABEL_INVALID", Some(1), None),
        (r#"{"label":1}"#, "LABEL_INVALID", Some(1), Some("id")),
        (r#"{"id":1,"label":1}"#, "LABEL_INVALID", Some(1), Some("id")),
        (r#"{"id":"","label":1}"#, "LABEL_INVALID", Some(1), Some("id")),
        (r#"{"id":"a"}"#, "LABEL_INVALID", Some(1), Some("label")),
        (r#"{"id":"a","label":"1"}"#, "LABEL_INVALID", Some(1), Some("label")),
        (r#"{"id":"a","value":null}"#, "LABEL_INVALID", Some(1), Some("value")),
        (r#"{"id":"a","label":1,"value":1}"#, "LABEL_INVALID", Some(1), Some("value")),
        (r#"{"id":"a","label":1,"time":"yesterday"}"#, "LABEL_INVALID", Some(1), Some("time")),
        (r#"{"id":"a","label":1,"time":-1}"#, "LABEL_INVALID", Some(1), Some("time")),
        (r#"{"id":"a","label":1,"lable":1}"#, "LABEL_INVALID", Some(1), None),
        (r#"{"id":"a","label":1,"label":0}"#, "LABEL_INVALID", Some(1), None),
        (r#"{"id":"a","label":1,"id":"b"}"#, "LABEL_INVALID", Some(1), None),
        (r#"["a",1]"#, "LABEL_INVALID", Some(1), None),
        (r#"[["a",1]]"#, "LABEL_INVALID", Some(1), None),
        (r#"{"id":"a","label":NaN}"#, "LABEL_INVALID", Some(1), None),
        (r#"{"id":"a","label":1e999}"#, "LABEL_INVALID", Some(1), None),
    ];
    let read = |text: &str| crate::labels::read(&target(), text.as_bytes(), 4, Timestamp(1));
    for (text, code, line, field) in cases {
        let refused = read(text).unwrap_err();
        assert_eq!((refused.code, refused.line, refused.field), (code, line, field), "{text}");
    }
    let refused = read(&format!("{good}\n\n{{\"id\":\"b\"}}")).unwrap_err();
    assert_eq!((refused.line, refused.field), (Some(3), Some("label")));
    let refused = read(&format!("[{good},\n\n {good}, {{}}]")).unwrap_err();
    assert_eq!((refused.line, refused.field), (Some(3), Some("id")));
    assert_eq!(read(&[good; 5].join("\n")).unwrap_err().code, "LABELS_TOO_MANY");
    assert_eq!(read(&format!("[{}]", [good; 5].join(","))).unwrap_err().code, "LABELS_TOO_MANY");
    assert!(crate::labels::read(&target(), b"\xff", 4, Timestamp(1)).is_err());
}

#[test]
fn times_are_read_as_they_are_written() {
    for ms in [0, 951_827_696_789, 1_795_219_199_999, 4_107_542_400_000] {
        assert_eq!(instant::parse(&Timestamp(ms).to_string()), Some(Timestamp(ms)));
    }
    let cases = [
        ("2000-02-29T12:34:56+00:30", Some(951_825_896_000)),
        ("2000-02-29t12:34:56.7899-01:00", Some(951_831_296_789)),
        ("2001-02-29T12:34:56Z", None),
        ("2000-13-01T12:34:56Z", None),
        ("2000-02-29T24:00:00Z", None),
        ("2000-02-29T12:34:56", None),
        ("2000-02-29T12:34:56.Z", None),
        ("2000-02-29", None),
        ("1969-12-31T23:59:59Z", None),
        ("２000-02-29T12:34:56Z", None),
    ];
    for (text, ms) in cases {
        assert_eq!(instant::parse(text), ms.map(Timestamp), "{text}");
    }
}
