//! The model servers of an environment, asked in turn.
//!
//! Invariant: another server is asked only when the one before saw nothing of the request: it was not reached, or
//! does not have the release. A server that was not reached is asked last for a while.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use super::{Backend, Call, Fault, Reply};

/// For how long a server that was not reached is asked last.
const AWAY_MS: u64 = 1_000;

/// Servers of one environment.
pub const SERVERS_MAX: usize = 64;

/// Model servers that are to have the same releases.
#[derive(Debug)]
pub struct Several {
    servers: Vec<Server>,
    turn: AtomicUsize,
    began: Instant,
}

#[derive(Debug)]
struct Server {
    backend: Box<dyn Backend>,
    /// In milliseconds since the beginning.
    away_until: AtomicU64,
}

impl Several {
    /// At most [`SERVERS_MAX`] of them. Without a server every release is gone.
    pub fn new(servers: impl IntoIterator<Item = Box<dyn Backend>>) -> Self {
        let server = |backend| Server { backend, away_until: AtomicU64::new(0) };
        let servers = servers.into_iter().take(SERVERS_MAX).map(server).collect();
        Self { servers, turn: AtomicUsize::new(0), began: Instant::now() }
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Those that are there, beginning with the next in turn; behind them those that were not. Who is there is seen
    /// once: a server that is missed meanwhile is not asked again.
    fn in_turn(&self) -> impl Iterator<Item = &Server> {
        let (first, now) = (self.turn.fetch_add(1, Relaxed), self.now_ms());
        let is_away = |server: &Server| server.away_until.load(Relaxed) > now;
        let bits = self.servers.iter().enumerate().map(|(place, server)| u64::from(is_away(server)) << place);
        let away: u64 = bits.sum();
        let places = (0..self.servers.len()).map(move |place| first.wrapping_add(place) % self.servers.len());
        let here = places.clone().filter(move |place| away >> place & 1 == 0);
        here.chain(places.filter(move |place| away >> place & 1 == 1)).map(|place| &self.servers[place])
    }
}

#[async_trait::async_trait]
impl Backend for Several {
    async fn call(&self, call: &Call) -> Result<Reply, Fault> {
        let mut last = Fault::Gone;
        for server in self.in_turn() {
            match server.backend.call(call).await {
                Err(Fault::Gone) => {}
                Err(fault @ Fault::Unreachable(_)) => {
                    server.away_until.store(self.now_ms() + AWAY_MS, Relaxed);
                    last = fault;
                }
                answered => return answered,
            }
        }
        Err(last)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use domain::name::{Digest, ModelName};
    use hyper::StatusCode;
    use hyper::body::Bytes;

    use super::*;
    use crate::{Ask, Direct};

    #[derive(Debug, Clone, Copy)]
    enum Does {
        Answers,
        Lacks,
        IsAway,
        Breaks,
    }

    /// Servers that do as told, and who was asked.
    fn servers(does: &[Does]) -> (Several, Arc<Mutex<Vec<usize>>>) {
        let asked = Arc::new(Mutex::new(vec![]));
        let server = |(place, does): (usize, &Does)| -> Box<dyn Backend> {
            let (asked, does) = (Arc::clone(&asked), *does);
            Box::new(Direct::new(move |_| {
                asked.lock().unwrap().push(place);
                match does {
                    Does::Answers => {
                        Ok(Reply { status: StatusCode::OK, content_type: None, body: Bytes::new() })
                    }
                    Does::Lacks => Err(Fault::Gone),
                    Does::IsAway => Err(Fault::Unreachable("away".into())),
                    Does::Breaks => Err(Fault::Broken("broke".into())),
                }
            }))
        };
        (Several::new(does.iter().enumerate().map(server).collect::<Vec<_>>()), asked)
    }

    fn call() -> Call {
        Call::new(ModelName::parse("m").unwrap(), Digest::of(b"b"), Ask::Ready)
    }

    async fn asked_by(
        several: &Several,
        asked: &Mutex<Vec<usize>>,
    ) -> (Result<StatusCode, String>, Vec<usize>) {
        let answer = several.call(&call()).await;
        let answer = answer.map(|reply| reply.status).map_err(|fault| format!("{fault:?}"));
        (answer, std::mem::take(&mut *asked.lock().unwrap()))
    }

    #[tokio::test]
    async fn servers_are_asked_in_turn() {
        let (several, asked) = servers(&[Does::Answers, Does::Answers]);
        for expected in [0, 1, 0, 1] {
            assert_eq!(asked_by(&several, &asked).await, (Ok(StatusCode::OK), vec![expected]));
        }
    }

    #[tokio::test]
    async fn a_server_that_lacks_the_release_is_passed_over_each_time() {
        let (several, asked) = servers(&[Does::Lacks, Does::Answers]);
        for expected in [vec![0, 1], vec![1], vec![0, 1]] {
            assert_eq!(asked_by(&several, &asked).await, (Ok(StatusCode::OK), expected));
        }
        assert!(several.is_ready(&call().model, call().bundle).await.unwrap());
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_asked_last_for_a_while() {
        let (several, asked) = servers(&[Does::IsAway, Does::Answers]);
        for expected in [vec![0, 1], vec![1], vec![1], vec![1]] {
            assert_eq!(asked_by(&several, &asked).await, (Ok(StatusCode::OK), expected));
        }
        several.servers[0].away_until.store(0, Relaxed);
        assert_eq!(asked_by(&several, &asked).await.1, [0, 1], "and then again");
    }

    #[tokio::test]
    async fn what_was_sent_is_not_sent_to_another() {
        let (several, asked) = servers(&[Does::Breaks, Does::Answers]);
        let (answer, asked) = asked_by(&several, &asked).await;
        assert!(answer.unwrap_err().contains("Broken") && asked == [0]);
    }

    #[tokio::test]
    async fn gone_only_when_nobody_has_it_and_all_were_reached() {
        for (does, expected) in [
            (&[][..], "Gone"),
            (&[Does::Lacks, Does::Lacks], "Gone"),
            (&[Does::IsAway, Does::Lacks], "Unreachable"),
            (&[Does::Lacks, Does::IsAway], "Unreachable"),
        ] {
            let (several, asked) = servers(does);
            let (answer, asked) = asked_by(&several, &asked).await;
            assert!(answer.unwrap_err().contains(expected), "{does:?}");
            assert_eq!(asked.len(), does.len(), "each was asked");
        }
    }
}
