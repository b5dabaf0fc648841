//! What the core concludes from evidence, and what a workflow says to do about it.

use std::fmt;

/// The conclusion from evidence. An error is not a verdict: what could not be told is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    Pass,
    Fail,
    /// There is evidence, and it does not decide.
    Inconclusive,
    /// There is not enough evidence. Never counts as good by silence.
    NoData,
}

impl Verdict {
    pub const ALL: [Self; 4] = [Self::Pass, Self::Fail, Self::Inconclusive, Self::NoData];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::NoData => "no_data",
        }
    }

    /// Of several verdicts that must all pass: a failure first, then what lacks data, then what is undecided.
    pub fn all(verdicts: impl IntoIterator<Item = Self>) -> Self {
        let mut worst = Self::Pass;
        for verdict in verdicts {
            worst = match (worst, verdict) {
                (Self::Fail, _) | (_, Self::Fail) => Self::Fail,
                (Self::NoData, _) | (_, Self::NoData) => Self::NoData,
                (Self::Inconclusive, _) | (_, Self::Inconclusive) => Self::Inconclusive,
                (Self::Pass, Self::Pass) => Self::Pass,
            };
        }
        worst
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a workflow says to do about a verdict that is not `pass`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reaction {
    Halt,
    Continue,
    Wait,
    RollBack,
    Alert,
}

impl Reaction {
    pub const ALL: [Self; 5] = [Self::Halt, Self::Continue, Self::Wait, Self::RollBack, Self::Alert];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Halt => "halt",
            Self::Continue => "continue",
            Self::Wait => "wait",
            Self::RollBack => "roll_back",
            Self::Alert => "alert",
        }
    }
}

impl fmt::Display for Reaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The reaction to each verdict but `pass`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct On {
    pub fail: Reaction,
    pub inconclusive: Reaction,
    pub no_data: Reaction,
}

impl On {
    /// Of stage-test: stop.
    pub const TEST: Self =
        Self { fail: Reaction::Halt, inconclusive: Reaction::Halt, no_data: Reaction::Halt };
    /// Of rollout and monitor: roll back on harm, wait for more otherwise.
    pub const LIVE: Self =
        Self { fail: Reaction::RollBack, inconclusive: Reaction::Wait, no_data: Reaction::Wait };

    /// The reaction to `verdict`; nothing for `pass`.
    pub fn to(&self, verdict: Verdict) -> Option<Reaction> {
        match verdict {
            Verdict::Pass => None,
            Verdict::Fail => Some(self.fail),
            Verdict::Inconclusive => Some(self.inconclusive),
            Verdict::NoData => Some(self.no_data),
        }
    }
}
