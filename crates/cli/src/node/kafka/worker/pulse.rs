//! What a worker says of itself over HTTP: whether it goes on, and figures for whoever watches it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use domain::workflow::StageKind;
use log_kafka::Publisher;

use crate::node::desks::Room;

#[derive(Debug, Clone)]
pub(super) struct Pulse {
    pub(super) rooms: Vec<(StageKind, Room)>,
    pub(super) publisher: Publisher,
    /// It takes nothing more.
    pub(super) is_ending: Arc<AtomicBool>,
}

impl Pulse {
    pub(super) fn routes(self) -> Router {
        let metrics = self.clone();
        Router::new()
            .route("/healthz", get(async move || self.health()))
            .route("/metrics", get(async move || metrics.figures()))
    }

    fn health(&self) -> (StatusCode, &'static str) {
        if self.is_ending.load(Relaxed) {
            (StatusCode::SERVICE_UNAVAILABLE, "ending\n")
        } else {
            (StatusCode::OK, "ok\n")
        }
    }

    fn figures(&self) -> String {
        let mut text = String::new();
        for (name, about) in [
            ("room", "commands that the desk takes besides those that it has"),
            ("room_max", "commands that the desk has at most"),
        ] {
            let _ = writeln!(
                text,
                "# HELP modelrail_worker_{name} {about}\n# TYPE modelrail_worker_{name} gauge"
            );
            for (stage, room) in &self.rooms {
                let value = if name == "room" { room.now() } else { room.max };
                let _ = writeln!(text, "modelrail_worker_{name}{{stage=\"{}\"}} {value}", stage.as_str());
            }
        }
        let _ = write!(
            text,
            "# HELP modelrail_worker_sending records on their way to the brokers\n\
             # TYPE modelrail_worker_sending gauge\nmodelrail_worker_sending {}\n\
             # HELP modelrail_worker_brokers_away whether no broker answers\n\
             # TYPE modelrail_worker_brokers_away gauge\nmodelrail_worker_brokers_away {}\n",
            self.publisher.in_flight(),
            u8::from(self.publisher.health().is_away()),
        );
        text
    }
}
