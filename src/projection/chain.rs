//! Re-run chains: all re-runs under one root, in the order of their opening.

use super::bytes::{Reader, Writer};
use super::keys;
use super::rows::{Overlay, RowError, Rows};
use crate::ids::{ExecutionId, Position};

/// Members in one row at most: 36 bytes each.
const PART_MEMBERS: usize = 128;

/// One re-run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) id: ExecutionId,
    /// Its direct parent.
    pub(super) parent: ExecutionId,
    /// The position of its `Closed` when that was ok.
    pub(super) ok_at: Option<Position>,
}

fn encode(members: &[Member]) -> Vec<u8> {
    let mut to = Writer::with_capacity(members.len() * 36);
    for member in members {
        to.id(member.id);
        to.id(member.parent);
        to.number(member.ok_at.map_or(0, |position| position.0));
    }
    to.finish()
}

fn decode(bytes: &[u8]) -> Result<Vec<Member>, RowError> {
    let mut from = Reader::new(bytes, "a re-run chain");
    let mut members = Vec::new();
    while !from.is_done() {
        let (id, parent, ok_at) = (from.id()?, from.id()?, from.number()?);
        members.push(Member { id, parent, ok_at: (ok_at > 0).then_some(Position(ok_at)) });
    }
    Ok(members)
}

/// All re-runs under `root`, oldest first.
pub(super) fn members<R: Rows>(rows: &R, root: ExecutionId) -> Result<Vec<Member>, RowError> {
    let prefix = keys::chain(root);
    let mut parts = Vec::new();
    let mut failed = None;
    rows.scan_back(&prefix, &keys::after_numbered(&prefix, u64::MAX), &mut |_key, value| {
        match decode(value) {
            Ok(part) => {
                parts.push(part);
                std::ops::ControlFlow::Continue(())
            }
            Err(err) => {
                failed = Some(err);
                std::ops::ControlFlow::Break(())
            }
        }
    })?;
    failed.map_or_else(|| Ok(parts.into_iter().rev().flatten().collect()), Err)
}

/// The descendants of `id`, oldest first.
pub(super) fn descendants(members: &[Member], id: ExecutionId) -> Vec<Member> {
    let mut found: Vec<Member> = Vec::new();
    for member in members {
        if member.parent == id || found.iter().any(|known| known.id == member.parent) {
            found.push(*member);
        }
    }
    found
}

/// The descendant that ended ok, the first one of several.
pub(super) fn solver(descendants: &[Member]) -> Option<ExecutionId> {
    descendants
        .iter()
        .filter_map(|member| member.ok_at.map(|at| (at, member.id)))
        .min()
        .map(|(_, id)| id)
}

/// Adds a re-run to its chain.
pub(super) fn join<R: Rows>(
    rows: &mut Overlay<R>,
    root: ExecutionId,
    member: Member,
) -> Result<(), RowError> {
    let prefix = keys::chain(root);
    let last = rows.last_in(&prefix, &keys::after_numbered(&prefix, u64::MAX))?;
    let (key, mut part) = match last {
        None => (keys::numbered(&prefix, 0), Vec::new()),
        Some((key, value)) => {
            let part = decode(&value)?;
            if part.len() < PART_MEMBERS {
                (key, part)
            } else {
                let number = keys::last_number(&key).unwrap_or(0);
                (keys::numbered(&prefix, number + 1), Vec::new())
            }
        }
    };
    part.push(member);
    rows.put(key, encode(&part));
    Ok(())
}

/// Forgets the chain under `root`.
pub(super) fn forget<R: Rows>(rows: &mut Overlay<R>, root: ExecutionId) -> Result<(), RowError> {
    let prefix = keys::chain(root);
    let end = keys::after_numbered(&prefix, u64::MAX);
    while let Some((key, _)) = rows.last_in(&prefix, &end)? {
        rows.delete(key);
    }
    Ok(())
}

/// Takes note that the re-run `id` ended ok.
pub(super) fn ended_ok<R: Rows>(
    rows: &mut Overlay<R>,
    root: ExecutionId,
    id: ExecutionId,
    at: Position,
) -> Result<(), RowError> {
    let prefix = keys::chain(root);
    let mut end = keys::after_numbered(&prefix, u64::MAX);
    while let Some((key, value)) = rows.last_in(&prefix, &end)? {
        let mut part = decode(&value)?;
        if let Some(member) = part.iter_mut().find(|member| member.id == id) {
            member.ok_at = Some(at);
            rows.put(key, encode(&part));
            return Ok(());
        }
        end = key;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instant::Instant;
    use crate::projection::rows::MemoryRows;

    fn id(number: u16) -> ExecutionId {
        let mut entropy = [0; 10];
        entropy[8..].copy_from_slice(&number.to_be_bytes());
        ExecutionId::random(Instant::from_secs(0), entropy)
    }

    #[test]
    fn three_hundred_reruns_of_each_other_are_all_descendants_of_the_first() {
        let mut rows = Overlay::new(MemoryRows::default());
        for number in 1..=300 {
            let member = Member { id: id(number), parent: id(number - 1), ok_at: None };
            join(&mut rows, id(0), member).expect("rows are sound");
        }
        ended_ok(&mut rows, id(0), id(17), Position(99)).expect("rows are sound");
        let all = members(&rows, id(0)).expect("rows are sound");
        assert_eq!(all.len(), 300);
        assert_eq!(descendants(&all, id(290)).len(), 10);
        assert_eq!(solver(&descendants(&all, id(16))), Some(id(17)));
        assert_eq!(solver(&descendants(&all, id(17))), None);
    }
}
