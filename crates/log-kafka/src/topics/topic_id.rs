//! The ids of topics. rdkafka has no safe call for them, and nothing else tells a topic that was deleted and made again
//! under its name: a writer goes on in it without any error.
//!
//! **Invariant:** the only unsafe code of the workspace that is ours.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::time::Duration;

use rdkafka::bindings as c;
use rdkafka::client::NativeClient;
use rdkafka::error::RDKafkaErrorCode;

/// By name: the id as Kafka's own tools write it, or why there is none.
#[expect(unsafe_code, reason = "rdkafka 0.39 has DescribeTopics only as the functions of librdkafka")]
pub(super) fn topic_ids(
    client: &NativeClient,
    names: &[&str],
    within: Duration,
) -> Result<BTreeMap<String, Result<String, RDKafkaErrorCode>>, RDKafkaErrorCode> {
    let names: Vec<CString> = names.iter().filter_map(|name| CString::new(*name).ok()).collect();
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    let milliseconds = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: `client` outlives this call, so its pointer is valid throughout. `names` outlives `pointers`; librdkafka
    // copies them in `of_topic_names`. Collection, options, queue and event are made here, given to nobody, and each
    // destroyed once, the event last of what is read: topics, names, ids and errors are parts of it, and every one is
    // copied before. `result_topics` gives as many topics as it writes to `count`, or none.
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
                let mut ids = BTreeMap::new();
                for index in 0..count {
                    let topic = *topics.add(index);
                    let text = |from| CStr::from_ptr(from).to_string_lossy().into_owned();
                    let error: RDKafkaErrorCode =
                        c::rd_kafka_error_code(c::rd_kafka_TopicDescription_error(topic)).into();
                    let id = match error {
                        RDKafkaErrorCode::NoError => {
                            let id = c::rd_kafka_TopicDescription_topic_id(topic);
                            // librdkafka writes plain Base64, Kafka's tools the form for addresses.
                            Ok(text(c::rd_kafka_Uuid_base64str(id)).replace('+', "-").replace('/', "_"))
                        }
                        error => Err(error),
                    };
                    ids.insert(text(c::rd_kafka_TopicDescription_name(topic)), id);
                }
                found = Ok(ids);
            }
            c::rd_kafka_event_destroy(event);
        }
        c::rd_kafka_TopicCollection_destroy(asked);
        c::rd_kafka_AdminOptions_destroy(options);
        c::rd_kafka_queue_destroy(queue);
        found
    }
}
