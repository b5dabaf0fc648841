//! TLS, passwords and rights: what is right works, and what is wrong is named within seconds.

use std::time::{Duration, Instant};

use log_kafka::topics::{self, Error, Known, Outcome};
use log_kafka::{Cause, Identity, Mechanism, Password, REACHED_WITHIN, Sasl, Security, Settings, Tls, Topic};

use super::cluster::{Cluster, prefix, secure};
use super::nodes::WANTED;

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
