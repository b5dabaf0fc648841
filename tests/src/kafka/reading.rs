//! How soon a member of a group has what waits in its topic.

use std::time::{Duration, Instant};

use log_kafka::group::Event;
use log_kafka::{Bell, Joining, Member, Publisher, Write};

use super::cluster::shared;
use super::fleet::PATIENCE;
use super::nodes::settings;
use super::vandal::Vandal;

/// Some twenty fetches, each of more records than a member lets wait (`queued.min.messages`).
const RECORDS: usize = 2 * AT_ONCE;
const AT_ONCE: usize = 16_000;
const RECORD_BYTES: usize = 1_000;
/// A client that looks again a second after it had enough takes a second for each fetch; this one half a second for all.
const READ_MAX: Duration = Duration::from_secs(9);

#[test]
fn a_member_that_has_enough_asks_again_as_soon_as_it_has_not() {
    let settings = settings(shared());
    let topic = format!("{}waiting", settings.prefix);
    Vandal::at(&settings.brokers).create(&topic, 1, &[]);
    let publisher = Publisher::open(&settings).unwrap();
    let write = Write { topic: topic.clone(), value: Some(vec![0; RECORD_BYTES]), ..Write::default() };
    for _ in 0..RECORDS / AT_ONCE {
        let (told, hears) = std::sync::mpsc::channel();
        for _ in 0..AT_ONCE {
            let told = told.clone();
            publisher.publish(&write, move |result| told.send(result.is_ok()).unwrap()).unwrap();
        }
        drop(told);
        assert!(hears.iter().all(|landed| landed));
    }

    let joining = Joining {
        group: format!("{}group", settings.prefix),
        topics: &[topic],
        instance: None,
        reads: true,
        gives: None,
    };
    let member = Member::join(&settings, &joining, &Bell::default()).unwrap();
    let (asked, mut first, mut read) = (Instant::now(), None, 0);
    while read < RECORDS {
        if let Some(Event::Record(_)) = member.next(Duration::from_millis(100)).unwrap() {
            first.get_or_insert_with(Instant::now);
            read += 1;
        }
        assert!(asked.elapsed() < PATIENCE, "{read} records");
    }
    let took = first.unwrap().elapsed();
    println!("{RECORDS} records in {took:?}");
    assert!(took < READ_MAX, "{RECORDS} records took {took:?}");
}
