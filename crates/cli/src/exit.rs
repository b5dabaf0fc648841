//! Exit codes, and the one shape of what went wrong: code, text, field, causes, hint.
//!
//! **Invariant:** every way out of this program is one of [`Exit`]; their meanings stand in `--help`.

use std::fmt::Write as _;
use std::io::Write as _;

use api::view::{Fault, ProblemBody};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Good,
    Failed,
    Usage,
    Inconclusive,
    Waiting,
    NotReachable,
    NotEntitled,
    CutShort,
}

impl Exit {
    pub const ALL: [Self; 8] = [
        Self::Good,
        Self::Failed,
        Self::Usage,
        Self::Inconclusive,
        Self::Waiting,
        Self::NotReachable,
        Self::NotEntitled,
        Self::CutShort,
    ];

    pub fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Inconclusive => 3,
            Self::Waiting => 4,
            Self::NotReachable => 5,
            Self::NotEntitled => 6,
            Self::CutShort => 7,
        }
    }

    /// Ends the process as it stands, without the destructors of what lives as long as it does: threads of RocksDB may
    /// still use that. What was acknowledged is on disk.
    pub fn end(self) -> ! {
        // Nobody is left to be told that nobody reads.
        let _closed = std::io::stdout().flush();
        let _closed = std::io::stderr().flush();
        signal_hook::low_level::exit(i32::from(self.code()))
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Failed => "the thing asked about failed: rejected, rolled back, verification broken",
            Self::Usage => "usage: the arguments, a file or the configuration cannot be used",
            Self::Inconclusive => "inconclusive: the run was blocked because there was not enough to tell",
            Self::Waiting => "waiting: not decided yet, or people are asked",
            Self::NotReachable => "not reachable: no server, or it is busy or shutting down",
            Self::NotEntitled => "refused: whoever asked is not entitled",
            Self::CutShort => {
                "cut short: a second signal ended the server at once; what was acknowledged is kept"
            }
        }
    }

    /// The table of exit codes, for `--help`.
    pub fn table() -> String {
        let mut text = String::from("Exit codes:\n");
        for exit in Self::ALL {
            let _ = writeln!(text, "  {}  {}", exit.code(), exit.meaning());
        }
        text
    }

    /// How a run reads as an outcome: its state, and the states of its stages.
    pub fn of_run<'a>(state: &str, stages: impl IntoIterator<Item = &'a str>) -> Self {
        let untold = |stage: &str| matches!(stage, "inconclusive" | "no_data");
        match state {
            "live" | "standby" | "retired" => Self::Good,
            "active" | "leaving" => Self::Waiting,
            "blocked" if stages.into_iter().any(untold) => Self::Inconclusive,
            _ => Self::Failed,
        }
    }
}

/// Why a command did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    /// Stable.
    pub code: String,
    pub text: String,
    pub field: Option<Box<str>>,
    pub more: Vec<More>,
    pub hint: Option<Box<str>>,
}

/// What else is known of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum More {
    Cause(String),
    Fault(Fault),
    /// What an ambiguous name could mean.
    Candidate(String),
}

impl Failure {
    pub fn new(exit: Exit, code: &str, text: impl Into<String>) -> Self {
        Self { exit, code: code.to_owned(), text: text.into(), field: None, more: vec![], hint: None }
    }

    pub fn usage(code: &str, text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, code, text)
    }

    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into().into());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into().into());
        self
    }

    /// With the error that led to it, and what led to that.
    #[must_use]
    pub fn cause(mut self, error: &dyn std::error::Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self.more.push(More::Cause(error.to_string()));
            next = error.source();
        }
        self
    }

    #[must_use]
    pub fn candidates(mut self, candidates: Vec<String>) -> Self {
        self.more.extend(candidates.into_iter().map(More::Candidate));
        self
    }

    /// A problem that a server answered with.
    pub fn of_problem(problem: ProblemBody) -> Self {
        let exit = match problem.status {
            401 | 403 => Exit::NotEntitled,
            503 => Exit::NotReachable,
            400 | 413 | 415 | 422 => Exit::Usage,
            _ => Exit::Failed,
        };
        // A fault that stands alone is what the problem itself says.
        let faults = if problem.problems.len() > 1 { problem.problems } else { vec![] };
        Self {
            exit,
            code: problem.code,
            text: problem.detail,
            field: problem.field.map(String::into_boxed_str),
            more: faults.into_iter().map(More::Fault).collect(),
            hint: problem.hint.map(String::into_boxed_str),
        }
        .candidates(problem.candidates)
    }

    pub fn of_config(error: &crate::config::Error) -> Self {
        let failure = Self::usage("CONFIG", error.to_string())
            .hint("`deploy/modelrail.toml` has every key with its default and what it means");
        match std::error::Error::source(error) {
            Some(source) => failure.cause(source),
            None => failure,
        }
    }

    pub fn of_topics(error: &log_kafka::topics::Error) -> Self {
        use log_kafka::{Cause, topics::Error};
        let exit = match error {
            Error::NotReached(error) => match error.cause {
                Cause::Silent | Cause::HungUp | Cause::Untrusted => Exit::NotReachable,
                Cause::NoIdentity | Cause::Password => Exit::NotEntitled,
                Cause::Settings => Exit::Usage,
            },
            Error::Unanswered { .. } => Exit::NotReachable,
            Error::Refused { .. } => Exit::Failed,
        };
        Self::new(exit, error.code(), error.to_string()).hint(error.hint())
    }

    pub fn of_folder(error: &rocks::Error) -> Self {
        let exit = match error.kind() {
            rocks::Kind::Mend => Exit::Usage,
            rocks::Kind::Damaged | rocks::Kind::Fatal => Exit::Failed,
        };
        let mut failure = Self::new(exit, error.code(), error.to_string()).field("store.data");
        failure.hint = error.hint().map(Into::into);
        match std::error::Error::source(error) {
            Some(source) => failure.cause(source),
            None => failure,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error[{}]: {}", self.code, self.text)?;
        if let Some(field) = &self.field {
            write!(f, "\n  field: {field}")?;
        }
        for more in &self.more {
            match more {
                More::Cause(cause) => write!(f, "\n  caused by: {cause}")?,
                More::Candidate(candidate) => write!(f, "\n  could be: {candidate}")?,
                More::Fault(fault) => write_fault(f, fault)?,
            }
        }
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

fn write_fault(f: &mut std::fmt::Formatter<'_>, fault: &Fault) -> std::fmt::Result {
    f.write_str("\n  ")?;
    if let (Some(line), Some(column)) = (fault.line, fault.column) {
        write!(f, "{line}:{column}: ")?;
    }
    if let Some(field) = &fault.field {
        write!(f, "{field}: ")?;
    }
    f.write_str(&fault.text)?;
    match &fault.hint {
        Some(hint) => write!(f, " (hint: {hint})"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_dense_and_documented() {
        for (index, exit) in Exit::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(exit.code()), index);
            assert!(Exit::table().contains(exit.meaning()));
        }
    }

    #[test]
    fn a_run_that_could_not_be_judged_is_neither_good_nor_bad() {
        for (state, stages, exit) in [
            ("live", ["pass", "pass"], Exit::Good),
            ("blocked", ["pass", "fail"], Exit::Failed),
            ("blocked", ["pass", "inconclusive"], Exit::Inconclusive),
            ("blocked", ["no_data", "pending"], Exit::Inconclusive),
            ("aborted", ["inconclusive", "pending"], Exit::Failed),
            ("active", ["inconclusive", "pending"], Exit::Waiting),
        ] {
            assert_eq!(Exit::of_run(state, stages), exit, "{state} {stages:?}");
        }
    }

    #[test]
    fn a_problem_keeps_code_field_candidates_and_hint() {
        let problem = ProblemBody {
            kind: "about:blank".into(),
            title: "Conflict".into(),
            status: 409,
            detail: "expected one run, but several begin with `01AB`".into(),
            code: "AMBIGUOUS_RUN".into(),
            hint: Some("give more characters of its id".into()),
            field: Some("run".into()),
            problems: vec![],
            candidates: vec!["01ABC".into(), "01ABD".into()],
        };
        let failure = Failure::of_problem(problem);
        assert_eq!(failure.exit, Exit::Failed);
        insta::assert_snapshot!(failure, @r"
        error[AMBIGUOUS_RUN]: expected one run, but several begin with `01AB`
          field: run
          could be: 01ABC
          could be: 01ABD
        hint: give more characters of its id
        ");
    }

    #[test]
    fn a_problems_status_tells_the_exit() {
        for (status, exit) in [
            (401, Exit::NotEntitled),
            (403, Exit::NotEntitled),
            (404, Exit::Failed),
            (409, Exit::Failed),
            (422, Exit::Usage),
            (500, Exit::Failed),
            (503, Exit::NotReachable),
        ] {
            let problem = ProblemBody {
                kind: String::new(),
                title: String::new(),
                status,
                detail: String::new(),
                code: String::new(),
                hint: None,
                field: None,
                problems: vec![],
                candidates: vec![],
            };
            assert_eq!(Failure::of_problem(problem).exit, exit, "{status}");
        }
    }
}
