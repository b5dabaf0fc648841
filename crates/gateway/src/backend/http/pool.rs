//! The connections to one model server that wait for their next request.
//!
//! Invariant: what is taken from here has said nothing and was not closed; what was idle for too long is gone, also
//! when no request comes any more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::connection::Connection;

/// Connections that are kept.
const IDLE_MAX: usize = 256;

/// Shorter than the time after which a model server closes an idle connection, so that the two do not cross.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Pool {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The longest idle first.
    idle: Vec<(Instant, Connection)>,
    is_swept: bool,
}

impl Pool {
    /// The connection that was used last: those that are not needed grow old.
    pub(super) fn take(&self) -> Option<Connection> {
        loop {
            let (since, connection) = self.kept().idle.pop()?;
            if since.elapsed() < IDLE_TIMEOUT && connection.is_quiet() {
                return Some(connection);
            }
        }
    }

    pub(super) fn put(self: &Arc<Self>, connection: Connection) {
        let mut kept = self.kept();
        if kept.idle.len() < IDLE_MAX {
            kept.idle.push((Instant::now(), connection));
        }
        if !kept.is_swept {
            kept.is_swept = true;
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    #[cfg(test)]
    pub(super) fn has_quiet(&self) -> bool {
        self.kept().idle.iter().any(|(_, connection)| connection.is_quiet())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes what is idle for too long, until nothing is.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(IDLE_TIMEOUT).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut kept = pool.kept();
        kept.idle.retain(|(since, _)| since.elapsed() < IDLE_TIMEOUT);
        if kept.idle.is_empty() {
            kept.is_swept = false;
            return;
        }
    }
}
