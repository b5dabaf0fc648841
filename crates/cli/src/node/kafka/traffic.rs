//! What the clients of a process say of their traffic, in OpenMetrics.

use std::fmt::Write as _;

use log_kafka::{Health, Traffic};

/// The clients of a process, each by what it does.
#[derive(Debug, Clone, Default)]
pub struct Clients(Vec<(&'static str, Health)>);

impl Clients {
    pub fn add(&mut self, name: &'static str, health: &Health) {
        self.0.push((name, health.clone()));
    }

    /// Nothing of a client that has said nothing yet.
    pub fn render(&self) -> String {
        let said = self.0.iter().filter_map(|(name, health)| Some((*name, health.traffic()?)));
        render(&said.collect::<Vec<_>>())
    }
}

fn render(clients: &[(&'static str, Traffic)]) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, values: &dyn Fn(&Traffic) -> Vec<(String, f64)>| {
        writeln!(text, "# TYPE modelrail_kafka_{name} {kind}\n# HELP modelrail_kafka_{name} {help}")
            .expect("writing to a string");
        let suffix = if kind == "counter" { "_total" } else { "" };
        for (client, traffic) in clients {
            for (labels, value) in values(traffic) {
                writeln!(text, "modelrail_kafka_{name}{suffix}{{client=\"{client}\"{labels}}} {value}")
                    .expect("writing to a string");
            }
        }
    };
    let one = |value: f64| vec![(String::new(), value)];
    family("requests", "counter", "Requests to brokers.", &|traffic| {
        let requests = traffic.requests.iter();
        requests.map(|(kind, count)| (format!(",request=\"{kind}\""), *count as f64)).collect()
    });
    family("sent_bytes", "counter", "Bytes to brokers.", &|traffic| one(traffic.sent_bytes as f64));
    family("received_bytes", "counter", "Bytes from brokers.", &|traffic| one(traffic.received_bytes as f64));
    family("waiting_records", "gauge", "Records to be sent or acknowledged.", &|traffic| {
        one(traffic.waiting as f64)
    });
    family(
        "round_trip_seconds",
        "gauge",
        "Until the slowest broker answers, on average over ten seconds.",
        &|traffic| traffic.round_trip.map(|took| one(took.as_micros() as f64 / 1e6)).unwrap_or_default(),
    );
    family("lag_records", "gauge", "Records of a topic that were not taken yet.", &|traffic| {
        let lag = traffic.lag.iter();
        lag.map(|((topic, partition), lag)| {
            (format!(",topic=\"{topic}\",partition=\"{partition}\""), *lag as f64)
        })
        .collect()
    });
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_client_has_its_own_lines() {
        let writer = Traffic {
            requests: [("Produce".to_owned(), 11)].into(),
            sent_bytes: 10,
            round_trip: Some(Duration::from_micros(1_500)),
            ..Traffic::default()
        };
        let reader = Traffic { lag: [(("lane".to_owned(), 2), 7)].into(), ..Traffic::default() };
        let text = render(&[("log", writer), ("lanes", reader)]);
        for line in [
            "# TYPE modelrail_kafka_requests counter",
            "modelrail_kafka_requests_total{client=\"log\",request=\"Produce\"} 11",
            "modelrail_kafka_sent_bytes_total{client=\"log\"} 10",
            "modelrail_kafka_sent_bytes_total{client=\"lanes\"} 0",
            "modelrail_kafka_round_trip_seconds{client=\"log\"} 0.0015",
            "modelrail_kafka_lag_records{client=\"lanes\",topic=\"lane\",partition=\"2\"} 7",
        ] {
            assert!(text.lines().any(|written| written == line), "{line} in\n{text}");
        }
        assert!(!text.contains("round_trip_seconds{client=\"lanes\"}"), "{text}");
    }
}
