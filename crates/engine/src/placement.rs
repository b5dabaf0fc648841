//! Which partition a target lives in. Named and fixed for a log's life: the same function decides where a
//! producer writes and what an engine accepts.

use domain::name::TargetId;

/// The name of the partitioner, as configuration and documents show it.
pub const PARTITIONER: &str = "fnv1a-64";

/// FNV-1a (64 bits) over the text `model@environment`, modulo the number of partitions.
pub fn partition_of(target: &TargetId, partitions: u32) -> u32 {
    let text = target.to_string();
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash % u64::from(partitions.max(1))) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_stays_in_its_partition_for_ever() {
        let place = |text: &str| partition_of(&TargetId::parse(text).unwrap(), 16);
        let places = ["fraud@production", "flights@production", "a@b", "a@c"].map(place);
        assert_eq!(places, [4, 11, 2, 5], "a changed partitioner loses every log there is");
        assert_eq!(partition_of(&TargetId::parse("a@b").unwrap(), 1), 0);
    }
}
