//! TLS, passwords and rights: what is right works, and what is wrong is named within seconds.

use std::time::{Duration, Instant};

use log_kafka::topics::{self, Error, Known, Outcome};
use log_kafka::{Bell, Joining, LogReader, Member, Publisher, Write, group};
use log_kafka::{Cause, Identity, Mechanism, Password, REACHED_WITHIN, Sasl, Security, Settings, Tls, Topic};

use rdkafka::error::RDKafkaErrorCode;
use wire::record::Lane;

use super::cluster::{Cluster, prefix, secure};
use super::nodes::WANTED;

/// A group takes a moment to find together.
const READ_WITHIN: Duration = Duration::from_secs(30);
/// What a loaded machine may need beyond the deadline, to say what it found.
const SAID_WITHIN: Duration = Duration::from_secs(5);

fn settings(brokers: String, security: Security) -> Settings {
    Settings { brokers, client_id: "test".into(), prefix: prefix(), security }
}

fn trusting(cluster: &Cluster, authority: &str) -> Tls {
    Tls { ca: Some(cluster.key(authority)), identity: None }
}

fn identified(cluster: &Cluster, name: &str) -> Tls {
    let identity = Identity {
        certificate: cluster.key(&format!("{name}.pem")),
        key: cluster.key(&format!("{name}.key")),
    };
    Tls { identity: Some(identity), ..trusting(cluster, "ca.pem") }
}

fn named(cluster: &Cluster, mechanism: Mechanism, user: &str, password: &str) -> Security {
    let sasl = Sasl { mechanism, user: user.into(), password: Password::new(password.into()) };
    Security { tls: Some(trusting(cluster, "ca.pem")), sasl: Some(sasl) }
}

/// Why these settings reach nobody.
fn refused(settings: &Settings) -> (Cause, String) {
    let began = Instant::now();
    let Error::NotReached(error) = topics::found(settings).unwrap_err() else { panic!("it is reached") };
    assert!(began.elapsed() < REACHED_WITHIN + SAID_WITHIN, "said after {:?}", began.elapsed());
    println!("{}: {error} (hint: {})", error.code(), error.hint());
    (error.cause, error.why)
}

#[test]
fn who_is_right_is_let_in_and_who_is_wrong_is_told_why() {
    let Some(cluster) = secure() else { return };
    let (mtls, sasl) = (cluster.listener("mtls"), cluster.listener("sasl"));

    for mechanism in Mechanism::ALL {
        let settings = settings(sasl.clone(), named(cluster, mechanism, "alice", "secret"));
        let made = topics::create(&settings, &WANTED).unwrap();
        assert!(made.iter().all(|made| made.outcome == Outcome::Created), "{made:?}");
        assert_eq!(topics::check(&settings, &WANTED, &Known::new()).unwrap(), []);
        let (cause, why) =
            refused(&Settings { security: named(cluster, mechanism, "alice", "wrong"), ..settings });
        assert_eq!(cause, Cause::Password, "{mechanism:?}: {why}");
        assert!(!why.contains("wrong"), "{why}");
    }
    let identity = Security { tls: Some(identified(cluster, "client")), sasl: None };
    assert_eq!(topics::found(&settings(mtls.clone(), identity)).unwrap().brokers, 1);

    for (what, brokers, security, causes) in [
        (
            "brokers that nobody whom we trust signed",
            &sasl,
            Security {
                tls: Some(trusting(cluster, "stranger.pem")),
                ..named(cluster, Mechanism::ScramSha512, "alice", "secret")
            },
            &[Cause::Untrusted][..],
        ),
        (
            "no certificate of ours",
            &mtls,
            Security { tls: Some(trusting(cluster, "ca.pem")), sasl: None },
            &[Cause::NoIdentity, Cause::HungUp],
        ),
        (
            "a certificate of ours that the brokers do not trust",
            &mtls,
            Security { tls: Some(identified(cluster, "stranger")), sasl: None },
            &[Cause::NoIdentity, Cause::HungUp],
        ),
        ("no TLS where it is spoken", &sasl, Security::default(), &[Cause::HungUp]),
        (
            "a file that is not there",
            &sasl,
            Security { tls: Some(trusting(cluster, "none.pem")), sasl: None },
            &[Cause::Settings],
        ),
    ] {
        let (cause, why) = refused(&settings(brokers.clone(), security));
        assert!(causes.contains(&cause), "{what}: {cause:?}, {why}");
        assert!(cause != Cause::Settings || why.contains("none.pem"), "{why}");
    }
}

#[test]
fn who_has_no_rights_is_told_for_each_topic() {
    let Some(cluster) = secure() else { return };
    let sasl = cluster.listener("sasl");
    let alice = settings(sasl.clone(), named(cluster, Mechanism::ScramSha512, "alice", "secret"));
    let bob = Settings { security: named(cluster, Mechanism::ScramSha512, "bob", "secret"), ..alice.clone() };
    topics::create(&alice, &WANTED).unwrap();
    let problems = topics::check(&bob, &WANTED, &Known::new()).unwrap();
    assert_eq!(problems.len(), Topic::all().len());
    assert!(problems.iter().all(|problem| problem.code.as_str() == "TOPIC_NOT_ENTITLED"), "{problems:?}");
    for made in topics::create(&bob, &WANTED).unwrap() {
        let Outcome::Refused { hint: Some(hint), .. } = made.outcome else { panic!("{made:?}") };
        assert!(hint.contains("CREATE"), "{hint}");
    }
}

/// What a client says once it has understood that it may not.
fn told<T: std::fmt::Debug>(
    mut next: impl FnMut() -> Result<Option<T>, log_kafka::Error>,
) -> RDKafkaErrorCode {
    let began = Instant::now();
    loop {
        match next() {
            Err(error) => return code_of(&error),
            Ok(None) => assert!(began.elapsed() < REACHED_WITHIN + SAID_WITHIN, "nothing is said"),
            Ok(Some(other)) => panic!("it may: {other:?}"),
        }
    }
}

fn code_of(error: &log_kafka::Error) -> RDKafkaErrorCode {
    match error {
        log_kafka::Error::Write(source) | log_kafka::Error::Asking { source, .. } => {
            source.rdkafka_error_code().unwrap_or_else(|| panic!("{error:?}"))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_may_not_write_read_or_join_is_told_and_who_may_does() {
    let Some(cluster) = secure() else { return };
    let alice = settings(cluster.listener("sasl"), named(cluster, Mechanism::ScramSha512, "alice", "secret"));
    let bob = Settings { security: named(cluster, Mechanism::ScramSha512, "bob", "secret"), ..alice.clone() };
    topics::create(&alice, &WANTED).unwrap();
    let bell = Bell::default();
    let input = Write {
        topic: Topic::Lane(Lane::Requests).name(&alice.prefix),
        partition: Some(0),
        key: b"target".to_vec(),
        value: Some(b"input".to_vec()),
        ..Write::default()
    };
    let refused = Publisher::open(&bob).unwrap().publish_and_wait(&input).unwrap_err();
    assert_eq!(code_of(&refused), RDKafkaErrorCode::TopicAuthorizationFailed);
    let reader = LogReader::open(&bob, &[0, 0], &bell).unwrap();
    // Whoever reads names a group, and is asked for it first.
    let codes = [RDKafkaErrorCode::TopicAuthorizationFailed, RDKafkaErrorCode::GroupAuthorizationFailed];
    let may_not = told(|| reader.next());
    assert!(codes.contains(&may_not), "{may_not:?}");
    let joining = |group: &str| Joining {
        group: format!("{}{group}", alice.prefix),
        topics: vec![input.topic.clone()],
        instance: None,
        reads: true,
        gives: None,
    };
    let mut member = Member::join(&bob, joining("bob"), &bell).unwrap();
    let may_not = told(|| member.next(Duration::from_millis(100)));
    assert!(codes.contains(&may_not), "{may_not:?}");

    assert_eq!(Publisher::open(&alice).unwrap().publish_and_wait(&input).unwrap().offset, 0);
    let mut member = Member::join(&alice, joining("alice"), &bell).unwrap();
    let began = Instant::now();
    let read = loop {
        match member.next(Duration::from_millis(100)).unwrap() {
            Some(group::Event::Record(read)) => break read,
            Some(_) | None => assert!(began.elapsed() < READ_WITHIN, "what was written is not read"),
        }
    };
    assert_eq!(read.value.as_deref(), Some(&b"input"[..]));
}
