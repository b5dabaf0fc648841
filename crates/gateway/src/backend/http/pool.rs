//! The connections to one model server that wait for their next request, of each thread apart: a connection wakes the
//! thread that it was made on.
//!
//! Invariant: what is taken from here has said nothing and was not closed; what was idle for too long is gone, also
//! when no request comes any more.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use thread_local::ThreadLocal;
use tokio::time::Instant;

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
        if !self.is_swept.swap(true, Relaxed) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    #[cfg(test)]
    pub(super) fn has_quiet(&self) -> bool {
        self.threads.iter().any(|idle| lock(idle).iter().any(|(_, connection)| connection.is_quiet()))
    }
}

fn lock(idle: &Mutex<Idle>) -> MutexGuard<'_, Idle> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes what is idle for too long, as long as there is the pool.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(IDLE_TIMEOUT).await;
        let Some(pool) = pool.upgrade() else { return };
        for idle in &pool.threads {
            lock(idle).retain(|(since, _)| since.elapsed() < IDLE_TIMEOUT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_nobody_asks_for_is_closed_after_a_while() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let pool = Arc::new(Pool::default());
        // Twice: the first time is not the last.
        for _ in 0..2 {
            pool.put(Connection::open("127.0.0.1", port).await.unwrap());
            assert!(pool.has_quiet());
            tokio::time::sleep(2 * IDLE_TIMEOUT + Duration::from_secs(1)).await;
            assert!(!pool.has_quiet());
        }
    }
}
