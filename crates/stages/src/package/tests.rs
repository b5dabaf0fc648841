//! Packaging: good models are packed, bad ones end in a code and leave nothing behind.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use domain::evidence::Change;
use domain::model::{Artifact, Trained};
use domain::work::{Order, Outcome};
use engine::port::blobs::Blobs as _;

use super::*;
use crate::bundle::{Signer, read_bundle, verify_bundle};
use crate::config::Fetch;
use crate::testing::{Bench, bench, code_of, codes, flights, package_order, trained};

/// A flights event whose artifact has these bytes, in a folder of its own that is the only root.
fn with_artifact(bytes: &[u8]) -> (tempfile::TempDir, Bench, Trained) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model"), bytes).unwrap();
    let mut trained = trained("v1");
    let sha256 = Digest::of(bytes);
    trained.artifact = Artifact { uri: "file:model".into(), sha256, size: None, format: None };
    trained.evaluation = None;
    trained.baseline = None;
    let mut bench = bench();
    bench.workers.config.fetch.file_roots = vec![folder.path().to_owned()];
    (folder, bench, trained)
}

fn refused(bench: &Bench, trained: &Trained) -> String {
    let packed = bench.package(trained);
    assert!(packed.bundle.is_none() && packed.evidence.measurements.is_empty());
    assert!(!bench.blobs.contains(trained.artifact.sha256).unwrap(), "nothing of a refused model is stored");
    let codes = codes(&packed.evidence.findings);
    assert_eq!(codes.len(), 1, "{:?}", packed.evidence.findings);
    codes[0].to_owned()
}

fn model() -> Vec<u8> {
    std::fs::read(flights().join("models/v1.onnx")).unwrap()
}

/// A zip archive of stored members, as far as a reader of local headers needs it.
fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in members {
        bytes.extend_from_slice(b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0");
        bytes.extend_from_slice(&(content.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(content.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&0_u16.to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(content);
    }
    bytes
}

fn tar() -> Vec<u8> {
    let mut bytes = vec![b'a'; 1_024];
    bytes[257..262].copy_from_slice(b"ustar");
    bytes
}

#[test]
fn bytes_that_are_no_model_end_in_their_code() {
    let model = model();
    let mut polyglot = model.clone();
    polyglot.extend_from_slice(b"\x80\x02trailing");
    let global = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.";
    let safetensors = [&64_u64.to_le_bytes()[..], b"{\"a\":0}", &[b' '; 57]].concat();
    let joblib = [&b"\x80\x04\x8c\x12joblib.numpy_pickle\x8c\x05Arr"[..], b"ay\x93", &[0xff; 40]].concat();
    let mut cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "MODEL_UNREADABLE"),
        ("garbage", vec![0xde; 500], "MODEL_UNREADABLE"),
        ("text", b"hello, this is no model at all".to_vec(), "MODEL_UNREADABLE"),
        ("polyglot", polyglot, "MODEL_UNREADABLE"),
        ("pickle 4", global.to_vec(), "PICKLE_PRESENT"),
        ("pickle 2", b"\x80\x02cos\nsystem\nU\x02id\x85R.".to_vec(), "PICKLE_PRESENT"),
        ("pickle 0", b"cos\nsystem\n(S'id'\ntR.".to_vec(), "PICKLE_PRESENT"),
        ("pickle and then more", [&global[..], b"more"].concat(), "PICKLE_PRESENT"),
        ("pickle with unknown opcode", b"\x80\x04\xff\xff.".to_vec(), "PICKLE_UNPARSEABLE"),
        ("pickle of lies", b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff.".to_vec(), "PICKLE_UNPARSEABLE"),
        ("joblib", joblib, "PICKLE_PRESENT"),
        ("torch zip", zip(&[("archive/version", b"3"), ("archive/data.pkl", global)]), "PICKLE_PRESENT"),
        ("zip of an unnamed pickle", zip(&[("weights.bin", global)]), "PICKLE_PRESENT"),
        ("zip", zip(&[("readme.txt", b"hello")]), "FORMAT_NOT_ALLOWED"),
        ("tar", tar(), "FORMAT_NOT_ALLOWED"),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0".to_vec(), "FORMAT_NOT_ALLOWED"),
        ("safetensors", safetensors, "FORMAT_NOT_ALLOWED"),
        ("gguf", b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0".to_vec(), "FORMAT_NOT_ALLOWED"),
        ("hdf5", b"\x89HDF\r\n\x1a\n\0\0".to_vec(), "FORMAT_NOT_ALLOWED"),
    ];
    for cut in [1, 10, 100, model.len() / 2, model.len() - 20, model.len() - 1] {
        cases.push(("truncated", model[..cut].to_vec(), "MODEL_UNREADABLE"));
    }
    for (name, bytes, code) in cases {
        let (_folder, bench, trained) = with_artifact(&bytes);
        assert_eq!(refused(&bench, &trained), code, "{name}");
    }
}

#[test]
fn every_truncation_is_refused() {
    let model = model();
    for cut in 0..model.len() {
        assert!(format::detect(&model[..cut]).is_err() || onnx::read(&model[..cut]).is_err(), "cut at {cut}");
    }
    assert!(format::detect(&model).is_ok() && onnx::read(&model).is_ok());
}

#[test]
fn what_was_published_must_be_what_is_there() {
    let (folder, mut bench, base) = with_artifact(&model());
    let case = |bench: &Bench, change: &dyn Fn(&mut Trained), code: &str| {
        let mut trained = base.clone();
        change(&mut trained);
        assert_eq!(refused(bench, &trained), code);
    };
    case(&bench, &|it| it.artifact.sha256 = Digest::of(b"other"), "DIGEST_MISMATCH");
    case(&bench, &|it| it.artifact.size = Some(1), "SIZE_MISMATCH");
    case(&bench, &|it| it.artifact.size = Some(u64::MAX), "TOO_LARGE");
    case(&bench, &|it| it.artifact.format = Some("gguf".into()), "FORMAT_MISMATCH");
    case(&bench, &|it| it.signature.inputs[0].name = "x".into(), "SIGNATURE_MISMATCH");
    case(&bench, &|it| it.signature.inputs[0].shape = vec![-1, 17], "SIGNATURE_MISMATCH");
    case(&bench, &|it| it.signature.inputs[0].shape = vec![-1, -1], "SIGNATURE_MISMATCH");
    case(&bench, &|it| it.signature.inputs[0].shape = vec![18], "SIGNATURE_MISMATCH");
    case(&bench, &|it| it.signature.outputs[1].datatype = "FP32".into(), "SIGNATURE_MISMATCH");
    case(&bench, &|it| drop(it.signature.outputs.pop()), "SIGNATURE_MISMATCH");

    std::fs::write(folder.path().join("evaluation.csv"), "a,label\n").unwrap();
    let test_file = domain::model::TestFile {
        uri: "file:evaluation.csv".into(),
        sha256: Digest::of(b"other"),
        label: None,
    };
    case(&bench, &|it| it.evaluation = Some(test_file.clone()), "DIGEST_MISMATCH");
    bench.workers.config.fetch.bytes_max = 100;
    case(&bench, &|_| {}, "TOO_LARGE");
}

#[test]
fn addresses_outside_of_what_is_allowed_are_refused() {
    let (folder, bench, base) = with_artifact(&model());
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    std::fs::write(&secret, model()).unwrap();
    std::os::unix::fs::symlink(&secret, folder.path().join("link")).unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("linked")).unwrap();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    for uri in [
        "file:../secret",
        "file:folder/../../secret",
        "file:%2e%2e/secret",
        "file:..%2fsecret",
        "file:link",
        "file:linked/secret",
        "file:folder",
        &format!("file:{}", secret.display()),
        &format!("file://{}", secret.display()),
        "file:///etc/passwd",
        "file:/dev/zero",
        "file://other/model",
        "file:",
        "file:a%00b",
        "file:a%zz",
        "file:..\\secret",
        "ftp://127.0.0.1/model",
        "s3://bucket/model",
        "model",
        "http://127.0.0.1:9/model",
        "https://169.254.169.254/model",
    ] {
        let mut trained = base.clone();
        trained.artifact.uri = uri.into();
        assert_eq!(refused(&bench, &trained), "URL_REFUSED", "{uri}");
    }
    for uri in ["file:model", &format!("file://{}/model", folder.path().display()), "file:%6dodel"] {
        let mut trained = base.clone();
        trained.artifact.uri = uri.into();
        assert!(bench.package(&trained).bundle.is_some(), "{uri}");
    }
    let mut closed = bench;
    closed.workers.config.fetch.file_roots.clear();
    let packed = closed.package(&base);
    assert_eq!(codes(&packed.evidence.findings), ["URL_REFUSED"], "without roots nothing is allowed");
}

#[test]
fn a_file_that_is_not_there_is_trouble_and_no_verdict() {
    let (_folder, bench, mut trained) = with_artifact(&model());
    trained.artifact.uri = "file:missing".into();
    let outcome = bench.carry_out(Order::Package(package_order(&trained)));
    assert_eq!(code_of(&outcome), Some("FETCH_FAILED"), "{outcome:?}");
}

/// Answers each connection with one of these, in order.
fn answer_each(answers: Vec<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 2_048];
            let _read = stream.read(&mut request).unwrap();
            // A client that heard enough closes first.
            let _closed = stream.write_all(&answer);
        }
    });
    url
}

fn http_ok(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{head}\r\n").as_bytes(), body].concat()
}

#[test]
fn http_is_fetched_below_allowed_prefixes_capped_and_without_redirects() {
    let (_folder, mut bench, mut trained) = with_artifact(&model());
    let body = model();
    let length = format!("content-length: {}\r\n", body.len());
    let redirect =
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec();
    let url = answer_each(vec![
        http_ok(&length, &body),
        redirect,
        http_ok("content-length: 9999999999\r\n", b""),
        http_ok("", &vec![8; 3 << 20]),
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_vec(),
        http_ok(&length, &body[..100]),
    ]);
    trained.artifact.uri = format!("{url}/models/v1.onnx").into();
    bench.workers.config.fetch = Fetch { url_prefixes: vec![format!("{url}/models/")], ..Fetch::default() };
    assert!(bench.package(&trained).bundle.is_some());
    let codes_of = |bench: &Bench| match bench.carry_out(Order::Package(package_order(&trained))) {
        Outcome::Packed(packed) => codes(&packed.evidence.findings).join(","),
        other => code_of(&other).unwrap().to_owned(),
    };
    assert_eq!(codes_of(&bench), "URL_REFUSED", "a redirect");
    assert_eq!(codes_of(&bench), "TOO_LARGE", "by its declared length");
    assert_eq!(codes_of(&bench), "TOO_LARGE", "by its bytes, without a declared length");
    assert_eq!(codes_of(&bench), "FETCH_FAILED", "an answer of 503");
    assert_eq!(codes_of(&bench), "FETCH_FAILED", "an answer that breaks off");
    assert_eq!(codes_of(&bench), "FETCH_FAILED", "nobody there");
}

#[test]
fn a_good_model_is_packed_with_its_evidence() {
    let mut bench = bench();
    let signer = Signer::from_secret(&[7; 32]);
    bench.workers.config.signer = Some(signer.clone());
    for version in ["v1", "v2", "v3"] {
        let trained = trained(version);
        let mut order = package_order(&trained);
        order.with.sign = true;
        let Outcome::Packed(packed) = bench.carry_out(Order::Package(order.clone())) else { panic!() };
        let bundle = packed.bundle.clone().unwrap();
        assert_eq!(&*bundle.format, "onnx");
        assert_eq!(bundle.artifact, trained.artifact.sha256);
        assert_eq!(bundle.signature, trained.signature, "what is declared is what is found");
        assert_eq!(bundle.signed_by.as_deref(), Some(&*signer.public_key().fingerprint()));
        let measured = &packed.evidence.measurements[0];
        assert_eq!(measured.sum as u64, trained.artifact.size.unwrap());
        let kinds: Vec<&str> = packed.evidence.blobs.iter().map(|blob| &*blob.kind).collect();
        assert_eq!(kinds, ["evaluation", "baseline", "bundle", "model", "signature"]);
        for blob in &packed.evidence.blobs {
            assert_eq!(bench.blobs.get(blob.digest).unwrap().len() as u64, blob.size);
        }
        assert!(bench.blobs.contains(packed.evidence.digest).unwrap());
        let signature = packed.evidence.blobs[4].digest;
        verify_bundle(bench.blobs.as_ref(), bundle.digest, signature, &signer.public_key()).unwrap();
        assert_eq!(read_bundle(bench.blobs.as_ref(), bundle.digest).unwrap().signature, trained.signature);
        let Outcome::Packed(again) = bench.carry_out(Order::Package(order)) else { panic!() };
        assert_eq!(again, packed, "packing again is the same in every byte");
    }
}

#[test]
fn without_a_declared_signature_the_found_one_is_taken() {
    let bench = bench();
    let mut bare = trained("v1");
    bare.signature = domain::model::Signature::default();
    assert_eq!(bench.package(&bare).bundle.unwrap().signature, trained("v1").signature);
}

#[test]
fn change_is_told_against_the_live_release() {
    let bench = bench();
    let (live, _) = bench.release(&trained("v2"));
    let pack = |trained: &Trained, live: Option<&domain::model::Release>| {
        let mut order = package_order(trained);
        order.live = live.cloned();
        let Outcome::Packed(packed) = bench.carry_out(Order::Package(order)) else { panic!() };
        packed.bundle.unwrap().change.clone()
    };
    let change = pack(&trained("v3"), Some(&live));
    assert_eq!(
        (change.model, change.features, change.runtime),
        (Change::Changed, Change::Same, Change::Same)
    );
    assert_eq!(change.data, Change::Changed, "v3 lost rows");
    assert_eq!(change.code, Change::Unknown, "uncommitted code names nothing");
    let same = pack(&trained("v2"), Some(&live));
    assert_eq!((same.model, same.data, same.config), (Change::Same, Change::Same, Change::Same));
    let mut tuned = trained("v2");
    tuned.lineage.hyperparameters[0].1 = "other".into();
    tuned.lineage.code_commit = Some("abc".into());
    assert_eq!(pack(&tuned, Some(&live)).config, Change::Changed);
    assert_eq!(pack(&trained("v2"), None), domain::evidence::ChangeVector::default());
    let swept = domain::model::Release { bundle: Digest::of(b"swept"), ..live };
    assert_eq!(pack(&trained("v2"), Some(&swept)), domain::evidence::ChangeVector::default());
}

#[test]
fn required_lineage_must_be_there() {
    let bench = bench();
    let with = |required: &[&str]| {
        let mut order = package_order(&trained("v1"));
        order.with.require = required.iter().map(|it| (*it).into()).collect();
        let Outcome::Packed(packed) = bench.carry_out(Order::Package(order)) else { panic!() };
        codes(&packed.evidence.findings).join(",")
    };
    assert_eq!(with(&["signature", "data", "data.sha256", "environment", "owner"]), "");
    assert_eq!(with(&["data", "code.commit"]), "LINEAGE_MISSING");
    assert_eq!(with(&["code.comit"]), "LINEAGE_UNKNOWN");
}

#[test]
fn without_a_key_a_bundle_that_must_be_signed_is_trouble() {
    let bench = bench();
    let mut order = package_order(&trained("v1"));
    order.with.sign = true;
    assert_eq!(code_of(&bench.carry_out(Order::Package(order))), Some("SIGNING_KEY_MISSING"));
}
