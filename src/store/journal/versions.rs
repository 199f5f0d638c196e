//! The newest version of each stream while a log is checked, in bounded memory.
//!
//! A log may have more streams than memory should hold. When there are too many, half of them are dropped, told apart by
//! bits of their key; those that were dropped have their turn when the log is read once more.

use std::collections::HashMap;

use crate::ids::StreamId;

/// Streams that are held at once: some 50 MiB.
const STREAMS_MAX: usize = 1 << 20;

/// The streams of one part, with their newest versions.
#[derive(Debug)]
pub(super) struct Versions {
    newest: HashMap<u128, u64>,
    /// A stream belongs to this part when the lowest bits of its key say so.
    part: u128,
    bits: u32,
    max: usize,
    /// Events that were pruned so far.
    pub(super) pruned: u64,
    /// Versions that are missing so far: at most as many as were pruned.
    missing: u64,
}

impl Default for Versions {
    fn default() -> Self {
        Self::with_max(STREAMS_MAX)
    }
}

impl Versions {
    fn with_max(max: usize) -> Self {
        Self { newest: HashMap::new(), part: 0, bits: 0, max, pruned: 0, missing: 0 }
    }

    fn has(&self, key: u128) -> bool {
        key & ((1 << self.bits) - 1) == self.part
    }

    /// Notes `version` of `stream`; the error is the version that had to come.
    pub(super) fn follow(&mut self, stream: &StreamId, version: u64) -> Result<(), u64> {
        let key = key_of(stream);
        if !self.has(key) {
            return Ok(());
        }
        let newest = self.newest.entry(key).or_default();
        let expected = *newest + 1;
        // What was pruned no longer says whose it was, so gaps are held against their number.
        self.missing += version.saturating_sub(expected);
        if version < expected || self.missing > self.pruned {
            return Err(expected);
        }
        *newest = version;
        // Only the first part finds out how many parts there are.
        if self.part == 0 && self.newest.len() > self.max {
            self.bits += 1;
            let mask = (1 << self.bits) - 1;
            self.newest.retain(|key, _| key & mask == 0);
        }
        Ok(())
    }

    /// The part that comes after this one; none after the last.
    pub(super) fn rest(&self) -> Option<Self> {
        let part = self.part + 1;
        (part < 1 << self.bits).then(|| Self {
            newest: HashMap::new(),
            part,
            bits: self.bits,
            max: self.max,
            pruned: 0,
            missing: 0,
        })
    }
}

/// A number that no other stream has, as far as a hash can promise it.
fn key_of(stream: &StreamId) -> u128 {
    let hash = blake3::hash(stream.to_string().as_bytes());
    let mut half = [0; 16];
    half.copy_from_slice(&hash.as_bytes()[..16]);
    u128::from_le_bytes(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(count: u64) -> Vec<StreamId> {
        (0..count).map(|n| format!("interface/i{n}").parse().unwrap()).collect()
    }

    /// Reads a log of `count` streams with two events each; answers how often, and the first version that is wrong.
    fn read(count: u64, max: usize, wrong: Option<usize>) -> (u32, Option<(usize, u64)>) {
        let mut versions = Versions::with_max(max);
        let mut passes = 0;
        loop {
            passes += 1;
            for (at, stream) in streams(count).iter().enumerate() {
                versions.follow(stream, 1).unwrap();
                let second = if wrong == Some(at) { 3 } else { 2 };
                if let Err(expected) = versions.follow(stream, second) {
                    return (passes, Some((at, expected)));
                }
            }
            assert!(versions.newest.len() <= max * 2, "{}", versions.newest.len());
            match versions.rest() {
                Some(rest) => versions = rest,
                None => return (passes, None),
            }
        }
    }

    #[test]
    fn each_stream_is_followed_in_one_of_the_passes() {
        assert_eq!(read(100, 1_000, None), (1, None));
        let (passes, wrong) = read(100, 20, None);
        assert!(passes >= 4, "{passes}");
        assert_eq!(wrong, None);
        for at in 0..100 {
            assert_eq!(read(100, 20, Some(at)).1, Some((at, 2)), "stream {at}");
        }
    }
}
