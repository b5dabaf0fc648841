//! What wakes a thread that waits for several clients at once.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Rung by whoever has something; one thread waits. A ring while nobody waits is kept.
#[derive(Debug, Clone, Default)]
pub struct Bell(Arc<(Mutex<bool>, Condvar)>);

impl Bell {
    pub fn ring(&self) {
        let (rung, waiting) = &*self.0;
        *rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        waiting.notify_one();
    }

    /// Until it is rung, at most for so long.
    pub fn wait(&self, at_most: Duration) {
        let (rung, waiting) = &*self.0;
        let rung = rung.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut rung, _) =
            waiting.wait_timeout_while(rung, at_most, |rung| !*rung).unwrap_or_else(PoisonError::into_inner);
        *rung = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_before_the_wait_is_kept_and_counts_once() {
        let bell = Bell::default();
        bell.ring();
        bell.ring();
        let began = std::time::Instant::now();
        bell.wait(Duration::from_mins(1));
        assert!(began.elapsed() < Duration::from_secs(30), "the ring was kept");
        let began = std::time::Instant::now();
        bell.wait(Duration::from_millis(20));
        assert!(began.elapsed() >= Duration::from_millis(20), "it was taken");
    }
}
