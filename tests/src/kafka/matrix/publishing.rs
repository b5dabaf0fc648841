//! Events as they come to a busy topic: thrice, on any partition, those of before among them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use api::view::EventAnswer;
use domain::name::{RunId, TargetId};
use log_kafka::{Publisher, Settings, Write};
use serde_json::Value;

use super::town::until;
use crate::process::asking::Client;
use crate::process::random::Random;

/// How repeats are counted among the faults.
pub(super) const REPEATED: &str = "event published again, or out of order";
const COPIES: usize = 3;
/// How many of those before are among them.
const OLDER_MAX: usize = 2;

pub(super) struct Publishing {
    publisher: Publisher,
    topic: String,
    random: Mutex<Random>,
    /// What was published on the topic, by lane.
    published: Mutex<BTreeMap<usize, Vec<Value>>>,
    repeats: AtomicUsize,
}

impl Publishing {
    pub(super) fn to(settings: &Settings, topic: &str, random: Random) -> Self {
        Self {
            publisher: Publisher::open(settings).unwrap(),
            topic: topic.to_owned(),
            random: Mutex::new(random),
            published: Mutex::default(),
            repeats: AtomicUsize::new(0),
        }
    }

    pub(super) fn repeats(&self) -> usize {
        self.repeats.load(Relaxed)
    }

    /// The first lane says it on both ways at a time, the second over HTTP alone, the third on the topic alone.
    pub(super) fn publish(&self, client: &Client, lane: usize, event: &Value) -> EventAnswer {
        match lane {
            0 => {
                self.write_among_older(lane, event);
                client.publish(event).unwrap()
            }
            1 => client.publish(event).unwrap(),
            _ => {
                self.write_among_older(lane, event);
                let run = run_of(event);
                until("an event that the topic acknowledged is a run", || client.find(&run).is_some());
                let answer = client.publish(event).unwrap();
                assert_eq!((&answer.run, answer.repeated), (&run, true), "the same event again");
                answer
            }
        }
    }

    fn write_among_older(&self, lane: usize, event: &Value) {
        let mut events = vec![event.clone(); COPIES];
        {
            let (mut random, mut published) = (self.random.lock().unwrap(), self.published.lock().unwrap());
            let before = published.entry(lane).or_default();
            if !before.is_empty() {
                events.extend((0..OLDER_MAX).map(|_| random.one_of(before).clone()));
            }
            before.push(event.clone());
            for left in (1..events.len()).rev() {
                events.swap(left, random.below(left as u64 + 1) as usize);
            }
        }
        self.repeats.fetch_add(events.len() - 1, Relaxed);
        for event in events {
            let key = self.random.lock().unwrap().below(u64::MAX).to_be_bytes().to_vec();
            let write = Write {
                topic: self.topic.clone(),
                partition: None,
                key,
                value: Some(event.to_string().into_bytes()),
                headers: vec![("content-type".to_owned(), b"application/cloudevents+json".to_vec())],
            };
            // Said again until it is acknowledged, as a publisher does.
            while let Err(error) = self.publisher.publish_and_wait(&write) {
                println!("an event is published again: {error}");
            }
        }
    }
}

fn run_of(event: &Value) -> String {
    let text = |name: &str| event[name].as_str().unwrap();
    let target = format!("{}@production", event["data"]["model"].as_str().unwrap());
    RunId::derive(text("source"), text("id"), &TargetId::parse(&target).unwrap()).to_string()
}
