//! From what was said to an input of the core: repeats are answered from what is known, requests get the role
//! map in force, outcomes show their token, and a trigger brings its workflow.

use domain::definition::{Define, Kind as DefinitionKind};
use domain::model::Trained;
use domain::name::{RunId, StreamId};
use domain::refusal::{Kind, Refusal};
use domain::time::Timestamp;
use domain::transition::Input;
use domain::{run, transition};

use super::decide::{Decided, Keep, Origin, parked};
use super::signal::{Answer, LaneInput, Reply};
use super::streams::Unavailable;
use super::{Partition, refusal, stopped};
use crate::code::{Code, Stopped, refused};
use crate::placement::partition_of;
use crate::port::store::RequestRow;
use crate::request::{Report, Request, Said, Trigger};
use crate::token;

impl Partition {
    pub(super) fn decide_said(
        &mut self,
        input: LaneInput,
        now: Timestamp,
        records: &mut Vec<Vec<u8>>,
    ) -> Result<(), Stopped> {
        let LaneInput { lane, offset, input_id, traceparent, said } = input;
        self.taken[lane.index()] = offset + 1;
        let origin = Origin { lane: Some(lane), input_id: input_id.clone(), traceparent };
        let answer = match said {
            Said::Trigger(trigger) => self.decide_trigger(*trigger, origin, now, records)?,
            Said::Request(request) => self.decide_request(*request, origin, now, records)?,
            Said::Report(report) => self.decide_report(*report, origin, now, records)?,
            Said::Observed { target, what } => {
                if partition_of(&target, self.config.partitions) == self.config.partition {
                    let input = what.bind(target);
                    self.decide_one(input, origin, Keep::UnlessRefused, now, records)?.answer(None)
                } else {
                    wrong_partition(&target.to_string())
                }
            }
        };
        self.reply(Reply { lane, offset, input_id, answer });
        Ok(())
    }

    fn decide_trigger(
        &mut self,
        trigger: Trigger,
        origin: Origin,
        now: Timestamp,
        records: &mut Vec<Vec<u8>>,
    ) -> Result<Answer, Stopped> {
        if partition_of(&trigger.target, self.config.partitions) != self.config.partition {
            return Ok(wrong_partition(&trigger.target.to_string()));
        }
        let run = trigger.run();
        if let Some(answer) = self.known_run(run, &trigger)? {
            return Ok(answer);
        }
        let Trigger { target, trained, workflow, workflow_text } = trigger;
        if !self.streams.definitions.known.contains(&workflow.digest) {
            let define = Define {
                actor: None,
                kind: DefinitionKind::Workflow,
                digest: workflow.digest,
                text: workflow_text,
                roles: None,
            };
            // A record of its own, before the trigger is taken: its positions are those before.
            let lane = origin.lane.map(|lane| (lane.index(), self.taken));
            self.taken = self.tip().positions;
            let defined =
                self.decide_one(Input::Define(define), Origin::moment(), Keep::UnlessNothing, now, records);
            if let Some((_, taken)) = lane {
                self.taken = taken;
            }
            let defined = defined?;
            if defined.refused.is_some() || defined.unrecorded.is_some() {
                return Ok(defined.answer(None));
            }
        }
        let start = run::Start { run, target, trained, workflow };
        let input = Input::Run(run, run::Input::Start(Box::new(start)));
        Ok(self.decide_one(input, origin, Keep::Always, now, records)?.answer(Some(run)))
    }

    /// The same trigger again is counted, not recorded; the same identity with other content is a conflict.
    fn known_run(&mut self, run: RunId, trigger: &Trigger) -> Result<Option<Answer>, Stopped> {
        let state = match transition::Streams::run(&mut self.streams, run) {
            Ok(state) => state,
            Err(Unavailable::Parked { stream, why }) => {
                return Ok(Some(parked(&stream, &why).answer(Some(run))));
            }
            Err(error) => return Err(stopped(error)),
        };
        let Some(start) = &state.start else { return Ok(None) };
        if says_the_same(&start.trained, &trigger.trained) {
            return Ok(Some(Answer::Repeat { seq: None, run: Some(run), refused: None }));
        }
        let text = format!(
            "expected the event {} of {} to say the same as before, but it differs",
            trigger.trained.id, trigger.trained.source
        );
        Ok(Some(Answer::Refused(conflict(text, "publish what changed under a new event id"))))
    }

    fn decide_request(
        &mut self,
        request: Request,
        origin: Origin,
        now: Timestamp,
        records: &mut Vec<Vec<u8>>,
    ) -> Result<Answer, Stopped> {
        if let Some(input_id) = &origin.input_id
            && let Some(row) = self.remembered(input_id)?
        {
            let run = match &request {
                Request::Run { run, .. } => Some(*run),
                Request::Define(_) | Request::Target { .. } => None,
            };
            if row.content == request.content() {
                return Ok(Answer::Repeat { seq: Some(row.seq), run, refused: row.refused });
            }
            let text = format!("expected request {input_id} to ask the same as before, but it differs");
            return Ok(Answer::Refused(conflict(text, "give another request another id")));
        }
        let (run, keep) = match &request {
            Request::Define(_) => (None, Keep::UnlessNothing),
            Request::Run { run, .. } => {
                let slot = self.streams.run(*run).map_err(stopped)?;
                if slot.folded.state.start.is_none() && slot.folded.parked.is_none() {
                    let text = format!("expected a run {run}, but there is none");
                    let hint = "list runs with `modelrail runs`";
                    return Ok(Answer::Refused(refusal(Kind::State, refused::UNKNOWN_RUN, text, hint)));
                }
                (Some(*run), Keep::Always)
            }
            Request::Target { target, .. } => {
                if partition_of(target, self.config.partitions) != self.config.partition {
                    return Ok(wrong_partition(&target.to_string()));
                }
                (None, Keep::Always)
            }
        };
        let input = match (request, &self.streams.definitions.roles) {
            (Request::Define(define), _) => Input::Define(define),
            (request, Some(roles)) => request.bind(&roles.clone()),
            (_, None) => {
                let text = "expected recorded roles, but this partition has none";
                let hint = "start the engine with a role map, or add a user: `modelrail user add`";
                return Ok(Answer::Refused(refusal(Kind::NotEntitled, refused::NO_ROLES, text, hint)));
            }
        };
        Ok(self.decide_one(input, origin, keep, now, records)?.answer(run))
    }

    fn decide_report(
        &mut self,
        report: Report,
        origin: Origin,
        now: Timestamp,
        records: &mut Vec<Vec<u8>>,
    ) -> Result<Answer, Stopped> {
        let attempt = report.attempt.clone();
        if !token::is_valid(self.config.key, &attempt, report.token) {
            let text = format!("expected the token of attempt {attempt}, but another came");
            let hint = "return the token that came with the command";
            return Ok(Answer::Refused(refusal(Kind::NotEntitled, refused::WRONG_TOKEN, text, hint)));
        }
        let run = match &attempt.owner {
            StreamId::Run(run) => Some(*run),
            StreamId::Target(_) | StreamId::Definitions => None,
        };
        match report.bind() {
            Some(input) => Ok(self.decide_one(input, origin, Keep::Always, now, records)?.answer(run)),
            None => Ok(wrong_partition(&attempt.to_string())),
        }
    }

    fn remembered(&self, input_id: &str) -> Result<Option<RequestRow>, Stopped> {
        if let Some(row) = self.recent.get(input_id) {
            return Ok(Some(row.clone()));
        }
        self.store
            .request(self.config.partition, input_id)
            .map_err(|error| Stopped::new(Code::StoreFailed, error.to_string()))
    }
}

impl Decided {
    fn answer(self, run: Option<RunId>) -> Answer {
        match (self.seq, self.unrecorded) {
            (Some(seq), _) => Answer::Recorded { seq, run, refused: self.refused },
            (None, Some(refusal)) => Answer::Refused(refusal),
            (None, None) => Answer::Repeat { seq: None, run, refused: None },
        }
    }
}

/// Who published, and in which trace, is taken from the first time: the same event comes by other ways too.
fn says_the_same(before: &Trained, again: &Trained) -> bool {
    let Trained { publisher, traceparent, .. } = before.clone();
    *before == Trained { publisher, traceparent, ..again.clone() }
}

fn conflict(text: String, hint: &str) -> Refusal {
    refusal(Kind::State, refused::CONFLICT, text, hint)
}

fn wrong_partition(what: &str) -> Answer {
    let text = format!("expected an input of this partition, but {what} belongs to another");
    let hint = "route inputs by the partitioner that the log names";
    Answer::Refused(refusal(Kind::Malformed, refused::WRONG_PARTITION, text, hint))
}
