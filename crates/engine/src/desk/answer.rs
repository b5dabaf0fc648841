//! A worker's answer as the journal keeps it: one byte for which, then the outcome or the reason.

use domain::name::AttemptId;
use wire::codec;

use crate::port::journal::Error;
use crate::request::WorkerAnswer;

const DONE: u8 = 1;
const DECLINED: u8 = 2;

pub(crate) fn encode(answer: &WorkerAnswer) -> Vec<u8> {
    let (tag, bytes) = match answer {
        WorkerAnswer::Done(outcome) => (DONE, codec::encode_outcome(outcome)),
        WorkerAnswer::Declined(reason) => (DECLINED, reason.as_bytes().to_vec()),
    };
    [&[tag], &bytes[..]].concat()
}

pub(crate) fn decode(attempt: &AttemptId, bytes: &[u8]) -> Result<WorkerAnswer, Error> {
    let corrupt = || Error::Corrupt(attempt.clone());
    match bytes.split_first() {
        Some((&DONE, outcome)) => {
            codec::decode_outcome(outcome).map(WorkerAnswer::Done).map_err(|_| corrupt())
        }
        Some((&DECLINED, reason)) => {
            let reason = std::str::from_utf8(reason).map_err(|_| corrupt())?;
            Ok(WorkerAnswer::Declined(reason.into()))
        }
        _ => Err(corrupt()),
    }
}
