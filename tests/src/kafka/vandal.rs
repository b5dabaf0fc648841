//! What only a person does to topics: by the client library itself, which the product does not use so.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::metadata::MetadataTopic;

const DONE_WITHIN: Duration = Duration::from_secs(30);

/// Somebody with all rights.
pub(crate) struct Vandal {
    admin: AdminClient<DefaultClientContext>,
}

impl Vandal {
    pub(crate) fn at(brokers: &str) -> Self {
        Self { admin: ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap() }
    }

    /// Makes a topic of one copy.
    pub(crate) fn create(&self, name: &str, partitions: u32, settings: &[(&str, &str)]) {
        assert!(self.try_create(name, partitions, settings), "{name} was not made");
    }

    /// Makes a topic that was just deleted: its name is free a moment later.
    pub(crate) fn create_again(&self, name: &str, partitions: u32, settings: &[(&str, &str)]) {
        let began = Instant::now();
        while !self.try_create(name, partitions, settings) {
            assert!(began.elapsed() < DONE_WITHIN, "{name} is still there");
        }
    }

    fn try_create(&self, name: &str, partitions: u32, settings: &[(&str, &str)]) -> bool {
        let mut new = NewTopic::new(name, partitions as i32, TopicReplication::Fixed(1));
        new.config.extend(settings);
        let said = wait(self.admin.create_topics([&new], &options())).unwrap();
        said == [Ok(name.to_owned())]
    }

    pub(crate) fn delete(&self, name: &str) {
        let said = wait(self.admin.delete_topics(&[name], &options())).unwrap();
        assert_eq!(said, [Ok(name.to_owned())]);
    }

    /// How many members a group has, as its coordinator knows.
    pub(crate) fn members(&self, group: &str) -> usize {
        let groups = self.admin.inner().fetch_group_list(Some(group), DONE_WITHIN).unwrap();
        groups.groups().iter().map(|group| group.members().len()).sum()
    }

    /// All that begin so: a broker for tests has little room.
    pub(crate) fn delete_all(&self, prefix: &str) {
        let metadata = self.admin.inner().fetch_metadata(None, DONE_WITHIN).unwrap();
        let names = metadata.topics().iter().map(MetadataTopic::name);
        let names: Vec<&str> = names.filter(|name| name.starts_with(prefix)).collect();
        let said = wait(self.admin.delete_topics(&names, &options())).unwrap();
        assert!(said.iter().all(Result::is_ok), "{said:?}");
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(DONE_WITHIN)).request_timeout(Some(DONE_WITHIN))
}

fn wait<F: Future>(answer: F) -> F::Output {
    let mut answer = pin!(answer);
    let began = Instant::now();
    loop {
        if let Poll::Ready(output) = answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
        assert!(began.elapsed() < 2 * DONE_WITHIN, "the brokers do not answer");
        std::thread::sleep(Duration::from_millis(2));
    }
}
