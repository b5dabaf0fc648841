//! What travels between processes.

use domain::work::{GatewayObserved, ServerLoaded};

use super::scalar::exactly;
use super::{Error, Place, Resolve, Wire};
use crate::generated::v1;
use crate::message::said::{Observation, Report, Request, RunAsk, Said, TargetAsk, Trigger, WorkerAnswer};
use crate::message::{
    Answer, GatewayReport, Heartbeat, Label, Prediction, TargetServed, Token, Unrecorded, WorkOrder,
};

wire_oneof!(Said => Said.said as said::Said {
    Observed { target, what }
    ; Trigger Request Report
});
wire_message!(Trigger => Trigger { target, trained, workflow, workflow_text });
wire_oneof!(Request => Request.request as request::Request {
    Run { run, actor, ask }
    Target { target, actor, ask }
    ; Define
});
wire_oneof!(RunAsk => RunAsk.ask as run_ask::Ask {
    Approve { stage, role, rationale, evidence }
    Reject { stage, role, rationale, evidence }
    Pause { reason }
    Resume { reason }
    Abort { reason }
    Promote { to, reason }
    Resolve { drop, reason }
    Retry { stage, reason }
});
wire_oneof!(TargetAsk => TargetAsk.ask as target_ask::Ask {
    RollBack { to, reason }
    Kill { bundle, reason }
    Freeze { until, reason }
    Unfreeze { reason }
    Adopt { release, reason }
    Resolve { drop, reason }
});
wire_message!(Report => Report { attempt, token, answer });
wire_oneof!(WorkerAnswer => WorkerAnswer.answer as worker_answer::Answer { ; Done Declined });
wire_oneof!(Observation => Observation.observation as observation::Observation { ; Routes Loaded });

wire_message!(WorkOrder => WorkOrder { command, token, epoch });
wire_message!(Heartbeat => Heartbeat { attempt, at, is_begun });
wire_message!(Answer => Answer { partition, input_id, unrecorded });
wire_oneof!(Unrecorded => Unrecorded.unrecorded as unrecorded::Unrecorded {
    Repeat { seq, run, refused }
    ; Refused
});
wire_message!(Prediction => Prediction {
    target,
    request_id,
    at,
    bundle,
    generation,
    unit,
    latency_us,
    error,
    features,
    output,
    score,
});
wire_message!(Label => Label { target, request_id, at, value });
wire_message!(GatewayReport => GatewayReport { gateway, heard_at, targets });
wire_message!(TargetServed => TargetServed { target, generation, override_to, killed });

impl Wire<v1::observation::Routes> for Vec<GatewayObserved> {
    fn put(&self) -> v1::observation::Routes {
        v1::observation::Routes { gateways: self.put() }
    }
    fn take(proto: v1::observation::Routes, known: &dyn Resolve, _: Place) -> Result<Self, Error> {
        let at = Place { message: "Observation.Routes", field: "gateways" };
        Wire::take(proto.gateways, known, at)
    }
}

impl Wire<v1::observation::Loaded> for Vec<ServerLoaded> {
    fn put(&self) -> v1::observation::Loaded {
        v1::observation::Loaded { servers: self.put() }
    }
    fn take(proto: v1::observation::Loaded, known: &dyn Resolve, _: Place) -> Result<Self, Error> {
        let at = Place { message: "Observation.Loaded", field: "servers" };
        Wire::take(proto.servers, known, at)
    }
}

impl Wire<Vec<u8>> for Token {
    fn put(&self) -> Vec<u8> {
        self.0.to_vec()
    }
    fn take(proto: Vec<u8>, _: &dyn Resolve, at: Place) -> Result<Self, Error> {
        Ok(Self(exactly(&proto, at)?))
    }
}
