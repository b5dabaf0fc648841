//! What a worker says of itself over HTTP.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use domain::workflow::StageKind;
use log_kafka::Bulk;

use crate::node::desks::Room;
use crate::node::kafka::pulse;
use crate::node::kafka::traffic::Clients;

#[derive(Debug, Clone)]
pub(super) struct Pulse {
    pub(super) rooms: Vec<(StageKind, Room)>,
    pub(super) bulk: Bulk,
    pub(super) clients: Clients,
    /// It takes nothing more.
    pub(super) is_ending: Arc<AtomicBool>,
}

impl pulse::Pulse for Pulse {
    fn ready(&self) -> Result<(), String> {
        if self.is_ending.load(Relaxed) {
            return Err("it ends: what is under way ends first".to_owned());
        }
        if self.bulk.prompt().health().is_away() {
            return Err("no broker answers".to_owned());
        }
        Ok(())
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        for (name, about) in [
            ("room", "commands that the desk takes besides those that it has"),
            ("room_max", "commands that the desk has at most"),
        ] {
            writeln!(text, "# HELP modelrail_worker_{name} {about}\n# TYPE modelrail_worker_{name} gauge")
                .expect("writing to a string");
            for (stage, room) in &self.rooms {
                let value = if name == "room" { room.now() } else { room.max };
                writeln!(text, "modelrail_worker_{name}{{stage=\"{}\"}} {value}", stage.as_str())
                    .expect("writing to a string");
            }
        }
        write!(
            text,
            "# HELP modelrail_worker_sending records on their way to the brokers\n\
             # TYPE modelrail_worker_sending gauge\nmodelrail_worker_sending {}\n\
             # HELP modelrail_worker_brokers_away whether no broker answers\n\
             # TYPE modelrail_worker_brokers_away gauge\nmodelrail_worker_brokers_away {}\n",
            self.bulk.in_flight(),
            u8::from(self.bulk.prompt().health().is_away()),
        )
        .expect("writing to a string");
        text + &self.clients.render()
    }
}
