//! What is due when: slots, deadlines and retries of many keys in one queue.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use crate::instant::Instant;

/// A queue with at most one instant for each key, ordered by instant and then by arrival.
///
/// Entries that fall on one instant share a bucket, so a herd of a hundred thousand pops in one go. An entry that is replaced or
/// removed stays in its bucket as dead weight until the bucket goes or has more dead entries than live ones.
#[derive(Debug)]
pub struct SlotQueue<K> {
    buckets: BTreeMap<Instant, Bucket<K>>,
    current: HashMap<K, (Instant, u64)>,
    generation: u64,
}

#[derive(Debug)]
struct Bucket<K> {
    entries: Vec<(K, u64)>,
    live: usize,
}

impl<K> Default for SlotQueue<K> {
    fn default() -> Self {
        Self { buckets: BTreeMap::new(), current: HashMap::new(), generation: 0 }
    }
}

impl<K: Clone + Eq + Hash> SlotQueue<K> {
    /// Puts `key` at `at`, instead of where it was.
    pub fn push(&mut self, at: Instant, key: K) {
        if self.current.get(&key).is_some_and(|(before, _)| *before == at) {
            return;
        }
        self.generation += 1;
        let generation = self.generation;
        if let Some((before, _)) = self.current.insert(key.clone(), (at, generation)) {
            self.bury(before);
        }
        let bucket =
            self.buckets.entry(at).or_insert_with(|| Bucket { entries: Vec::new(), live: 0 });
        bucket.entries.push((key, generation));
        bucket.live += 1;
    }

    /// Takes `key` out. Says where it was.
    pub fn remove(&mut self, key: &K) -> Option<Instant> {
        let (at, _) = self.current.remove(key)?;
        self.bury(at);
        Some(at)
    }

    /// Takes out all that is due at `now`, the oldest first.
    pub fn pop_due(&mut self, now: Instant) -> Vec<(Instant, K)> {
        let mut due = Vec::new();
        while let Some(first) = self.buckets.first_entry().filter(|first| *first.key() <= now) {
            let (at, bucket) = first.remove_entry();
            due.reserve(bucket.live);
            for (key, generation) in bucket.entries {
                if self.current.get(&key) == Some(&(at, generation)) {
                    self.current.remove(&key);
                    due.push((at, key));
                }
            }
        }
        due
    }

    /// The earliest instant in the queue.
    pub fn next_at(&self) -> Option<Instant> {
        self.buckets.first_key_value().map(|(at, _)| *at)
    }

    /// Counts one entry of the bucket as dead; buckets without live ones go, so the first bucket is always due at its instant.
    fn bury(&mut self, at: Instant) {
        const FEW: usize = 16;
        let Some(bucket) = self.buckets.get_mut(&at) else { return };
        bucket.live -= 1;
        if bucket.live == 0 {
            self.buckets.remove(&at);
        } else if bucket.entries.len() > 2 * bucket.live + FEW {
            let current = &self.current;
            bucket.entries.retain(|(key, generation)| current.get(key) == Some(&(at, *generation)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Instant {
        Instant::from_secs(secs)
    }

    #[test]
    fn what_is_due_pops_by_instant_and_then_by_arrival() {
        let mut queue = SlotQueue::default();
        for (secs, key) in [(20, "c"), (10, "b"), (20, "a"), (30, "d")] {
            queue.push(at(secs), key);
        }
        assert_eq!(queue.next_at(), Some(at(10)));
        assert_eq!(queue.pop_due(at(20)), [(at(10), "b"), (at(20), "c"), (at(20), "a")]);
        assert_eq!((queue.next_at(), queue.current.len()), (Some(at(30)), 1));
    }

    #[test]
    fn nothing_pops_before_its_instant() {
        let mut queue = SlotQueue::default();
        queue.push(Instant::from_millis(10_001), "a");
        assert_eq!(queue.pop_due(at(10)), []);
        assert_eq!(
            queue.pop_due(Instant::from_millis(10_001)),
            [(Instant::from_millis(10_001), "a")]
        );
    }

    #[test]
    fn a_key_pushed_again_leaves_its_earlier_place() {
        let mut queue = SlotQueue::default();
        queue.push(at(10), "a");
        queue.push(at(20), "a");
        assert_eq!((queue.next_at(), queue.current.len()), (Some(at(20)), 1));
        queue.push(at(5), "a");
        assert_eq!(queue.pop_due(at(100)), [(at(5), "a")]);
        assert!(queue.current.is_empty());
    }

    #[test]
    fn a_key_that_comes_back_to_an_instant_pops_once() {
        let mut queue = SlotQueue::default();
        queue.push(at(10), "b");
        queue.push(at(10), "a");
        queue.push(at(20), "a");
        queue.push(at(10), "a");
        assert_eq!(queue.pop_due(at(10)), [(at(10), "b"), (at(10), "a")]);
        assert_eq!(queue.next_at(), None);
    }

    #[test]
    fn a_removed_key_does_not_pop() {
        let mut queue = SlotQueue::default();
        queue.push(at(10), "a");
        queue.push(at(10), "b");
        assert_eq!(queue.remove(&"a"), Some(at(10)));
        assert_eq!(queue.remove(&"a"), None);
        assert_eq!(queue.pop_due(at(10)), [(at(10), "b")]);
    }

    #[test]
    fn dead_entries_do_not_pile_up() {
        let mut queue = SlotQueue::default();
        queue.push(at(10), 0_u32);
        for _ in 0..1000 {
            queue.push(at(10), 1);
            queue.remove(&1);
        }
        let held: usize = queue.buckets.values().map(|bucket| bucket.entries.len()).sum();
        assert!(held < 40, "{held} entries are held for one live key");
    }
}
