//! What must be so of the engine itself whenever it has nothing left to do.

use super::{Checked, Envelope, Lived, World, codec, ensure, go_on, mixed, oneshot};
use crate::clock::Clock;
use crate::engine::board::BoardState;
use crate::engine::ready::Occupancy;
use crate::engine::state::State;
use crate::ids::Position;

/// What an engine looks like from inside.
struct Inside {
    state: State,
    occupancy: Checked<Occupancy>,
    /// The rows that readers would see if all of them were made anew.
    rows: Vec<String>,
}

/// Rows without the definitions, which are in the state.
fn rows(board: &BoardState) -> Vec<String> {
    let interfaces = board.interfaces.iter().map(|(id, row)| {
        let (version, state, paused) = (row.definition_version, row.state, &row.paused);
        format!("{id} {version} {state:?} {paused:?} {} {:?}", row.red, row.last_ok_at)
    });
    let schedules = board.schedules.iter().map(|(id, row)| {
        let (state, paused, next, last) = (row.state, &row.paused, row.next, &row.last);
        format!("{id} {state:?} {paused:?} {next:?} {last:?} {:?} {:?}", row.red, row.last_ok_at)
    });
    let open = board.open.iter().map(|(id, row)| format!("{id} {row:?}"));
    interfaces.chain(schedules).chain(open).collect()
}

impl World {
    /// `whole` also looks at what readers see.
    pub(super) async fn check(&mut self, whole: bool) -> Checked {
        match self.look_inside(whole).await {
            Ok(()) => Ok(()),
            Err(cut) => Err(cut.into()),
        }
    }

    async fn look_inside(&mut self, whole: bool) -> Lived {
        let now = self.clock.now();
        self.ledger.check_quiet(now)?;
        let (reply, answer) = oneshot::channel();
        go_on(&self.daemon()?.news, move |engine| {
            let mut board = BoardState::default();
            if whole {
                engine.patch_all().apply(&mut board, Position(0));
            }
            drop(reply.send(Inside {
                state: engine.state().clone(),
                occupancy: engine.ready.occupancy(),
                rows: rows(&board),
            }));
        });
        let inside = self.wait(answer).await?.map_err(|_gone| "the engine has ended".to_owned())?;
        ensure(inside.state == self.folded, || {
            let (state, folded) = (format!("{:#?}", inside.state), format!("{:#?}", self.folded));
            let (state, folded): (Vec<_>, Vec<_>) =
                (state.lines().collect(), folded.lines().collect());
            let only = |these: &[&str], those: &[&str]| -> Vec<String> {
                these
                    .iter()
                    .filter(|line| !those.contains(line))
                    .map(|line| line.trim().to_owned())
                    .collect()
            };
            let (here, there) = (only(&state, &folded), only(&folded, &state));
            format!("the state has {here:?} where the log folds to {there:?}")
        })?;
        for (id, cursor) in self.ledger.cursors() {
            let known = inside.state.schedules.get(&id).and_then(|schedule| schedule.cursor);
            ensure(known == Some(cursor), || format!("{id}: cursor {known:?}, expected {cursor}"))?;
        }
        let occupancy = inside.occupancy?;
        let turns = &self.ledger.turns;
        let expected = Occupancy {
            queued: turns.queued(),
            running: turns.running_of().values().map(|count| *count as usize).sum(),
            running_of: turns.running_of(),
            held: turns.held(),
        };
        ensure(occupancy == expected, || format!("{occupancy:?}, expected {expected:?}"))?;
        if whole {
            let shown = self.daemon()?.board.read(rows);
            ensure(shown == inside.rows, || {
                format!("readers see\n{shown:#?}\nand should see\n{:#?}", inside.rows)
            })?;
            self.note_checkpoint()?;
        }
        Ok(())
    }

    /// Writes a checkpoint now and then.
    fn note_checkpoint(&mut self) -> Checked {
        if mixed(&[self.story.seed, self.read]).is_multiple_of(3) {
            let mut bytes = Vec::new();
            codec::pack(&self.folded, &mut bytes)?;
            self.checkpoint = Some((self.read, bytes));
        }
        Ok(())
    }

    /// What the log says at its end, a line for each event.
    pub(super) fn newest_events(&self) -> String {
        let shown = self.disk.since(self.disk.durable_count().saturating_sub(24));
        let lines = shown.iter().map(|envelope| {
            let Envelope { position, at, stream, event, .. } = envelope;
            let text: String = format!("{event:?}").chars().take(200).collect();
            format!("  {} {at} {stream}: {text}", position.0)
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}
