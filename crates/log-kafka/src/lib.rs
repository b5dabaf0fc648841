//! Apache Kafka: the log, the lanes, the commands and the routes as topics, and the only crate that knows rdkafka.
//!
//! Liveness and balance come from Kafka's consumer groups, safety comes from the log's acceptance rule
//! ([`engine::chain`]): nothing here decides who may write.

mod settings;
pub mod topic;

pub use settings::Settings;
pub use topic::Topic;
