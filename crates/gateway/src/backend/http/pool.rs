//! The connections to one model server that wait for their next request, of each thread apart: a connection wakes the
//! thread that it was made on.
//!
//! Invariant: what is taken from here has said nothing and was not closed; what was idle for too long is gone, also
//! when no request comes any more.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use thread_local::ThreadLocal;

use super::connection::Connection;

/// Connections that a thread keeps.
const IDLE_MAX: usize = 256;

/// Shorter than the time after which a model server closes an idle connection, so that the two do not cross.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Pool {
    threads: ThreadLocal<Mutex<Idle>>,
    is_swept: AtomicBool,
}

/// The longest idle first.
type Idle = Vec<(Instant, Connection)>;

impl Pool {
    /// The connection that was used last: those that are not needed grow old.
    pub(super) fn take(&self) -> Option<Connection> {
        loop {
            let (since, connection) = lock(self.threads.get_or_default()).pop()?;
            if since.elapsed() < IDLE_TIMEOUT && connection.is_quiet() {
                return Some(connection);
            }
        }
    }

    pub(super) fn put(self: &Arc<Self>, connection: Connection) {
        let mut idle = lock(self.threads.get_or_default());
        if idle.len() < IDLE_MAX {
            idle.push((Instant::now(), connection));
        }
        drop(idle);
        if !self.is_swept.swap(true, SeqCst) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    #[cfg(test)]
    pub(super) fn has_quiet(&self) -> bool {
        self.threads.iter().any(|idle| lock(idle).iter().any(|(_, connection)| connection.is_quiet()))
    }

    fn is_empty(&self) -> bool {
        self.threads.iter().all(|idle| lock(idle).is_empty())
    }
}

fn lock(idle: &Mutex<Idle>) -> MutexGuard<'_, Idle> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes what is idle for too long, until nothing is.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(IDLE_TIMEOUT).await;
        let Some(pool) = pool.upgrade() else { return };
        for idle in &pool.threads {
            lock(idle).retain(|(since, _)| since.elapsed() < IDLE_TIMEOUT);
        }
        if pool.is_empty() {
            pool.is_swept.store(false, SeqCst);
            // One that was put meanwhile has seen a sweep under way.
            if pool.is_empty() || pool.is_swept.swap(true, SeqCst) {
                return;
            }
        }
    }
}
