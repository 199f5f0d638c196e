//! Follows the log's chain frame by frame: what recovery and `verify` check in the same way.

use super::format::{Content, FrameHeader, Hash, Record, SegmentHeader, chain};

/// Where the log stands after what was followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Walk {
    /// The position of the last event; 0 before the first.
    pub(super) position: u64,
    /// The chain hash after it.
    pub(super) chain: Hash,
}

impl Walk {
    pub(super) const START: Self = Self { position: 0, chain: [0; 32] };

    /// Checks that a segment goes on where the one before ended.
    pub(super) fn enter(&self, header: &SegmentHeader) -> Result<(), String> {
        if header.first != self.position + 1 {
            return Err(format!(
                "the segment begins with position {}, expected {}",
                header.first,
                self.position + 1
            ));
        }
        if header.previous != self.chain {
            return Err(
                "the segment does not follow from the one before it: the hashes differ".to_owned()
            );
        }
        Ok(())
    }

    /// Checks that a frame goes on where the one before ended, and hands what stands for each event to `each`. A run
    /// of pruned frames has nothing to hand over.
    pub(super) fn frame(
        &mut self,
        header: &FrameHeader,
        body: &[u8],
        mut each: impl FnMut(u64, Content<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        if header.first != self.position + 1 || header.synced > self.position {
            return Err(format!(
                "the frame begins with position {} after {}, expected {}",
                header.first,
                header.synced,
                self.position + 1
            ));
        }
        if let Some(before) = header.run_after {
            if before != self.chain {
                return Err(format!(
                    "the pruned events {} to {} do not follow from the hash before them",
                    header.first,
                    header.last()
                ));
            }
            *self = Self { position: header.last(), chain: header.chain };
            return Ok(());
        }
        let mut rest = body;
        let mut hashes = Vec::new();
        for position in header.first..=header.last() {
            let record =
                Record::cut(rest).ok_or_else(|| format!("event {position} is not in its frame"))?;
            if !record.is_sound() {
                return Err(format!("the checksum of event {position} is wrong"));
            }
            hashes.push(record.content.hash());
            each(position, record.content)?;
            rest = record.rest;
        }
        if !rest.is_empty() {
            return Err(format!("{} bytes follow event {}", rest.len(), header.last()));
        }
        if chain(&self.chain, &hashes) != header.chain {
            return Err(format!(
                "the hash of events {} to {} does not follow from the hash before",
                header.first,
                header.last()
            ));
        }
        *self = Self { position: header.last(), chain: header.chain };
        Ok(())
    }
}
