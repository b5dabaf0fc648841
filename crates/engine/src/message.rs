//! What travels between processes, as bytes: `proto/modelrail/v1/message.proto` says which, ADR 24 in which topics.
//!
//! The codecs are those of crate `wire`; the types are those that partitions, desks and gateways work with, under
//! the names they have there.

pub use wire::codec::Parsers;
pub use wire::message::{
    Addressee, Answer, Error, GatewayReport, LABEL_BYTES_MAX, LIST_MAX, MESSAGE_BYTES_MAX, RECENT_MAX,
    REQUEST_ID_BYTES_MAX, Recent, SIGN_OF_LIFE_BYTES_MAX, TEXT_BYTES_MAX, TargetServed, Unrecorded,
    decode_addressee, decode_answer, decode_cancel, decode_gateway_report, decode_heartbeat, decode_label,
    decode_order, decode_prediction, decode_said, decode_table, encode_answer, encode_cancel,
    encode_gateway_report, encode_heartbeat, encode_label, encode_order, encode_prediction, encode_said,
    encode_table,
};
