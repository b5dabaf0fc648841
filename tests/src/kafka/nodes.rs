//! The brokers themselves: they come back with what they had, and end with whoever started them.

use std::path::PathBuf;

use log_kafka::topics::{self, Durability, Known, Wanted};
use log_kafka::{Security, Settings};

use super::cluster::{Cluster, has_command_line, prefix};

/// Small, so that brokers are quick.
pub(super) const WANTED: Wanted =
    Wanted { partitions: 2, command_partitions: 2, durability: Durability::SingleBroker };

/// A client of brokers without TLS, with topics that no other test has.
pub(super) fn settings(cluster: &Cluster) -> Settings {
    Settings {
        brokers: cluster.brokers().to_owned(),
        client_id: "test".into(),
        prefix: prefix(),
        security: Security::default(),
    }
}

#[test]
fn a_killed_broker_comes_back_with_what_it_had() {
    let Some(cluster) = Cluster::own(1) else { return };
    let settings = settings(&cluster);
    topics::create(&settings, &WANTED).unwrap();
    let before = topics::found(&settings).unwrap();
    cluster.kill(1);
    let silent = topics::found(&settings).unwrap_err();
    assert_eq!(silent.code(), "KAFKA_SILENT", "{silent}");
    cluster.start_again(1);
    assert_eq!(topics::found(&settings).unwrap(), before);
    let problems = topics::check(&settings, &WANTED, &before.ids()).unwrap();
    assert_eq!(problems, []);
}

#[test]
fn a_frozen_broker_is_named_and_goes_on_when_it_is_thawed() {
    let Some(cluster) = Cluster::own(1) else { return };
    let settings = settings(&cluster);
    topics::create(&settings, &WANTED).unwrap();
    cluster.freeze(1);
    let silent = topics::check(&settings, &WANTED, &Known::new()).unwrap_err();
    assert!(matches!(silent.code(), "KAFKA_SILENT" | "KAFKA_HUNG_UP"), "{silent}");
    cluster.thaw(1);
    assert_eq!(topics::check(&settings, &WANTED, &Known::new()).unwrap(), []);
}

#[test]
fn three_brokers_keep_three_copies_and_outlive_one() {
    let Some(cluster) = Cluster::own(3) else { return };
    let settings = settings(&cluster);
    let wanted = Wanted { durability: Durability::Replicated, ..WANTED };
    topics::create(&settings, &wanted).unwrap();
    assert_eq!(topics::check(&settings, &wanted, &Known::new()).unwrap(), []);
    cluster.kill(2);
    let without = topics::found(&settings).unwrap();
    assert!(topics::problems(&settings, &wanted, &Known::new(), &without).is_empty(), "{without:?}");
    cluster.start_again(2);
    assert_eq!(topics::check(&settings, &wanted, &without.ids()).unwrap(), []);
}

#[test]
fn brokers_end_with_whoever_started_them_and_leave_nothing() {
    let Some(cluster) = Cluster::own(1) else { return };
    let (folder, process) = (cluster.folder().to_owned(), PathBuf::from(format!("/proc/{}", cluster.id(1))));
    assert!(has_command_line(&process) && folder.is_dir());
    drop(cluster);
    assert!(!has_command_line(&process), "the broker runs on");
    assert!(!folder.exists(), "{} stays", folder.display());
}
