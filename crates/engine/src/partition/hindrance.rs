//! What suspends a partition: it reads on and answers from its view, decides nothing and claims nothing, and resumes
//! by itself when the last hindrance is gone.

use super::Partition;
use super::signal::Action;
use crate::code::{Code, Stopped, refused};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hindrance {
    /// Found by the partition itself, with each tick.
    ClockSuspect,
    /// The view cannot be written. The driver tells.
    DiskFull,
    /// The log cannot be reached. The driver tells.
    LogAway,
    /// The log's format is newer than this binary: for good.
    FormatUnknown,
}

impl Hindrance {
    pub fn code(self) -> &'static str {
        match self {
            Self::ClockSuspect => refused::CLOCK_SUSPECT,
            Self::DiskFull => refused::DISK_FULL,
            Self::LogAway => refused::LOG_AWAY,
            Self::FormatUnknown => Code::FormatUnknown.as_str(),
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::ClockSuspect => "the clock cannot be trusted",
            Self::DiskFull => "the disk is full",
            Self::LogAway => "the log cannot be reached",
            Self::FormatUnknown => "the log's format is newer than this binary",
        }
    }
}

impl Partition {
    /// Whether nothing is decided for now, and why.
    pub fn hindrance(&self) -> Option<Hindrance> {
        self.hindrances.first().copied()
    }

    pub(super) fn hinder(&mut self, hindrance: Hindrance, text: Option<String>) {
        if self.hindrances.insert(hindrance) {
            let text = text.unwrap_or_else(|| hindrance.text().to_owned());
            self.actions.push(Action::Suspend { code: hindrance.code(), text });
        }
    }

    pub(super) fn unhinder(&mut self, hindrance: Hindrance) {
        if !self.hindrances.remove(&hindrance) {
            return;
        }
        self.actions.push(match self.hindrances.first() {
            Some(left) => Action::Suspend { code: left.code(), text: left.text().to_owned() },
            None => Action::Resume,
        });
    }

    /// Whether this binary knows the log's format, and may own it.
    pub fn check_format(&self) -> Result<(), Stopped> {
        let (found, known) = (self.head.format, self.config.format.known);
        if found <= known {
            return Ok(());
        }
        let text = format!("the log has format {found}, this binary knows {known}");
        Err(Stopped::new(Code::FormatUnknown, text))
    }

    /// A binary below the log's format reads on, and leaves owning to those that know it.
    pub(super) fn watch_format(&mut self) {
        if let Err(unknown) = self.check_format() {
            self.hinder(Hindrance::FormatUnknown, Some(unknown.text));
        }
    }
}
