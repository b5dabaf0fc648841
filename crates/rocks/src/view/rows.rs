//! Bytes of heads, request rows and kept states. Run and target rows bring their own.

use domain::name::{Digest, StreamId};
use domain::refusal::{Kind, Refusal};
use domain::time::Timestamp;
use engine::port::row::ChapterAt;
use engine::port::store::{Head, KeptState, RequestRow};

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

/// Without the stream, which is the key.
pub(crate) fn encode_kept(kept: &KeptState) -> Vec<u8> {
    let KeptState { stream: _, version, seq, transitions, updated_at, chapter, state } = kept;
    let mut out = Vec::with_capacity(state.len() + 64);
    put_bytes(&mut out, version.as_bytes());
    // No record has the number 0.
    let chapter = chapter.map_or([0, 0], |chapter| [chapter.seq, chapter.before]);
    for number in [*seq, *transitions, updated_at.0].into_iter().chain(chapter) {
        put_number(&mut out, number);
    }
    put_bytes(&mut out, state);
    out
}

pub(crate) fn decode_kept(stream: &StreamId, bytes: &[u8]) -> Result<KeptState, Malformed> {
    let mut reader = Reader::new(bytes);
    let version = reader.text()?.to_owned();
    let (seq, transitions, updated_at) = (reader.number()?, reader.number()?, Timestamp(reader.number()?));
    let chapter = ChapterAt { seq: reader.number()?, before: reader.number()? };
    let state = reader.bytes()?.to_vec();
    reader.end()?;
    let chapter = (chapter.seq > 0).then_some(chapter);
    Ok(KeptState { stream: stream.clone(), version, seq, transitions, updated_at, chapter, state })
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
