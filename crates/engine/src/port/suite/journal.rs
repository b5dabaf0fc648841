//! The contract of [`Journal`].

use domain::time::Timestamp;

use super::samples::{attempt, run_id};
use crate::port::journal::{Entry, Journal, State};

pub fn journal<J: Journal>(fresh: impl Fn() -> J) {
    let journal = fresh();
    let (one, two) = (attempt(run_id(1), 1), attempt(run_id(1), 2));
    let entry = |attempt: &domain::name::AttemptId, state, at| Entry {
        attempt: attempt.clone(),
        order: if matches!(state, State::Closed(_)) { vec![] } else { b"the order \x00\xff".to_vec() },
        state,
        at: Timestamp(at),
    };
    assert_eq!(journal.get(&one).expect("get works"), None, "an attempt never put is unknown");
    assert_eq!(journal.open().expect("open works"), vec![], "a fresh journal is empty");

    let both = [entry(&two, State::Taken, 1), entry(&one, State::Taken, 1)];
    journal.put(&both, &[]).expect("put works");
    assert_eq!(journal.get(&two).expect("get works"), Some(both[0].clone()), "1: all entries of the call");
    let (first, second) = (both[1].clone(), both[0].clone());
    assert_eq!(journal.open().expect("open works"), vec![first, second], "3: sorted by attempt");

    for state in
        [State::Begun, State::Answered(vec![]), State::Answered(vec![0, 255]), State::Closed(vec![0, 255])]
    {
        journal.put(&[entry(&one, state.clone(), 2)], &[]).expect("put works");
        let found = journal.get(&one).expect("get works").expect("it was put");
        assert_eq!(found, entry(&one, state, 2), "2: replaced whole");
    }
    assert_eq!(journal.open().expect("open works"), vec![both[0].clone()], "3: closed ones are not open");

    journal.sweep(Timestamp(2)).expect("sweep works");
    assert!(journal.get(&one).expect("get works").is_some(), "4: written at the time: kept");
    assert!(journal.get(&two).expect("get works").is_some(), "4: not closed: kept however old");
    journal.sweep(Timestamp(3)).expect("sweep works");
    assert!(journal.get(&one).expect("get works").is_none(), "4: closed and old: gone");
    assert!(journal.get(&two).expect("get works").is_some(), "4: not closed: kept however old");

    journal.put(&[entry(&one, State::Taken, 4)], std::slice::from_ref(&two)).expect("put works");
    assert!(journal.get(&two).expect("get works").is_none(), "1: gone");
    assert!(journal.get(&one).expect("get works").is_some(), "1: not among those that are");
}
