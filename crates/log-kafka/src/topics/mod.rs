//! The topics as they should be and as they are: made where they are missing, and checked at each start and hourly.
//!
//! **Invariant:** nothing that is there is changed. A topic that is not as it should be is told, with the command that
//! mends it, and a person decides: what stands in the log cannot be made again.

mod shape;

mod problem;

mod asked;
mod compare;
mod configured;
mod create;
mod described;
mod drop;

use std::collections::BTreeMap;

pub use asked::{Found, State, There};
pub use compare::problems;
pub use create::{Made, Outcome, create};
pub use drop::drop_letters_before;
pub use problem::{Code, Problem, Stops};
pub use shape::{RECORD_BYTES_MAX, Shape};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::patience::is_for_a_moment;
use crate::{NotReached, Settings, Topic};

/// What the operator chose about the topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Of the log, of each lane, and of what is joined with them: fixed for life.
    pub partitions: u32,
    /// Of the commands of a stage. It may grow.
    pub command_partitions: u32,
    pub durability: Durability,
}

/// What a broker that is lost may take along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was acknowledged: three copies, of which two must have taken a record.
    Replicated,
    /// Everything. It must be said.
    SingleBroker,
}

/// The topic ids that were seen before: a topic that was deleted and made again has another one.
pub type Known = BTreeMap<Topic, String>;

/// Why the topics are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    NotReached(#[from] NotReached),
    /// The brokers answer, but not this.
    #[error("failed to {what}: {why}")]
    Refused { what: &'static str, why: String },
    /// They do not answer this for the moment: a broker that is gone is asked until the others know of it.
    #[error("failed to {what} for the moment: {why}")]
    Unanswered { what: &'static str, why: String },
}

impl Error {
    /// Stable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotReached(error) => error.code(),
            Self::Refused { .. } => "KAFKA_REFUSED",
            Self::Unanswered { .. } => "KAFKA_UNANSWERED",
        }
    }

    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotReached(error) => error.hint(),
            Self::Refused { .. } => "may `kafka.user` do this? the brokers' logs say more",
            Self::Unanswered { .. } => "a leader is being chosen, or a broker is gone: try again in a minute",
        }
    }

    pub(super) fn unanswered(what: &'static str) -> Self {
        Self::Unanswered { what, why: "no answer in time".into() }
    }

    pub(super) fn of_admin(what: &'static str, error: &KafkaError) -> Self {
        match error {
            KafkaError::AdminOp(code) => Self::of(what, *code, code.to_string()),
            other => Self::Refused { what, why: other.to_string() },
        }
    }

    pub(super) fn of(what: &'static str, code: RDKafkaErrorCode, why: String) -> Self {
        if is_for_a_moment(code) { Self::Unanswered { what, why } } else { Self::Refused { what, why } }
    }
}

/// What there is: counts, topic ids, the cluster's id.
pub fn found(settings: &Settings) -> Result<Found, Error> {
    asked::ask(settings)
}

/// Everything that is not as it should be, at once.
pub fn check(settings: &Settings, wanted: &Wanted, known: &Known) -> Result<Vec<Problem>, Error> {
    Ok(problems(settings, wanted, known, &found(settings)?))
}
