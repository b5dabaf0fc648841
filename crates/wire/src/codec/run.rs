//! Inputs and events of runs.

use domain::run::{End, Event, Input, Purpose, ShiftRefusal, Start, WaitFor};

use super::direct::{Content, Direct, Reading, Value, Writing};
use super::{Error, Place, Resolve, Wire};
use crate::generated::v1;

message!(Start => Start { run, target, trained, workflow });
/// Boxed in inputs and events: see the test of the generated code.
impl Wire<Box<v1::Start>> for Start {
    fn put(&self) -> Box<v1::Start> {
        Box::new(self.put())
    }
    fn take(proto: Box<v1::Start>, known: &dyn Resolve, at: Place) -> Result<Self, Error> {
        Self::take(*proto, known, at)
    }
}

impl Wire<Option<Box<v1::Start>>> for Start {
    fn put(&self) -> Option<Box<v1::Start>> {
        Some(self.put())
    }
    fn take(proto: Option<Box<v1::Start>>, known: &dyn Resolve, at: Place) -> Result<Self, Error> {
        Self::take(proto.ok_or(Error::Missing(at))?, known, at)
    }
}

/// The same in its box, read and written directly.
macro_rules! boxed {
    ($($form:ty),*) => { $(
        impl Direct<$form> for Start {
            fn absent() -> Option<Self> {
                None
            }
            fn read(value: Value<'_>, at: &Reading<'_>) -> Option<Self> {
                Content::read_content(value.bytes()?, at)
            }
            fn write_present(&self, number: u32, out: &mut Writing) {
                out.within(number, |out| self.write_content(out));
            }
        }
    )* };
}
boxed!(Box<v1::Start>, Option<Box<v1::Start>>);

choice!(End => End { Blocked, Failed, Refused, Superseded, Aborted, RolledBack, Retired });
choice!(ShiftRefusal => ShiftRefusal { Frozen, NoSlot, NotLoaded, NoLastGood });

oneof!(Purpose => Purpose.purpose as purpose::Purpose {
    Package {}
    Test {}
    Plan {}
    Notify {}
    Measure {}
    MeasureLast {}
    Watch { from, to, late }
});

oneof!(WaitFor => WaitFor.wait as wait_for::Wait {
    Slot { why }
    Thaw {}
    Prepare { why }
    People {}
    Facts { missing }
});

oneof!(Input => RunInput.input as run_input::Input {
    Approve { actor, roles, stage, role, rationale, evidence }
    Reject { actor, roles, stage, role, rationale, evidence }
    Pause { actor, roles, reason }
    Resume { actor, roles, reason }
    Abort { actor, roles, reason }
    Promote { actor, roles, to, reason }
    Retry { actor, roles, stage, reason }
    Resolve { actor, roles, drop, reason }
    Report { attempt, outcome }
    Decline { attempt, reason }
    LeaseEnded { attempt, heard_at }
    BackoffOver { stage }
    StageTimedOut { stage }
    GateExpired { stage }
    MeasureDue { stage }
    BakeOver { stage }
    StepDeadline { stage }
    LeaveDeadline {}
    WindowOver { stage }
    HeldDue { number }
    Entered { live, frozen }
    EntryRefused { why }
    SlotGranted {}
    SlotRefused { why }
    Thawed {}
    PrepareDone {}
    PrepareFailed { why }
    ShiftAccepted { generation }
    ShiftRefused { why }
    ShiftObserved { generation }
    Superseded { by }
    LiveChanged { to, generation }
    LeaveOrdered { cause, generation }
    Replaced { by }
    Restored { generation }
    ReleaseEnded { why }
    ; Start
});

oneof!(Event => RunEvent.event as run_event::Event {
    Started { start, at | same_as_input }
    StageBegan { stage, live, at }
    LiveNoted { live }
    StageSkipped { stage, why }
    WaitBegan { stage, on, at }
    AttemptIssued { stage, attempt, purpose, at }
    AttemptFailed { stage, attempt, code, reason, retry_at }
    AttemptDeclined { stage, attempt, reason }
    AttemptExpired { stage, attempt, heard_at, retry_at }
    AttemptCancelled { stage, attempt }
    EvidenceRecorded { stage, attempt, evidence, at | same_as_input }
    BundlePacked { stage, attempt, evidence, bundle, at | same_as_input }
    PlanMade { stage, attempt, plan | same_as_input }
    ApproversNotified { stage, attempt, review, delivered }
    CheckJudged { stage, check, judgement }
    StageJudged { stage, verdict, why, at }
    StageGaveUp { stage, why }
    StageReopened { stage, why }
    EvidenceVoided { stage, cause }
    PolicyJudged { stage, verdict, terms }
    ApprovalAsked { stage, evidence, expires_at }
    Approved { stage, role, by, rationale, evidence, roles }
    ApprovalRefused { stage, role, by, rationale, evidence, roles }
    ApprovalLapsed { stage, cause }
    SlotTaken { stage }
    StepEntered { stage, step, weight, at }
    ReleasePrepared { stage }
    WeightRequested { stage, generation, weight, at }
    WeightObserved { stage, generation, at }
    StepJudged { stage, step, verdict, why }
    StepHeld { stage, why }
    StepReleased { stage, why }
    WentLive { generation, restored, at }
    WentStandby { by }
    WindowJudged { stage, from, to, verdict }
    AlertRaised { stage, check, why }
    AlertCleared { stage, check }
    IncidentOpened { why }
    Paused { by, reason, at }
    Resumed { by, reason, at }
    AbortAsked { by, reason }
    PromotionAsked { by, to, reason }
    RollbackBegan { end, cause, at }
    RollbackEnded { seconds_from_verdict, requests_exposed, at }
    Ended { end, why, at }
    StreamQuarantined { why, holds_cause, at }
    InputHeld { input, at | same_as_input }
    QuarantineResolved { by, reason, dropped, at }
    InputReleased { number, input, refused }
    ChapterOpened { carried, at }
});
