//! Keys and values of the prediction log, as small as they are told: a UUID takes 17 bytes in a key, a
//! prediction without features about 16.

use domain::name::{Digest, TargetId};
use domain::routes::Generation;
use domain::time::Timestamp;
use engine::port::predictions::Prediction;

use crate::bytes::{Malformed, Reader, put_number};

/// Before a request id in a key: as text, or as the 16 bytes of a UUID written in lower case.
const TEXT: u8 = 0;
const UUID: u8 = 1;
/// Where the hyphens of a UUID stand.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

const ERROR: u8 = 1;
const OUTPUT: u8 = 2;
const SCORE: u8 = 4;

/// What `requests` knows of a request id.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Request {
    Answered {
        at: Timestamp,
    },
    /// A label came, the prediction not yet.
    Waiting {
        at: Timestamp,
        value: f64,
    },
}

impl Request {
    pub(crate) fn at(self) -> Timestamp {
        match self {
            Self::Answered { at } | Self::Waiting { at, .. } => at,
        }
    }
}

pub(super) fn encode_request(request: Request) -> Vec<u8> {
    let mut out = request.at().0.to_be_bytes().to_vec();
    if let Request::Waiting { value, .. } = request {
        out.extend_from_slice(&value.to_be_bytes());
    }
    out
}

pub(crate) fn decode_request(bytes: &[u8]) -> Result<Request, Malformed> {
    let mut reader = Reader::new(bytes);
    let at = Timestamp(u64::from_be_bytes(reader.array()?));
    if reader.end().is_ok() {
        return Ok(Request::Answered { at });
    }
    Ok(Request::Waiting { at, value: f64::from_be_bytes(reader.array()?) })
}

pub(crate) fn decode_value(bytes: &[u8]) -> Result<f64, Malformed> {
    Ok(f64::from_be_bytes(Reader::new(bytes).array()?))
}

/// `target(4) request id`.
pub(super) fn request_key(target: u32, request_id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(5 + request_id.len());
    key.extend_from_slice(&target.to_be_bytes());
    if let Some(uuid) = uuid(request_id.as_bytes()) {
        key.push(UUID);
        key.extend_from_slice(&uuid);
    } else {
        key.push(TEXT);
        key.extend_from_slice(request_id.as_bytes());
    }
    key
}

/// `target(4) at(8) request id`, from the key of the request.
pub(super) fn place(target: u32, at: Timestamp, request_key: &[u8]) -> Vec<u8> {
    let mut place = Vec::with_capacity(request_key.len() + 8);
    place.extend_from_slice(&edge(target, at));
    place.extend_from_slice(&request_key[4..]);
    place
}

/// Before all places of a target at that time.
pub(super) fn edge(target: u32, at: Timestamp) -> [u8; 12] {
    let mut edge = [0; 12];
    edge[..4].copy_from_slice(&target.to_be_bytes());
    edge[4..].copy_from_slice(&at.0.to_be_bytes());
    edge
}

fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != 36 || HYPHENS.iter().any(|place| text[*place] != b'-') {
        return None;
    }
    let mut uuid = [0; 16];
    let mut digits =
        text.iter().enumerate().filter(|(place, _)| !HYPHENS.contains(place)).map(|(_, digit)| digit);
    for byte in &mut uuid {
        *byte = digit(*digits.next()?)? << 4 | digit(*digits.next()?)?;
    }
    Some(uuid)
}

/// Lower case only: what is written otherwise must come back as it was.
fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn put_uuid(out: &mut String, uuid: [u8; 16]) {
    for (place, byte) in uuid.into_iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        for half in [byte >> 4, byte & 15] {
            out.push(char::from(b"0123456789abcdef"[usize::from(half)]));
        }
    }
}

/// A prediction without what its place says. The bundle goes by number.
pub(super) fn encode(prediction: &Prediction, bundle: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(40 + 4 * prediction.features.len());
    let flag = |set, flag| if set { flag } else { 0 };
    out.push(
        flag(prediction.error, ERROR)
            | flag(prediction.output.is_some(), OUTPUT)
            | flag(prediction.score.is_some(), SCORE),
    );
    put_number(&mut out, u64::from(bundle));
    put_number(&mut out, prediction.generation.0);
    out.extend_from_slice(&prediction.unit.to_be_bytes());
    put_number(&mut out, u64::from(prediction.latency_us));
    for number in [prediction.output, prediction.score].into_iter().flatten() {
        out.extend_from_slice(&number.to_be_bytes());
    }
    put_number(&mut out, prediction.features.len() as u64);
    for feature in &prediction.features {
        out.extend_from_slice(&feature.to_be_bytes());
    }
    out
}

/// An empty row to decode into, again and again.
pub(crate) fn blank(target: &TargetId) -> Prediction {
    Prediction {
        target: target.clone(),
        request_id: String::new(),
        at: Timestamp(0),
        bundle: Digest([0; 32]),
        generation: Generation(0),
        unit: 0,
        latency_us: 0,
        error: false,
        features: vec![],
        output: None,
        score: None,
    }
}

/// Decodes over a former row, whose room is used again.
pub(crate) fn decode(
    row: &mut Prediction,
    place: &[u8],
    bytes: &[u8],
    bundles: &[Digest],
) -> Result<(), Malformed> {
    let mut reader = Reader::new(place);
    reader.take(4)?;
    row.at = Timestamp(u64::from_be_bytes(reader.array()?));
    row.request_id.clear();
    match reader.byte()? {
        UUID => put_uuid(&mut row.request_id, reader.array()?),
        TEXT => row.request_id.push_str(std::str::from_utf8(reader.rest()).map_err(|_| Malformed("text"))?),
        _ => return Err(Malformed("a kind of request id")),
    }
    reader.end()?;

    let mut reader = Reader::new(bytes);
    let flags = reader.byte()?;
    row.error = flags & ERROR != 0;
    row.bundle = *bundles.get(reader.small()? as usize).ok_or(Malformed("a known bundle"))?;
    row.generation = Generation(reader.number()?);
    row.unit = u64::from_be_bytes(reader.array()?);
    row.latency_us = reader.small()?;
    let mut number = |flag| {
        let present = flags & flag != 0;
        present.then(|| reader.array().map(f64::from_be_bytes)).transpose()
    };
    row.output = number(OUTPUT)?;
    row.score = number(SCORE)?;
    row.features.clear();
    let count = reader.number()?;
    let features = reader.rest();
    if count.checked_mul(4) != Some(features.len() as u64) {
        return Err(Malformed("as many features as the row says"));
    }
    let features = features.as_chunks::<4>().0;
    row.features.extend(features.iter().map(|feature| f32::from_be_bytes(*feature)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_come_back_as_they_were_written() {
        let target = TargetId::parse("flights@production").unwrap();
        let bundles = [Digest::of(b"bundle")];
        let plain = "0198f2c4-0000-7abc-8def-00112233aabb";
        let upper = plain.to_uppercase();
        for (id, bytes) in [(plain, 17), (upper.as_str(), 37), ("", 1), ("é\0", 4), (&plain[1..], 36)] {
            let key = request_key(9, id);
            assert_eq!(key.len(), 4 + bytes, "{id}");
            let given = Prediction { request_id: id.to_owned(), bundle: bundles[0], ..blank(&target) };
            let mut row = blank(&target);
            decode(&mut row, &place(9, Timestamp(0), &key), &encode(&given, 0), &bundles).unwrap();
            assert_eq!(row, given);
        }
    }

    #[test]
    fn damaged_rows_are_refused() {
        let target = TargetId::parse("flights@production").unwrap();
        let given = Prediction { features: vec![1.0; 3], output: Some(0.5), ..blank(&target) };
        let bytes = encode(&given, 0);
        let place = place(9, Timestamp(0), &request_key(9, "a"));
        let mut row = blank(&target);
        for cut in 0..bytes.len() {
            assert!(decode(&mut row, &place, &bytes[..cut], &[given.bundle]).is_err(), "cut at {cut}");
        }
        assert!(decode(&mut row, &place, &bytes, &[]).is_err(), "an unknown bundle");
    }
}
