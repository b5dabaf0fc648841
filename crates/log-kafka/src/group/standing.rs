//! Whether a member that is refused is refused for what it was before.

use std::time::{Duration, Instant};

/// How long after it was given partitions again.
const PAST_MAX: Duration = Duration::from_secs(30);

/// Whether its session ever ran out, and since when that is over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Standing {
    Fresh,
    Lost,
    GivenAgain(Instant),
}

impl Standing {
    /// What it asked of a broker that stood still may be heard after it has become a member again.
    pub(super) fn is_refused_for_its_past(self, now: Instant) -> bool {
        match self {
            Self::Fresh => false,
            Self::Lost => true,
            Self::GivenAgain(at) => now.saturating_duration_since(at) < PAST_MAX,
        }
    }

    pub(super) fn assigned(self, now: Instant) -> Self {
        match self {
            Self::Lost => Self::GivenAgain(now),
            Self::Fresh | Self::GivenAgain(_) => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_refused_for_its_past_only_soon_after_its_loss() {
        let now = Instant::now();
        let given_again = Standing::Lost.assigned(now);
        for (standing, at, is_past) in [
            (Standing::Fresh, now, false),
            (Standing::Fresh.assigned(now), now, false),
            (Standing::Lost, now + 100 * PAST_MAX, true),
            (given_again, now, true),
            (given_again, now + PAST_MAX, false),
            (given_again.assigned(now + PAST_MAX), now + PAST_MAX, false),
        ] {
            assert_eq!(standing.is_refused_for_its_past(at), is_past, "{standing:?}");
        }
    }
}
