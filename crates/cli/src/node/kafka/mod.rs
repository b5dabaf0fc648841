//! Distributed mode: each role a process of its own, over Kafka.
//!
//! ```text
//!   api ---- requests, triggers ----> lanes ----> [ driver: Partition ] ----> the log
//!    ^                                               |   ^                       |
//!    +---- mirror (rocks) <--- every process reads --+   +--- reads back --------+
//!                                                    v
//!                                     commands ----> workers ----> outcomes ----> lanes
//! ```
//!
//! **Invariant:** an engine acts on what it has read back from the log, and on nothing else; the group says who
//! should own a partition, the log says who does.

mod carried_out;
mod driver;
mod handle;
pub mod ingress;
pub mod letter;
mod lost;
mod node;
mod outside;
mod pulse;
mod running;
mod seat;
mod shown;
mod traffic;
mod waiting;
mod watch;
mod worker;

use handle::Handle;
pub use node::KafkaNode;
pub use running::OpeningError;
pub use worker::WorkerNode;
