//! In the calm nothing is written any more; then every process that has read the log shows the same of it, and what it
//! has is whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::plan::Role;
use super::town::{Process, Town, until};
use crate::kafka::strangers::Chain;
use crate::process::asking::Client;

/// How long a mirror may take to read what it lacks.
const READ_MAX: Duration = Duration::from_secs(20);

/// The last record of a run, its state, and that state's hash.
type Shown = BTreeMap<String, (u64, String, String)>;

fn shown(client: &Client) -> Shown {
    let one = |run: String| {
        let view = client.run(&run);
        (run, (view.seq, view.state, view.state_sha256))
    };
    client.runs().into_iter().map(|line| one(line.run)).collect()
}

/// Ends the engines and workers, and asks each engine's folder what it has; gives how many states were compared.
pub(super) fn show_the_same(mut town: Town, client: &Client) -> usize {
    let processes = std::mem::take(&mut town.processes);
    let place = &town.place;
    let (folds, others): (Vec<Process>, Vec<Process>) =
        processes.into_iter().partition(|process| matches!(process.role, Role::Engine | Role::Worker));
    let mut engines = vec![];
    for Process { name, role, server, .. } in folds {
        let said = server.errors_at().to_owned();
        assert_eq!(server.stop(), Some(0), "{name}: {}", std::fs::read_to_string(said).unwrap());
        engines.extend((role == Role::Engine).then_some(name));
    }
    // The last that the engines wrote is read by then.
    let mut expected = shown(client);
    until("the API has read the log to its end", || {
        let now = shown(client);
        now == std::mem::replace(&mut expected, now.clone())
    });
    let mut compared = Chain::of(&town.settings).holds(client);
    for engine in engines {
        let mut api = place.serve_as("api", &place.root().join(engine));
        let addresses = api.listening(place);
        let other = Client::new(Arc::new(Mutex::new(addresses)), &place.root().join("secrets"));
        let (began, mut found) = (Instant::now(), shown(&other));
        while found != expected {
            assert!(began.elapsed() < READ_MAX, "{engine} shows\n{found:#?}\nand not\n{expected:#?}");
            found = shown(&other);
        }
        let verified = other.verify();
        assert!(verified.good, "{engine}: {verified:#?}");
        compared += found.len();
        api.kill();
    }
    drop(others);
    compared
}
