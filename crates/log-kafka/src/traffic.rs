//! What a client says of its own traffic, now and then: librdkafka's statistics, of which we keep what an operator asks.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::statistics::{Partition, Statistics};

/// How often a client says it. Only clients that are polled may: what nobody takes piles up.
const EVERY_MS: &str = "10000";

/// Since the client began, but for what is now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests to brokers, by their kind, such as `Produce`.
    pub requests: BTreeMap<String, u64>,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// Records that wait to be sent, or to be acknowledged, now.
    pub waiting: u64,
    /// How long the slowest broker takes to answer, on average over the last while; none of them was asked otherwise.
    pub round_trip: Option<Duration>,
    /// By topic and partition: records that are there and were not taken yet.
    pub lag: BTreeMap<(String, u32), u64>,
}

/// Has the client say it.
pub(crate) fn tell(config: &mut ClientConfig) {
    config.set("statistics.interval.ms", EVERY_MS);
}

impl Traffic {
    pub(crate) fn of(said: &Statistics) -> Self {
        let mut traffic = Self {
            sent_bytes: said.tx_bytes.max(0) as u64,
            received_bytes: said.rx_bytes.max(0) as u64,
            waiting: said.msg_cnt,
            ..Self::default()
        };
        for broker in said.brokers.values() {
            for (kind, count) in &broker.req {
                // All kinds that there are stand there, those that were never sent too.
                if let Ok(count @ 1..) = u64::try_from(*count) {
                    *traffic.requests.entry(kind.clone()).or_default() += count;
                }
            }
            let asked = broker.rtt.as_ref().filter(|window| window.cnt > 0);
            let took = asked.map(|window| Duration::from_micros(window.avg.max(0) as u64));
            traffic.round_trip = traffic.round_trip.max(took);
        }
        for topic in said.topics.values() {
            for partition in topic.partitions.values() {
                // -1 for the one of all records that have none.
                let number = u32::try_from(partition.partition).ok();
                if let Some((number, lag)) = number.zip(lag(partition)) {
                    traffic.lag.insert((topic.topic.clone(), number), lag);
                }
            }
        }
        traffic
    }
}

/// Nothing of a partition that is not read. The client knows none itself until the first record was taken: then all that
/// it has fetched was not.
fn lag(partition: &Partition) -> Option<u64> {
    let count = |number: i64| u64::try_from(number).ok();
    count(partition.consumer_lag).or_else(|| {
        let left = count(partition.hi_offset)?.saturating_sub(count(partition.next_offset)?);
        Some(left + count(partition.fetchq_cnt)?)
    })
}

#[cfg(test)]
mod tests {
    use rdkafka::statistics::{Broker, Topic, Window};

    use super::*;

    #[test]
    fn what_was_sent_is_summed_over_brokers_and_what_is_not_read_has_no_lag() {
        let broker = |produce, micros, cnt| Broker {
            req: [("Produce".to_owned(), produce), ("Fetch".to_owned(), 0)].into(),
            rtt: Some(Window { avg: micros, cnt, ..Window::default() }),
            ..Broker::default()
        };
        let partition = |partition, consumer_lag, hi_offset| {
            let next_offset = 4;
            let fetchq_cnt = 2;
            let it = Partition {
                partition,
                consumer_lag,
                hi_offset,
                next_offset,
                fetchq_cnt,
                ..Partition::default()
            };
            (partition, it)
        };
        let topic = Topic {
            topic: "lane".into(),
            partitions: [
                partition(0, 7, 9),
                partition(1, -1, 9),
                partition(2, -1, -1001),
                partition(-1, 0, 0),
            ]
            .into(),
            ..Topic::default()
        };
        let said = Statistics {
            tx_bytes: 10,
            rx_bytes: 20,
            msg_cnt: 3,
            brokers: [
                ("a".into(), broker(5, 300, 1)),
                ("b".into(), broker(6, 200, 1)),
                ("c".into(), broker(0, 900, 0)),
            ]
            .into(),
            topics: [("lane".into(), topic)].into(),
            ..Statistics::default()
        };
        assert_eq!(
            Traffic::of(&said),
            Traffic {
                requests: [("Produce".to_owned(), 11)].into(),
                sent_bytes: 10,
                received_bytes: 20,
                waiting: 3,
                round_trip: Some(Duration::from_micros(300)),
                lag: [(("lane".to_owned(), 0), 7), (("lane".to_owned(), 1), 7)].into(),
            }
        );
    }
}
