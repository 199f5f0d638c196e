//! Schedules that follow others: a slot for each of theirs, decided by how its execution ends, or by the deadline.

use std::collections::{BTreeMap, BTreeSet};

use super::super::append::{Append, Own, outcome_of};
use super::super::rules::{DEPENDENCY, PassedOver, START};
use super::super::story::When;
use super::super::{Checked, ensure};
use super::Ledger;
use crate::domain::event::{Anchor, SlotsPassed, Trigger};
use crate::ids::{ExecutionId, ScheduleRef};
use crate::instant::Instant;

impl Ledger {
    /// Reads what an append says of a schedule that follows another one, which passed over `passes`.
    pub(super) fn read_follower(
        &mut self,
        append: &Append<'_>,
        id: &ScheduleRef,
        (own, passes): (&[Own<'_>], &[&SlotsPassed]),
    ) -> Checked {
        let Some(Some(spec)) = self.schedules.get(id).map(|known| known.spec.clone()) else {
            return Ok(());
        };
        let When::After { of, outcome, deadline_s } = &spec.when else { return Ok(()) };
        let at = append.at.millis();
        let nothing = |_| PassedOver::No;
        let mut situation = self.situation(id, &spec, &nothing);
        let known = &self.schedules[id];
        let mut must: BTreeMap<i64, Vec<&'static str>> = BTreeMap::new();
        let awaiting = known.awaiting.iter();
        let may: BTreeSet<i64> =
            awaiting.filter(|(_, (_, deadline))| at >= *deadline).map(|(slot, _)| *slot).collect();
        for ended in append.ended.iter().filter(|end| end.schedule == *of && end.meets(outcome)) {
            let slot = known.awaiting.iter().find(|(_, (execution, _))| *execution == ended.root);
            if let Some((slot, _)) = slot.filter(|(slot, _)| !may.contains(slot)) {
                let outcome = situation.delivered(at);
                must.insert(*slot, vec![outcome]);
                situation.open |= outcome == START;
            }
        }
        let mut cursor = known.cursor;
        for passed in passes {
            for slot in passed.instants.iter().map(|slot| slot.millis()) {
                if cursor < slot && known.is_new(slot) {
                    must.insert(slot, situation.not_run(at));
                }
            }
            cursor = cursor.max(passed.last.millis());
        }
        let mut awaits: BTreeMap<i64, (ExecutionId, i64)> = append
            .openings()
            .filter(|(_, opened)| opened.schedule == *of && opened.rerun_of.is_none())
            .map(|(open, opened)| (opened.slot.unwrap_or_else(|| open.instant()).millis(), open))
            .filter(|(slot, _)| known.is_new(*slot))
            .map(|(slot, open)| {
                (slot, (open, at + i64::try_from(deadline_s * 1000).expect("small")))
            })
            .collect();
        let leaves = |own: &Own<'_>| {
            let anew = |why: &Anchor| *why != Anchor::Clock;
            matches!(own, Own::Removed) || matches!(own, Own::Anchored(why, _) if anew(why))
        };
        if own.iter().any(leaves) {
            let waits = known.awaiting.keys().chain(awaits.keys());
            let waits = waits.filter(|slot| !must.contains_key(slot));
            let waits: Vec<i64> = waits.copied().collect();
            must.extend(waits.into_iter().map(|slot| (slot, vec![DEPENDENCY])));
        }
        let mut follows = true;
        for event in own {
            if follows {
                self.read_followed(append, id, (event, &mut must, &mut awaits, &may))?;
            } else {
                self.read_event(append, id, (event, &[]))?;
            }
            follows &= !leaves(event);
        }
        ensure(must.is_empty(), || format!("at {} expected {must:?}", append.at))?;
        ensure(awaits.is_empty(), || format!("at {} does not await {awaits:?}", append.at))
    }

    #[expect(clippy::type_complexity, reason = "what is expected, named where it is made")]
    fn read_followed(
        &mut self,
        append: &Append<'_>,
        id: &ScheduleRef,
        (event, must, awaits, may): (
            &Own<'_>,
            &mut BTreeMap<i64, Vec<&'static str>>,
            &mut BTreeMap<i64, (ExecutionId, i64)>,
            &BTreeSet<i64>,
        ),
    ) -> Checked {
        let decided: Vec<(i64, String)> = match event {
            Own::Started(slot, opened) => {
                let outcome = if opened.trigger == Trigger::After { START } else { "odd" };
                vec![(slot.millis(), outcome.to_owned())]
            }
            Own::Passed(passed) => {
                let outcome = outcome_of(passed);
                passed.instants.iter().map(|slot| (slot.millis(), outcome.clone())).collect()
            }
            Own::Awaited(slot, execution, deadline) => {
                let expected = awaits.remove(slot);
                ensure(expected == Some((*execution, *deadline)), || {
                    format!("awaits {slot} until {deadline}, expected {expected:?}")
                })?;
                if let Some(known) = self.schedules.get_mut(id) {
                    known.awaiting.insert(*slot, (*execution, *deadline));
                }
                return Ok(());
            }
            Own::Anchored(..) | Own::Removed | Own::Paused(_) | Own::Resumed => {
                return self.read_event(append, id, (event, &[])).map(|_| ());
            }
        };
        for (slot, outcome) in decided {
            let late = may.contains(&slot).then(|| vec![DEPENDENCY]);
            let expected = must.remove(&slot).or(late).unwrap_or_default();
            ensure(expected.contains(&outcome.as_str()), || {
                format!("{} is {outcome}, expected {expected:?}", Instant::from_millis(slot))
            })?;
            self.decided += 1;
            self.schedules.get_mut(id).map_or(Ok(()), |known| known.decide(id, slot, append.at))?;
        }
        Ok(())
    }
}
