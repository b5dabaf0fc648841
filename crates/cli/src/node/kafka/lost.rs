//! What the brokers do not hold any more: records of the log, inputs of lanes. Either stops a partition, and nothing is
//! passed over.

use engine::code::{Code, Stopped};
use engine::partition::Role;
use wire::record::Lane;

use super::driver::{ASK_MAX, Driver, Ended};

impl Driver {
    /// Some partition does not have the records that come next.
    pub(super) fn look_for_gaps(&mut self) -> Result<(), Ended> {
        let bounds = match self.reader.bounds(ASK_MAX) {
            Ok(bounds) => bounds,
            Err(error) => {
                tracing::warn!(%error, "the log's ends are not known yet; they are asked again");
                self.looks_for_gaps = true;
                return Ok(());
            }
        };
        self.looks_for_gaps = false;
        for (partition, (low, high)) in (0..).zip(bounds) {
            let next = self.seats[partition as usize].machine.head().next_offset;
            if next < low || next > high {
                let text =
                    format!("expected the record at offset {next} of the log, but it holds {low} to {high}");
                self.stop(partition, Stopped::new(Code::HistoryGap, text))?;
            }
        }
        Ok(())
    }

    /// Some lane does not hold the input that comes next. What was dropped before anybody took it is gone, and said; a lane
    /// that ends before what was taken would give other inputs under the same offsets.
    pub(super) fn look_at_lanes(&mut self) -> Result<(), Ended> {
        self.looks_at_lanes = false;
        for partition in 0..self.seats.len() as u32 {
            let (Some(owner), seat) = (&self.owner, &self.seats[partition as usize]) else { return Ok(()) };
            if seat.machine.role() != Role::Owning || seat.stopped.is_some() {
                continue;
            }
            let bounds = match owner.lanes.bounds(partition, ASK_MAX) {
                Ok(bounds) => bounds,
                Err(error) => {
                    tracing::warn!(partition, %error, "the ends of the lanes are not known yet; they are asked again");
                    self.looks_at_lanes = true;
                    return Ok(());
                }
            };
            let mut from = seat.next_offsets();
            let mut cut = None;
            for lane in Lane::ALL {
                let (next, (low, high)) = (&mut from[lane.index()], bounds[lane.index()]);
                if *next < low {
                    let dropped = low - *next;
                    tracing::error!(
                        partition,
                        ?lane,
                        dropped,
                        "a lane's retention dropped inputs that were not taken"
                    );
                }
                if *next > high {
                    let text = format!(
                        "expected the {lane:?} to go to offset {next}, up to which they were taken, but they end at {high}: \
                         the brokers lost the newest, which the log has. Once nothing waits in the other partitions, delete \
                         the topic, and make it anew with `modelrail topics create`"
                    );
                    cut.get_or_insert(text);
                }
                *next = low.max(*next);
            }
            if let Some(text) = cut {
                self.stop(partition, Stopped::new(Code::TopicsUnsafe, text))?;
            } else {
                owner.lanes.begin(partition, &from)?;
                self.seats[partition as usize].lanes_begun();
            }
        }
        Ok(())
    }
}
