//! Apache Kafka: the log, the lanes, the commands and the routes as topics, and the only crate that knows rdkafka.
//!
//! ```text
//!  LogReader    every partition of the log, from given offsets on            (engines, api)
//!  Appender     to the end of the log; what landed is known by reading       (engines)
//!  Member       of a group: who should own, or whose work it is              (engines, workers, ingress)
//!  LaneReader   the inputs of the partitions owned                           (engines)
//!  Follower     a whole topic: signs of life, cancels, routes, predictions   (whoever needs all of it)
//!  Publisher    to any other topic, with an acknowledgement                  (all)
//!  KafkaLog     the log as a port, to copy a partition or read it once       (tools)
//! ```
//!
//! Liveness and balance come from Kafka's consumer groups, safety comes from the log's acceptance rule
//! ([`engine::chain`]): nothing here decides who may write. No threads of its own but those of librdkafka; whoever
//! waits for several clients waits for a [`Bell`].

mod appender;
mod bell;
mod bulk;
mod client;
mod error;
mod follower;
pub mod group;
mod lanes;
mod log;
mod patience;
mod publisher;
mod reach;
mod reader;
mod record;
mod settings;
pub mod topic;
pub mod topics;
mod traffic;

pub use appender::Appender;
pub use bell::Bell;
pub use bulk::Bulk;
pub use client::Health;
pub use error::Error;
pub use follower::{Begin, Follower, Seen as Followed};
pub use group::{Joining, Member};
pub use lanes::{LaneReader, LaneSeen};
pub use log::KafkaLog;
pub use publisher::{Publisher, Write, Written};
pub use reach::{Cause, NotReached, REACHED_WITHIN};
pub use reader::{LogReader, Seen};
pub use record::{Headers, Read};
pub use settings::{Identity, Mechanism, Password, Sasl, Security, Settings, Tls};
pub use topic::Topic;
pub use traffic::Traffic;
