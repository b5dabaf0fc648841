//! The end of a client, which has none where no broker answers.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// How long a client has to be closed.
const CLOSE_MAX: Duration = Duration::from_secs(3);

/// A client that is closed when this is dropped. Where no broker answers that has no end: then it is left to the end of the
/// process.
pub(super) struct Closing<C: Send + 'static>(Option<C>);

impl<C: Send + 'static> Closing<C> {
    pub(super) fn new(client: C) -> Self {
        Self(Some(client))
    }
}

impl<C: Send + 'static> std::ops::Deref for Closing<C> {
    type Target = C;

    fn deref(&self) -> &C {
        self.0.as_ref().expect("only dropping takes it")
    }
}

impl<C: Send + 'static> Drop for Closing<C> {
    fn drop(&mut self) {
        let consumer = self.0.take();
        let (closed, hears) = sync_channel(1);
        let closing = std::thread::Builder::new().name("close".into()).spawn(move || {
            drop(consumer);
            // Nobody may wait any more.
            let _late = closed.send(());
        });
        match closing {
            Ok(_) if hears.recv_timeout(CLOSE_MAX).is_ok() => {}
            Ok(_) => tracing::warn!("a member of a group cannot be closed: no broker answers"),
            // Dropped with what was to run.
            Err(error) => tracing::warn!(%error, "a member of a group was closed without a thread for it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// As a client whose brokers are away: its end is waited for until somebody lets it go.
    struct Held(Receiver<()>);

    impl Drop for Held {
        fn drop(&mut self) {
            // It is over when the other side is gone.
            let _over = self.0.recv();
        }
    }

    #[test]
    fn a_client_that_cannot_be_closed_is_left() {
        let (let_go, held) = channel();
        let (left, hears) = channel();
        std::thread::spawn(move || {
            drop(Closing::new(Held(held)));
            left.send(()).unwrap();
        });
        hears.recv_timeout(10 * CLOSE_MAX).expect("it is not waited for without end");
        drop(let_go);
    }
}
