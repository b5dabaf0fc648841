//! What travels between processes.

use domain::transition::Input;
use domain::{run, target};
use engine::message;
use engine::request::Said;
use wire::definitions::parsers;

/// A message: the first byte says which. What was read is written and read again as the same.
pub(crate) fn message(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let parsers = parsers();
    macro_rules! twice {
        ($decode:expr, $encode:path) => {
            $decode(bytes).ok().inspect(|read| {
                let written = $encode(read);
                let again = $decode(&written).expect("what was written is read");
                // Bytes and not values: a NaN is equal to nothing.
                assert!($encode(&again) == written, "a message changed on its way");
            })
        };
    }
    match which % 8 {
        0 => {
            let read = twice!(|bytes: &[u8]| message::decode_said(bytes, &parsers), message::encode_said);
            if let Some(Said::Report(report)) = read {
                let is_number = match report.bind() {
                    Some(Input::Run(_, run::Input::Report { outcome, .. })) => outcome.is_finite(),
                    Some(Input::Target(_, target::Input::Report { outcome, .. })) => outcome.is_finite(),
                    _ => true,
                };
                assert!(is_number, "what is no number became an input");
            }
        }
        1 => {
            twice!(|bytes: &[u8]| message::decode_order(bytes, &parsers), message::encode_order);
        }
        2 => {
            twice!(message::decode_heartbeat, message::encode_heartbeat);
        }
        3 => {
            twice!(message::decode_cancel, message::encode_cancel);
        }
        4 => {
            twice!(message::decode_prediction, message::encode_prediction);
        }
        5 => {
            if let Some(label) = twice!(message::decode_label, message::encode_label) {
                assert!(label.value.is_finite(), "a label that is no number was taken");
            }
        }
        6 => {
            twice!(message::decode_table, message::encode_table);
        }
        _ => {
            twice!(message::decode_gateway_report, message::encode_gateway_report);
        }
    }
}
