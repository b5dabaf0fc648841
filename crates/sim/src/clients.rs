//! Those who say something to the engine and say it again until they are answered: people, training, gateways,
//! desks.

use domain::name::AttemptId;
use domain::refusal::Kind;
use domain::workflow::StageKind;
use engine::embedded::is_busy;
use engine::partition::{Answer, Reply};
use engine::request::{Observation, Report, Said};
use wire::record::Lane;

use crate::options::{Fault, Sabotage};
use crate::script;
use crate::world::{Event, PARTITIONS, World};

/// Somebody who waits for an answer.
#[derive(Debug)]
pub(crate) struct Client {
    said: Said,
    lane: Lane,
    input_id: Option<String>,
    /// Where a definition goes; everything else knows its place.
    partition: Option<u32>,
    is_answered: bool,
    sent: u64,
}

/// Who is to be told of a reply.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Client(usize),
    Desk(StageKind, AttemptId),
    Stray,
}

impl World {
    pub(crate) fn define_roles(&mut self) {
        for partition in 0..PARTITIONS {
            let id = Some(format!("roles-{partition}"));
            self.client(script::define_roles(), Lane::Requests, id, Some(partition));
        }
    }

    pub(crate) fn client(
        &mut self,
        said: Said,
        lane: Lane,
        input_id: Option<String>,
        partition: Option<u32>,
    ) {
        let client = self.clients.len();
        self.clients.push(Client { said, lane, input_id, partition, is_answered: false, sent: 0 });
        self.push_in(1, Event::Say(client));
        let often = if self.options.sabotage == Some(Sabotage::DuplicatesNotRecognised) { 2 } else { 6 };
        if !self.is_calm && self.chance.one_in(often) {
            self.note(Fault::DuplicateInput, &format!("of client {client}"));
            let wait = self.chance.below(4_000);
            self.push_in(wait, Event::Say(client));
        }
    }

    /// Says it, for the first time or again.
    pub(crate) fn send(&mut self, number: usize) -> Result<(), String> {
        let Some(engine) = &mut self.engine else {
            self.push_in(3_000, Event::Say(number));
            return Ok(());
        };
        let client = &mut self.clients[number];
        let (mut said, mut input_id) = (client.said.clone(), client.input_id.clone());
        if self.options.sabotage == Some(Sabotage::DuplicatesNotRecognised) && client.sent > 0 {
            disguise(&mut said, &mut input_id, client.sent);
        }
        client.sent += 1;
        let partition = match client.partition {
            Some(partition) => partition,
            None => match engine.partition_for(&said) {
                Ok(Some(partition)) => partition,
                Ok(None) => return Err("a definition needs a partition".into()),
                Err(refusal) if refusal.kind == Kind::Busy => return Err(refusal.to_string()),
                Err(_) => {
                    client.is_answered = true;
                    return Ok(());
                }
            },
        };
        match engine.offer(partition, client.lane, said, input_id, None) {
            Ok(ticket) => {
                self.tickets.insert(ticket, Source::Client(number));
            }
            Err(_) => self.push_in(1_000, Event::Say(number)),
        }
        Ok(())
    }

    /// An answer of a worker on its way to the engine; it is lost when there is none.
    pub(crate) fn offer_report(&mut self, report: Report, desk: Option<StageKind>) {
        let Some(engine) = &mut self.engine else { return };
        let attempt = report.attempt.clone();
        let said = Said::Report(Box::new(report));
        let Ok(Some(partition)) = engine.partition_for(&said) else { return };
        let source = desk.map_or(Source::Stray, |stage| Source::Desk(stage, attempt.clone()));
        if let Ok(ticket) = engine.offer(partition, Lane::Outcomes, said, None, None) {
            self.tickets.insert(ticket, source);
            self.line(&format!("answer to {attempt}"));
        }
    }

    /// What is not answered is said again to the new process.
    pub(crate) fn say_again(&mut self) {
        let waiting: Vec<usize> =
            (0..self.clients.len()).filter(|one| !self.clients[*one].is_answered).collect();
        for client in waiting {
            let wait = self.chance.below(2_000);
            self.push_in(wait, Event::Say(client));
        }
    }

    pub(crate) fn all_answered(&self) -> bool {
        self.clients.iter().all(|client| client.is_answered)
    }

    pub(crate) fn replied(&mut self, partition: u32, reply: &Reply) -> Result<(), String> {
        let ticket = engine::embedded::Ticket { partition, lane: reply.lane, offset: reply.offset };
        let source = self.tickets.remove(&ticket).ok_or_else(|| format!("a reply to nobody: {reply:?}"))?;
        if let Answer::Recorded { seq, .. } = &reply.answer {
            self.checker.expect_recorded(partition, *seq, reply.lane, reply.input_id.as_deref())?;
        }
        match source {
            Source::Client(client) if is_busy(&reply.answer) => self.push_in(1_000, Event::Say(client)),
            Source::Client(client) => self.clients[client].is_answered = true,
            Source::Desk(_, _) if is_busy(&reply.answer) => {}
            Source::Desk(stage, attempt) => self.acknowledge(stage, attempt)?,
            Source::Stray => {}
        }
        if let (Answer::Recorded { refused: Some(refusal), .. }, Lane::Outcomes) = (&reply.answer, reply.lane)
            && refusal.kind == Kind::Late
        {
            self.note(Fault::LateOutcome, &refusal.text);
        }
        Ok(())
    }

    /// What the machines of every target do, as news to the engine.
    pub(crate) fn observe(&mut self) {
        let at = self.wall();
        for target in self.cast.targets.clone() {
            let Some(state) = self.checker.target(&target) else { continue };
            let (gateways, servers) = (self.outside.gateways(&target, at), self.outside.servers(&target, at));
            let routes = state.table.is_some();
            if routes {
                let what = Observation::Routes(gateways);
                self.client(Said::Observed { target: target.clone(), what }, Lane::Outcomes, None, None);
            }
            let what = Observation::Loaded(servers);
            self.client(Said::Observed { target, what }, Lane::Outcomes, None, None);
        }
    }
}

/// The same again as if it were another.
fn disguise(said: &mut Said, input_id: &mut Option<String>, sent: u64) {
    if let Some(id) = input_id {
        *id = format!("{id}.{sent}");
    }
    if let Said::Trigger(trigger) = said {
        let mut trained = domain::model::Trained::clone(&trigger.trained);
        trained.id = format!("{}.{sent}", trained.id).into();
        trigger.trained = trained.into();
    }
}
