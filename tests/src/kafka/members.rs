//! A member of a group, by itself: what its name is worth when the group's broker was away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log_kafka::group::{Event, Gives, Joining, Member};
use log_kafka::{Bell, Publisher, Topic, Write, topics};
use wire::record::Lane;

use super::cluster::Cluster;
use super::nodes::{WANTED, settings};

const LOOK: Duration = Duration::from_millis(20);
const SEEN_MAX: Duration = Duration::from_mins(1);

/// What it has still to say when its session ends the client would say without its number in the group, and be refused.
#[test]
fn a_member_with_a_name_is_one_again_when_the_groups_broker_was_away_beyond_its_session() {
    let Some(cluster) = Cluster::own(1) else { return };
    let settings = settings(&cluster);
    topics::create(&settings, &WANTED).unwrap();
    let topic = Topic::Lane(Lane::Requests).name(&settings.prefix);
    let joining = Joining {
        group: format!("{}members", settings.prefix),
        topics: vec![topic.clone()],
        instance: Some("one".into()),
        reads: true,
        gives: Some(Gives(Arc::new(|given| {
            given.iter().map(|(topic, partition)| (topic.clone(), *partition, 1)).collect()
        }))),
    };
    let mut member = Member::join(&settings, joining, &Bell::default()).unwrap();
    until(&mut member, |event| matches!(event, Event::Assigned(_)));
    let input = Write { topic, partition: Some(0), value: Some(b"input".to_vec()), ..Write::default() };
    Publisher::open(&settings).unwrap().publish_and_wait(&input).unwrap();
    until(&mut member, |event| matches!(event, Event::Record(_)));

    cluster.kill(1);
    until(&mut member, |event| matches!(event, Event::Revoked(_)));
    cluster.start_again(1);
    until(&mut member, |event| matches!(event, Event::Assigned(_)));
    // Nothing was kept: what was read comes again.
    until(&mut member, |event| matches!(event, Event::Record(_)));
    assert_eq!(member.joined(), 1, "it is the same client");
}

fn until(member: &mut Member, is_it: impl Fn(&Event) -> bool) {
    let began = Instant::now();
    loop {
        match member.next(LOOK).unwrap() {
            Some(event) if is_it(&event) => break,
            Some(_) | None => assert!(began.elapsed() < SEEN_MAX, "it does not come about"),
        }
    }
}
