//! Topics with their ids. rdkafka has no safe call for these, and nothing else tells a topic that was deleted and made
//! again under its name: a writer goes on in it without any error.
//!
//! **Invariant:** the only unsafe code of the workspace that is ours.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::time::Duration;

use rdkafka::bindings as c;
use rdkafka::client::NativeClient;
use rdkafka::error::RDKafkaErrorCode;

/// What the brokers say of one topic, all of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    /// As Kafka's own tools write it.
    pub id: String,
    pub partitions: u32,
    /// Of the partition that has the fewest.
    pub replicas: u32,
}

/// By name: what a topic is, or why that is not known.
#[expect(unsafe_code, reason = "rdkafka 0.39 has DescribeTopics only as functions of librdkafka")]
pub(super) fn describe(
    client: &NativeClient,
    names: &[&str],
    within: Duration,
) -> Result<BTreeMap<String, Result<Described, RDKafkaErrorCode>>, RDKafkaErrorCode> {
    let names: Vec<CString> = names.iter().filter_map(|name| CString::new(*name).ok()).collect();
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    let milliseconds = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: `client` outlives this call, so its pointer is valid throughout. `names` outlives `pointers`; librdkafka
    // copies them in `of_topic_names`. Collection, options, queue and event are made here, given to nobody, and each
    // destroyed once, the event last of what is read: topics, names, ids, partitions and errors are parts of it, and every
    // one is copied before. `result_topics` and `partitions` give as many as they write to their count, or none.
    unsafe {
        let queue = c::rd_kafka_queue_new(client.ptr());
        let options = c::rd_kafka_AdminOptions_new(
            client.ptr(),
            c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        let refused =
            c::rd_kafka_AdminOptions_set_request_timeout(options, milliseconds, std::ptr::null_mut(), 0);
        debug_assert_eq!(
            refused,
            c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
            "it is below its limit"
        );
        let asked = c::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        c::rd_kafka_DescribeTopics(client.ptr(), asked, options, queue);
        // It answers within the options' time, with an error at worst; only a client that hangs has nothing.
        let event = c::rd_kafka_queue_poll(queue, milliseconds.saturating_mul(2));
        let mut found = Err(RDKafkaErrorCode::OperationTimedOut);
        if !event.is_null() {
            let result = c::rd_kafka_event_DescribeTopics_result(event);
            let error = c::rd_kafka_event_error(event);
            if error != c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || result.is_null() {
                found = Err(error.into());
            } else {
                let mut count = 0;
                let topics = c::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
                let mut described = BTreeMap::new();
                for index in 0..count {
                    let topic = *topics.add(index);
                    let text = |from| CStr::from_ptr(from).to_string_lossy().into_owned();
                    let error: RDKafkaErrorCode =
                        c::rd_kafka_error_code(c::rd_kafka_TopicDescription_error(topic)).into();
                    let one = match error {
                        RDKafkaErrorCode::NoError => {
                            let id = c::rd_kafka_TopicDescription_topic_id(topic);
                            // librdkafka writes plain Base64, Kafka's tools the form for addresses.
                            let id = text(c::rd_kafka_Uuid_base64str(id)).replace('+', "-").replace('/', "_");
                            let mut partitions = 0;
                            let parts = c::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
                            let copies = (0..partitions).map(|index| {
                                let mut copies = 0;
                                c::rd_kafka_TopicPartitionInfo_replicas(*parts.add(index), &raw mut copies);
                                copies
                            });
                            let replicas = copies.min().unwrap_or(0) as u32;
                            Ok(Described { id, partitions: partitions as u32, replicas })
                        }
                        error => Err(error),
                    };
                    described.insert(text(c::rd_kafka_TopicDescription_name(topic)), one);
                }
                found = Ok(described);
            }
            c::rd_kafka_event_destroy(event);
        }
        c::rd_kafka_TopicCollection_destroy(asked);
        c::rd_kafka_AdminOptions_destroy(options);
        c::rd_kafka_queue_destroy(queue);
        found
    }
}
