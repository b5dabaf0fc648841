//! Bytes of heads and request rows. Run and target rows bring their own.

use domain::name::Digest;
use domain::refusal::{Kind, Refusal};
use domain::time::Timestamp;
use engine::port::store::{Head, RequestRow};

use crate::bytes::{Malformed, Reader, put_bytes, put_number};

pub(crate) fn encode_head(head: &Head) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(&head.log_id);
    out.extend_from_slice(&head.hash.0);
    for number in [u64::from(head.partitions), head.seq, head.next_offset, head.epoch, u64::from(head.format)]
    {
        put_number(&mut out, number);
    }
    put_number(&mut out, u64::from(head.in_flight_records_max));
    for number in
        [head.now.0, head.dispatched, head.losers].into_iter().chain(head.positions).chain(head.topics)
    {
        put_number(&mut out, number);
    }
    out
}

pub(crate) fn decode_head(bytes: &[u8]) -> Result<Head, Malformed> {
    let mut reader = Reader::new(bytes);
    let head = Head {
        log_id: reader.array()?,
        hash: Digest(reader.array()?),
        partitions: reader.small()?,
        seq: reader.number()?,
        next_offset: reader.number()?,
        epoch: reader.number()?,
        format: reader.small()?,
        in_flight_records_max: reader.small()?,
        now: Timestamp(reader.number()?),
        dispatched: reader.number()?,
        losers: reader.number()?,
        positions: [reader.number()?, reader.number()?, reader.number()?],
        topics: [reader.number()?, reader.number()?, reader.number()?],
    };
    reader.end()?;
    Ok(head)
}

/// Without the input id, which is the key.
pub(crate) fn encode_request(row: &RequestRow) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(&row.content.0);
    put_number(&mut out, row.seq);
    if let Some(refused) = &row.refused {
        put_bytes(&mut out, refused.kind.as_str().as_bytes());
        put_bytes(&mut out, refused.code.as_bytes());
        put_bytes(&mut out, refused.text.as_bytes());
        if let Some(hint) = &refused.hint {
            put_bytes(&mut out, hint.as_bytes());
        }
    }
    out
}

pub(crate) fn decode_request(input_id: &str, bytes: &[u8]) -> Result<RequestRow, Malformed> {
    let mut reader = Reader::new(bytes);
    let content = Digest(reader.array()?);
    let seq = reader.number()?;
    let refused = if reader.end().is_ok() { None } else { Some(decode_refusal(&mut reader)?) };
    reader.end()?;
    Ok(RequestRow { input_id: input_id.to_owned(), content, seq, refused })
}

fn decode_refusal(reader: &mut Reader<'_>) -> Result<Refusal, Malformed> {
    let kind = reader.text()?;
    let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
    Ok(Refusal {
        kind: kind.ok_or(Malformed("a kind of refusal"))?,
        code: reader.text()?.to_owned(),
        text: reader.text()?.to_owned(),
        hint: if reader.end().is_ok() { None } else { Some(reader.text()?.to_owned()) },
    })
}
