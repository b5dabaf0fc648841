//! The engine: `Partition` and `Desk` as synchronous state machines, and the ports they need.

pub mod port;
