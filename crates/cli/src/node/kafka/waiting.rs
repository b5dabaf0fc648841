//! Callers who wait for the answer to what they said, by partition and input id. The answer comes with the record
//! that this process reads, whoever decided it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use engine::message::{self, Unrecorded};
use engine::partition::{Answer, Reply};
use tokio::sync::oneshot;

/// How many callers wait at most; beyond it they are told to come back.
pub const WAITING_MAX: usize = 65_536;

#[derive(Debug, Default)]
pub struct Waiting(Mutex<BTreeMap<Input, Vec<oneshot::Sender<Answer>>>>);

/// The partition that an input was said to, and the id under which.
type Input = (u32, String);

impl Waiting {
    /// Nothing when too many wait.
    pub fn wait_for(&self, partition: u32, input_id: &str) -> Option<oneshot::Receiver<Answer>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_MAX {
            return None;
        }
        let (told, hears) = oneshot::channel();
        waiting.entry((partition, input_id.to_owned())).or_default().push(told);
        Some(hears)
    }

    /// Those who gave up waiting are forgotten.
    pub fn forget(&self, partition: u32, input_id: &str) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (partition, input_id.to_owned());
        if let Some(callers) = waiting.get_mut(&key) {
            callers.retain(|caller| !caller.is_closed());
            if callers.is_empty() {
                waiting.remove(&key);
            }
        }
    }

    pub fn tell(&self, partition: u32, reply: Reply) {
        if let Some(input_id) = reply.input_id {
            self.answer(partition, input_id, &reply.answer);
        }
    }

    /// As another process said it, for what left no record.
    pub fn tell_unrecorded(&self, told: message::Answer) {
        let answer = match told.unrecorded {
            Unrecorded::Repeat { seq, run, refused } => Answer::Repeat { seq, run, refused },
            Unrecorded::Refused(refusal) => Answer::Refused(refusal),
        };
        self.answer(told.partition, told.input_id, &answer);
    }

    fn answer(&self, partition: u32, input_id: String, answer: &Answer) {
        let callers = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(partition, input_id));
        for caller in callers.into_iter().flatten() {
            // Whoever waits no longer asks again under the same id.
            drop(caller.send(answer.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::record::Lane;

    fn reply(input_id: &str) -> Reply {
        let answer = Answer::Recorded { seq: 7, run: None, refused: None };
        Reply { lane: Lane::Requests, offset: 0, input_id: Some(input_id.to_owned()), answer }
    }

    #[test]
    fn every_caller_of_an_id_is_told_and_those_who_left_are_forgotten() {
        let waiting = Waiting::default();
        let mut first = waiting.wait_for(3, "a").unwrap();
        let mut second = waiting.wait_for(3, "a").unwrap();
        let other = waiting.wait_for(4, "a").unwrap();
        waiting.tell(3, reply("a"));
        assert!(first.try_recv().is_ok() && second.try_recv().is_ok());
        drop(other);
        waiting.forget(4, "a");
        assert!(waiting.0.lock().unwrap().is_empty());
    }
}
