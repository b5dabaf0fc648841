//! Telling approvers.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;

use domain::name::{Digest, Role};
use domain::time::Millis;
use domain::work::{Notify, Order, Outcome};
use domain::workflow::{Approvals, GateWith};
use engine::port::blobs::Blobs as _;
use serde_json::Value;

use crate::config::Webhook;
use crate::testing::{Bench, NOW, bench, code_of, run, stage, trained};

fn order(bench: &Bench) -> Order {
    let (release, _) = bench.release(&trained("v2"));
    let approvals = vec![Approvals { role: Role::parse("ml").unwrap(), count: 2 }];
    let with = GateWith { require: vec![], approvals, four_eyes: true, expires: Millis::days(1) };
    let (evidence, expires_at) = (Digest::of(b"evidence"), NOW + Millis::days(1));
    Order::Notify(Notify { run: run(), stage: stage(), release, with, evidence, expires_at })
}

/// Answers one request, and gives its head and its body.
fn receiver(answer: &'static str) -> (String, mpsc::Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            head.push_str(&line);
            head.push('\n');
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        stream.write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").as_bytes()).unwrap();
        tell.send((head, serde_json::from_slice(&body).unwrap())).unwrap();
    });
    (url, told)
}

fn webhook(url: &str) -> Webhook {
    Webhook { name: "chat".into(), url: url.into(), token: Some("secret-token".into()) }
}

#[test]
fn the_review_page_names_the_evidence_and_what_the_bundle_says() {
    let bench = bench();
    let Outcome::Notified { review: Some(review), delivered } = bench.carry_out(order(&bench)) else {
        panic!()
    };
    assert_eq!(delivered.len(), 1);
    let page: Value = serde_json::from_slice(&bench.blobs.get(review.digest).unwrap()).unwrap();
    assert_eq!(&*review.kind, "review");
    assert_eq!(page["evidence"], Digest::of(b"evidence").to_string());
    assert_eq!(page["approvals"][0]["count"], 2);
    assert_eq!(page["bundle"]["model"]["sha256"], trained("v2").artifact.sha256.hex());
    assert_eq!(page["bundle"]["claims"].as_array().unwrap().len(), 4);
}

#[test]
fn a_webhook_is_told_with_the_effect_key() {
    let mut bench = bench();
    let (url, told) = receiver("204 No Content");
    bench.workers.config.webhooks = vec![webhook(&url)];
    let Outcome::Notified { delivered, .. } = bench.carry_out(order(&bench)) else { panic!() };
    assert_eq!(delivered.iter().map(|it| &**it).collect::<Vec<_>>(), ["log", "chat"]);
    let (head, body) = told.recv().unwrap();
    assert!(head.starts_with("post /hook") && head.contains(&Digest::of(b"effect").hex()), "{head}");
    assert!(head.contains("authorization: bearer secret-token"));
    assert_eq!(body["evidence"], Digest::of(b"evidence").to_string());
    assert!(body["text"].as_str().unwrap().contains("flights-late@production: v2 waits in `stage` for 2 ml"));
}

#[test]
fn a_webhook_that_is_not_reached_is_trouble_without_its_secrets() {
    let mut bench = bench();
    let (url, told) = receiver("500 Oops");
    for url in
        [&*url, "http://127.0.0.1:9/secret-path", "http://10.0.0.1/secret-path", "https://169.254.169.254/"]
    {
        bench.workers.config.webhooks = vec![webhook(url)];
        let outcome = bench.carry_out(order(&bench));
        assert_eq!(code_of(&outcome), Some("NOTIFY_FAILED"), "{outcome:?}");
        assert!(!format!("{outcome:?} {:?}", bench.workers.config).contains("secret"), "{outcome:?}");
    }
    told.recv().unwrap();
}
