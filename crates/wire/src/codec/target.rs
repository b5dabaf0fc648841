//! Inputs and events of targets, and route tables.

use domain::routes::{Route, RouteTable, Sticky};
use domain::target::{Errand, Event, Input};
use domain::workflow::WhileRunning;

use super::direct::{Content, Fields, Reading, Writing};
use super::{Error, Place, Resolve, Wire};
use crate::generated::{Tagged as _, v1};

choice!(WhileRunning => WhileRunning { Supersede, Queue, Refuse });
choice!(Errand => Errand { Prepare, Apply });
message!(Route => Route { release, weight });
message!(RouteTable => RouteTable { target, generation, routes, stable, sticky });

impl Wire<v1::Sticky> for Sticky {
    fn put(&self) -> v1::Sticky {
        let sticky = match self {
            Self::None => v1::sticky::Sticky::PerRequest(v1::sticky::PerRequest {}),
            Self::Header(name) => v1::sticky::Sticky::Header(name.put()),
            Self::Parameter(name) => v1::sticky::Sticky::Parameter(name.put()),
        };
        v1::Sticky { sticky: Some(sticky) }
    }
    fn take(proto: v1::Sticky, _: &dyn Resolve, _: Place) -> Result<Self, Error> {
        match proto.sticky {
            None => Err(Error::UnknownVariant("Sticky")),
            Some(v1::sticky::Sticky::PerRequest(_)) => Ok(Self::None),
            Some(v1::sticky::Sticky::Header(name)) => Ok(Self::Header(name.into())),
            Some(v1::sticky::Sticky::Parameter(name)) => Ok(Self::Parameter(name.into())),
        }
    }
}
required!(Sticky => Sticky);
content!(Sticky => Sticky);

impl Content<v1::Sticky> for Sticky {
    fn read_content(bytes: &[u8], _: &Reading<'_>) -> Option<Self> {
        let tags = v1::Sticky::TAGS;
        let mut fields = Fields(bytes);
        let (number, value) = fields.next()?;
        let text = || Some(std::str::from_utf8(value.bytes()?).ok()?.into());
        let sticky = match number {
            number if number == tags.PerRequest => {
                value.bytes().filter(|it| it.is_empty()).map(|_| Self::None)
            }
            number if number == tags.Header => text().map(Self::Header),
            number if number == tags.Parameter => text().map(Self::Parameter),
            _ => None,
        };
        sticky.filter(|_| fields.is_over())
    }
    fn write_content(&self, out: &mut Writing) {
        let tags = v1::Sticky::TAGS;
        match self {
            Self::None => out.bytes(tags.PerRequest, &[]),
            Self::Header(name) => out.bytes(tags.Header, name.as_bytes()),
            Self::Parameter(name) => out.bytes(tags.Parameter, name.as_bytes()),
        }
    }
}

oneof!(Input => TargetInput.input as target_input::Input {
    Enter { target, run, version, artifact, while_running }
    AskSlot { run }
    LeaveSlot { run }
    Leave { run }
    PrepareRelease { run, release }
    ShiftWeights { run, release, weight, sticky, cause }
    TakeLive { run, release, keep_warm }
    LeaveLive { run, cause }
    RollBack { actor, roles, to, reason }
    Kill { actor, roles, bundle, reason }
    Freeze { actor, roles, until, reason }
    Unfreeze { actor, roles, reason }
    Adopt { actor, roles, target, release, reason }
    Resolve { actor, roles, drop, reason }
    Report { attempt, outcome }
    Decline { attempt, reason }
    ReportRoutes { gateways }
    ReportLoaded { servers }
    LeaseEnded { attempt, heard_at }
    BackoffOver { what }
    FreezeOver {}
    WarmOver {}
    HeldDue { number }
    NoteQuarantine { run, quarantined }
});

oneof!(Event => TargetEvent.event as target_event::Event {
    RunEntered { target, run, version, artifact }
    RunSuperseded { run, by }
    RunLeft { run }
    SlotGranted { run }
    RunQueued { run, position }
    SlotLeft { run }
    ReleaseWanted { run, release }
    ReleaseLoaded { servers, attempt | same_as_input }
    GenerationRaised { table, cause, run, at }
    RoutesObserved { gateways, attempt | same_as_input }
    LiveChanged { from, to, generation, warm_until, at }
    ReleaseRolledBack { release, to, cause, by }
    ReleaseKilled { release, by, reason }
    ReleaseAdopted { target, release, by, reason, at }
    ReleaseCooled { release }
    OverrideObserved { gateway, release }
    TargetFrozen { until, by, reason }
    TargetUnfrozen { by, reason }
    AttemptIssued { attempt, what, at }
    AttemptFailed { attempt, what, code, reason, retry_at }
    AttemptExpired { attempt, what, heard_at, retry_at }
    AttemptDeclined { attempt, what, reason }
    AttemptCancelled { attempt, what }
    StreamQuarantined { why, holds_cause, at }
    InputHeld { input, at | same_as_input }
    QuarantineResolved { by, reason, dropped, at }
    InputReleased { number, input, refused }
    QuarantineNoted { run, quarantined }
    ChapterOpened { carried, at }
    GatewayMissing { gateway, heard_at }
    ServerMissing { server, heard_at }
});
