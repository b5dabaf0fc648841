//! What a driver shows of itself to the API, the metrics and `readyz`.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use engine::code::{Stopped, refused};
use engine::partition::{Counts, Role};
use log_kafka::Health;

use super::seat::Seat;
use super::traffic::Clients;

#[derive(Debug)]
pub struct Shown {
    look: Mutex<Look>,
    clients: Clients,
}

#[derive(Debug, Clone, Default)]
struct Look {
    partitions: Vec<Place>,
    is_away: bool,
    trouble: Option<String>,
    /// The driver has ended.
    ended: Option<String>,
}

#[derive(Debug, Clone)]
struct Place {
    role: Role,
    head: u64,
    epoch: u64,
    losers: u64,
    caught_up: bool,
    in_flight: usize,
    is_dispatching: bool,
    counts: Counts,
    stopped: Option<Stopped>,
    suspended: Option<(&'static str, String)>,
}

/// Why nothing is decided here, or nothing can be said.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Hindered {
    #[error("it has ended: {0}")]
    Ended(String),
    #[error("a partition stopped: {}: {}", .0.code, .0.text)]
    Stopped(Stopped),
    #[error("a partition is suspended: {0}: {1}")]
    Suspended(&'static str, String),
    /// What is there was not read yet.
    #[error("{0} partitions of the log are not read to their ends yet")]
    Behind(usize),
    #[error("no broker answers: {0}")]
    Away(String),
}

impl Look {
    /// How many partitions are still read to their ends. One that stopped is not: of it no more is read. Before the first look
    /// nothing is known of any.
    fn behind(&self) -> Option<usize> {
        let behind =
            self.partitions.iter().filter(|place| !place.caught_up && place.stopped.is_none()).count();
        (behind > 0 || self.partitions.is_empty()).then_some(behind)
    }
}

impl Shown {
    pub(super) fn new(clients: Clients) -> Self {
        Self { look: Mutex::default(), clients }
    }

    pub(super) fn show(&self, seats: &[Seat], health: &Health) {
        let partitions = seats.iter().map(|seat| Place {
            role: seat.machine.role(),
            head: seat.machine.head().seq,
            epoch: seat.machine.head().epoch,
            losers: seat.machine.head().losers,
            caught_up: seat.caught_up,
            in_flight: seat.machine.in_flight(),
            is_dispatching: seat.is_dispatching(),
            counts: seat.machine.counts(),
            stopped: seat.stopped.clone(),
            suspended: seat.suspended.clone(),
        });
        let mut look = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        look.partitions = partitions.collect();
        (look.is_away, look.trouble) = (health.is_away(), health.trouble());
    }

    pub(super) fn ended(&self, why: String) {
        self.look.lock().unwrap_or_else(PoisonError::into_inner).ended = Some(why);
    }

    fn look(&self) -> Look {
        self.look.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether what was there when this process began was read, and can be added to.
    pub fn ready(&self) -> Result<(), Hindered> {
        let look = self.look();
        if let Some(why) = look.ended {
            return Err(Hindered::Ended(why));
        }
        if let Some(stopped) = look.partitions.iter().find_map(|place| place.stopped.clone()) {
            return Err(Hindered::Stopped(stopped));
        }
        if look.is_away {
            let text = look.trouble.unwrap_or_else(|| "no broker answers".to_owned());
            return Err(Hindered::Away(text));
        }
        if let Some((code, text)) = look.partitions.iter().find_map(|place| place.suspended.clone()) {
            return Err(Hindered::Suspended(code, text));
        }
        look.behind().map_or(Ok(()), |behind| Err(Hindered::Behind(behind)))
    }

    /// How many partitions were not read up to where they ended when this process began; nothing when all were.
    pub(super) fn behind(&self) -> Option<usize> {
        self.look().behind()
    }

    /// In OpenMetrics.
    pub fn render(&self) -> String {
        let look = self.look();
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, value: &dyn Fn(&Place) -> u64| {
            writeln!(text, "# TYPE modelrail_{name} {kind}\n# HELP modelrail_{name} {help}")
                .expect("writing to a string");
            let suffix = if kind == "counter" { "_total" } else { "" };
            for (partition, place) in look.partitions.iter().enumerate() {
                writeln!(text, "modelrail_{name}{suffix}{{partition=\"{partition}\"}} {}", value(place))
                    .expect("writing to a string");
            }
        };
        family("partition_owned", "gauge", "Whether this process owns the partition.", &|place| {
            u64::from(place.role == Role::Owning)
        });
        family("log_records", "gauge", "The last accepted record.", &|place| place.head);
        family("log_epoch", "gauge", "The last accepted claim.", &|place| place.epoch);
        family("log_losers", "gauge", "Records that did not fit.", &|place| place.losers);
        family("appends_in_flight", "gauge", "Own records not read back.", &|place| place.in_flight as u64);
        family("commands_in_flight", "gauge", "Whether commands wait for their topic.", &|place| {
            u64::from(place.is_dispatching)
        });
        family("claims", "counter", "Claims made.", &|place| place.counts.claims);
        family("claims_lost", "counter", "Claims that led to nothing.", &|place| place.counts.claims_lost);
        family(
            "appends_in_doubt",
            "counter",
            "Appends of which it was not known whether they landed.",
            &|place| place.counts.doubts,
        );
        family("displaced", "counter", "How often another's record ended owning.", &|place| {
            place.counts.displaced
        });
        let suspended = look.partitions.iter().filter(|place| place.suspended.is_some()).count();
        let code = refused::LOG_AWAY;
        let away = u8::from(look.is_away);
        write!(text, "# TYPE modelrail_partitions_suspended gauge\nmodelrail_partitions_suspended {suspended}\n# TYPE modelrail_suspended gauge\nmodelrail_suspended{{code=\"{code}\"}} {away}\n")
            .expect("writing to a string");
        text + &self.clients.render()
    }
}
