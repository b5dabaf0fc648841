//! Drops dead letters, oldest first, as Kafka can. Of no other topic anything is ever dropped by hand.

use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::Error;
use super::asked::{ANSWERED_WITHIN, admin, options, wait};
use crate::{Settings, Topic};

/// Drops all dead letters of a partition before an offset. Gives the first one that is kept.
pub fn drop_letters_before(settings: &Settings, partition: u32, offset: u64) -> Result<u64, Error> {
    let refused = |why: String| Error::Refused { what: "drop dead letters", why };
    let name = Topic::DeadLetters.name(&settings.prefix);
    let mut offsets = TopicPartitionList::with_capacity(1);
    let asked = offsets.add_partition_offset(&name, partition as i32, Offset::Offset(offset as i64));
    asked.map_err(|error| refused(error.to_string()))?;
    let answered =
        wait(admin(settings)?.delete_records(&offsets, &options(ANSWERED_WITHIN)), ANSWERED_WITHIN)
            .ok_or_else(|| refused("no answer in time".into()))?
            .map_err(|error: KafkaError| refused(error.to_string()))?;
    let found = answered.find_partition(&name, partition as i32);
    let found = found.ok_or_else(|| refused("no answer for it".into()))?;
    found.error().map_err(|error| refused(error.to_string()))?;
    match found.offset() {
        Offset::Offset(low) => Ok(low as u64),
        other => Err(refused(format!("{other:?}"))),
    }
}
