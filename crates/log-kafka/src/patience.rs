//! Questions that brokers cannot answer for a moment are asked again: while a leader is chosen, or metadata is old.

use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// How long to rest between two times.
const REST: Duration = Duration::from_millis(50);

/// Asks until there is an answer that will not change by waiting, or the time is over.
pub(crate) fn patiently<T>(
    within: Duration,
    ask: impl Fn(Duration) -> Result<T, KafkaError>,
) -> Result<T, KafkaError> {
    let deadline = Instant::now() + within;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match ask(left.max(REST)) {
            Err(error) if is_passing(&error) && left > REST => std::thread::sleep(REST),
            answer => return answer,
        }
    }
}

/// Whether waiting may help: all but what a person has to mend. The client goes on trying by itself meanwhile; a topic that
/// was deleted is found by the check of topics.
pub(crate) fn passes(error: &KafkaError) -> bool {
    !matches!(
        error.rdkafka_error_code(),
        None | Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::InvalidTopic
                | RDKafkaErrorCode::InvalidArgument
                | RDKafkaErrorCode::InvalidRequest
                | RDKafkaErrorCode::UnsupportedVersion
                | RDKafkaErrorCode::BadMessage
                | RDKafkaErrorCode::Fatal
                | RDKafkaErrorCode::Fenced
                | RDKafkaErrorCode::FencedInstanceId
        )
    )
}

fn is_passing(error: &KafkaError) -> bool {
    error.rdkafka_error_code().is_some_and(is_for_a_moment)
}

/// Whether brokers will answer in a moment.
pub(crate) fn is_for_a_moment(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::ReplicaNotAvailable
            | RDKafkaErrorCode::UnknownLeaderEpoch
            | RDKafkaErrorCode::FencedLeaderEpoch
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::OffsetNotAvailable
            | RDKafkaErrorCode::BrokerDestroy
            | RDKafkaErrorCode::DestroyBroker
            | RDKafkaErrorCode::OperationTimedOut
            // The client's own: it has not heard of the partition yet. That the topic has it, the check of topics says.
            | RDKafkaErrorCode::UnknownPartition
    )
}

/// Says what passes, for those who look for the reason.
pub(crate) fn note_passing(what: &str, error: &KafkaError) {
    tracing::debug!(what, %error, "Kafka does not answer for a moment");
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn only_what_people_mend_ends_a_reader() {
        use RDKafkaErrorCode as Code;
        let read = |code| passes(&KafkaError::MessageConsumption(code));
        for code in
            [Code::AllBrokersDown, Code::DestroyBroker, Code::NotLeaderForPartition, Code::UnknownPartition]
        {
            assert!(read(code), "{code:?}");
        }
        for code in
            [Code::TopicAuthorizationFailed, Code::SaslAuthenticationFailed, Code::Fatal, Code::Fenced]
        {
            assert!(!read(code), "{code:?}");
        }
    }

    #[test]
    fn what_passes_is_asked_again_and_what_does_not_is_told_at_once() {
        for (code, times) in [
            (RDKafkaErrorCode::NotLeaderForPartition, 3),
            (RDKafkaErrorCode::UnknownPartition, 3),
            (RDKafkaErrorCode::TopicAuthorizationFailed, 1),
            (RDKafkaErrorCode::UnknownTopicOrPartition, 1),
        ] {
            let asked = Cell::new(0);
            let answer = patiently(Duration::from_secs(30), |_| {
                asked.set(asked.get() + 1);
                if asked.get() < 3 { Err(KafkaError::MetadataFetch(code)) } else { Ok(()) }
            });
            assert_eq!((asked.get(), answer.is_ok()), (times, times == 3), "{code:?}");
        }
    }
}
