//! The bytes that `docs/worker-protocol.md` shows are those of the engine's code.

use domain::evidence::Text;
use domain::model::Release;
use domain::name::{AttemptId, Digest, Role, RunId, StageName, StreamId, TargetId, Version};
use domain::time::{Millis, Timestamp};
use domain::work::{Command, Notify, Order, Outcome};
use domain::workflow::{Approvals, GateWith};
use engine::desk::Heartbeat;
use engine::message;
use engine::partition::WorkOrder;
use engine::placement::partition_of;
use engine::request::{Report, Said, WorkerAnswer};
use engine::token::Token;

const RUN: RunId = RunId([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);

fn order() -> WorkOrder {
    let notify = Notify {
        run: RUN,
        stage: StageName::parse("release-board").unwrap(),
        release: Release {
            version: Version::parse("v2").unwrap(),
            bundle: Digest([0xbb; 32]),
            run: Some(RUN),
        },
        with: GateWith {
            require: vec![],
            approvals: vec![Approvals { role: Role::parse("ml").unwrap(), count: 1 }],
            four_eyes: true,
            expires: Millis::minutes(10),
        },
        evidence: Digest([0xee; 32]),
        expires_at: Timestamp(1_700_000_600_000),
    };
    let command = Command {
        attempt: AttemptId { owner: StreamId::Run(RUN), number: 1 },
        target: TargetId::parse("flights@production").unwrap(),
        effect_key: Digest([0xef; 32]),
        order: Order::Notify(notify),
        issued_at: Timestamp(1_700_000_000_000),
        lease: Millis::seconds(30),
        traceparent: None,
    };
    WorkOrder { command, token: Token([0x70; 32]), epoch: 2 }
}

/// A block of hexadecimal digits, with a name behind `#` in each line.
fn bytes(block: &str) -> Option<Vec<u8>> {
    let digits: String = block.lines().filter_map(|line| line.split('#').next()).collect();
    let digits: Vec<u8> = digits.bytes().filter(|letter| !letter.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn the_bytes_of_the_document_are_those_of_the_code() {
    let document = include_str!("../../../../docs/worker-protocol.md");
    let shown: Vec<Vec<u8>> =
        document.split("```text\n").skip(1).filter_map(|rest| bytes(rest.split("```").next()?)).collect();
    let order = order();
    let Command { attempt, target, .. } = order.command.clone();
    let said = |answer| {
        let report = Report { attempt: attempt.clone(), token: order.token, answer };
        message::encode_said(&Said::Report(Box::new(report)))
    };
    let delivered: Vec<Text> = vec!["webhook".into()];
    let at = Timestamp(1_700_000_002_000);
    let encoded = [
        message::encode_order(&order),
        message::encode_heartbeat(&Heartbeat { attempt: attempt.clone(), at, is_begun: true }),
        said(WorkerAnswer::Done(Outcome::Notified { review: None, delivered })),
        said(WorkerAnswer::Declined("the worker ends".into())),
        message::encode_cancel(&attempt),
    ];
    assert_eq!(shown, encoded);
    assert!(document.contains(&format!("its key `{attempt}`")), "{attempt}");
    assert!(document.contains(&format!("in partition {} of 16", partition_of(&target, 16))));
}
