//! A model server in this process, reached by a plain function call.
//!
//! The function runs on the thread that serves the request: a small model answers in microseconds, less than a
//! hand-over to another thread takes. It is not for models that take milliseconds.

use super::{Backend, Call, Fault, Reply};

type Answer = dyn Fn(&Call) -> Result<Reply, Fault> + Send + Sync;

/// A backend that is a function.
pub struct Direct {
    answer: Box<Answer>,
}

impl Direct {
    pub fn new(answer: impl Fn(&Call) -> Result<Reply, Fault> + Send + Sync + 'static) -> Self {
        Self { answer: Box::new(answer) }
    }
}

impl std::fmt::Debug for Direct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Direct").finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl Backend for Direct {
    async fn call(&self, call: &Call) -> Result<Reply, Fault> {
        (self.answer)(call)
    }
}
