//! What can go wrong with Kafka, as people can act on it.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that librdkafka does not take.
    #[error("failed to make a Kafka client")]
    Client(#[source] KafkaError),
    /// Nobody answered in time. It may come back.
    #[error("failed to reach Kafka at {brokers}: {why}")]
    NotReached { brokers: String, why: String },
    #[error("failed to ask Kafka for {what}")]
    Asking {
        what: &'static str,
        #[source]
        source: KafkaError,
    },
    /// For good: it is to be opened anew by whoever runs the process.
    #[error("this process is a member of its group no more: {0}")]
    Expelled(String),
    /// Nothing was sent.
    #[error("expected room in the queue to Kafka, but it is full")]
    Full,
    /// It may have landed or not.
    #[error("failed to write to Kafka")]
    Write(#[source] KafkaError),
    /// The topic does not have what is to be read.
    #[error("expected offset {offset} of partition {partition} of {topic}, but it holds {low} to {high}")]
    Gone { topic: String, partition: u32, offset: u64, low: u64, high: u64 },
}

impl Error {
    /// The record has more bytes than its topic, or this process, takes.
    pub fn is_too_large(&self) -> bool {
        let code = match self {
            Self::Write(error) => error.rdkafka_error_code(),
            Self::Client(_)
            | Self::NotReached { .. }
            | Self::Expelled(_)
            | Self::Asking { .. }
            | Self::Full
            | Self::Gone { .. } => None,
        };
        code == Some(RDKafkaErrorCode::MessageSizeTooLarge)
    }
}

impl Error {
    /// Why there is no client. The value of a setting is left out: it may be a password.
    pub(crate) fn client(error: KafkaError) -> Self {
        Self::Client(match error {
            KafkaError::ClientConfig(result, _, key, _) => {
                KafkaError::ClientConfig(result, "it is not taken".to_owned(), key, "..".to_owned())
            }
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::consumer::BaseConsumer;

    use super::*;

    #[test]
    fn a_setting_that_is_refused_is_named_without_its_value() {
        let mut config = ClientConfig::new();
        config.set("acks", "a secret");
        let refused = config.create::<BaseConsumer>().err().map(Error::client);
        let text = format!("{refused:?}");
        assert!(text.contains("acks") && !text.contains("a secret"), "{text}");
    }
}
