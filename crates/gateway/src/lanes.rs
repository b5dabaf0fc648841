//! Threads that serve, one a core: a connection stays on the thread that it was given to, with all that is asked for it.
//!
//! Tasks that any thread may take wake each other's threads at each request, which costs more than it balances where a
//! request is microseconds of work.
//!
//! Invariant: a thread ends when nobody can give it connections any more, and those that it had have ended.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

type Connection = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Debug)]
pub(crate) struct Lanes(Vec<Lane>);

#[derive(Debug)]
struct Lane {
    /// As many wait here as may be open, and not for long.
    given: UnboundedSender<Connection>,
    open: Arc<AtomicUsize>,
}

impl Lanes {
    pub(crate) fn start() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (0..cores).map(|_| Lane::start()).collect::<io::Result<_>>().map(Self)
    }

    /// Has a connection served where the fewest are open. What it needs of a runtime it makes there.
    pub(crate) fn give(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let lane = self.0.iter().min_by_key(|lane| lane.open.load(Relaxed)).expect("there is a core");
        lane.open.fetch_add(1, Relaxed);
        let counted = Counted(Arc::clone(&lane.open));
        let connection = Box::pin(async move {
            let _counted = counted;
            connection.await;
        });
        if lane.given.send(connection).is_err() {
            tracing::error!("a thread that serves has ended: a connection is closed");
        }
    }
}

impl Lane {
    fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (given, taken) = unbounded_channel();
        let thread = std::thread::Builder::new().name("serve".to_owned());
        thread.spawn(move || runtime.block_on(serve(taken)))?;
        Ok(Self { given, open: Arc::default() })
    }
}

async fn serve(mut taken: UnboundedReceiver<Connection>) {
    while let Some(connection) = taken.recv().await {
        tokio::spawn(connection);
    }
}

/// One that is open.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::thread::ThreadId;

    use tokio::sync::{mpsc, oneshot};

    use super::*;

    /// Gives a connection that says where it is and stays open until it is let go.
    fn give(lanes: &Lanes, said: &mpsc::UnboundedSender<ThreadId>) -> oneshot::Sender<()> {
        let (let_go, held) = oneshot::channel();
        let said = said.clone();
        lanes.give(async move {
            said.send(std::thread::current().id()).unwrap();
            held.await.unwrap_or_default();
        });
        let_go
    }

    #[tokio::test]
    async fn a_connection_goes_where_the_fewest_are_open() {
        let lanes = Lanes::start().unwrap();
        let cores = lanes.0.len();
        let (said, mut where_) = mpsc::unbounded_channel();
        let mut open = HashMap::<ThreadId, Vec<_>>::new();
        for _ in 0..3 * cores {
            let let_go = give(&lanes, &said);
            open.entry(where_.recv().await.unwrap()).or_default().push(let_go);
        }
        assert!(open.len() == cores && open.values().all(|held| held.len() == 3), "{open:?}");

        let (emptied, held) = open.iter_mut().next().unwrap();
        held.clear();
        while lanes.0.iter().all(|lane| lane.open.load(Relaxed) > 0) {
            tokio::task::yield_now().await;
        }
        let _let_go = give(&lanes, &said);
        assert_eq!(where_.recv().await.as_ref(), Some(emptied));
    }
}
