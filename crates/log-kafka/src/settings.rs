//! How Kafka is reached, and what its clients are told. Every setting of librdkafka that differs from its default
//! is argued where it stands.

use rdkafka::ClientConfig;

/// How the brokers are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// How this process names itself to the brokers' logs and quotas.
    pub client_id: String,
    /// What the names of our own topics begin with, such as `modelrail.`.
    pub prefix: String,
}

impl Settings {
    /// What every client has in common.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config.set("client.id", &self.client_id);
        // A broker that comes back is to be found at once: the default lets the wait grow to ten seconds.
        config.set("reconnect.backoff.ms", "50");
        config.set("reconnect.backoff.max.ms", "1000");
        config
    }
}
