//! `daybook doctor`.

use super::client::{Address, shaped};
use super::context::Context;
use super::doctor_local::{examine, may_help};
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::render::Tone;
use super::table::{Cell, Rows, short, text, whole};
use crate::http::api::doctor::{Doctor, Finding};

/// Shows all checks, and how to mend what they found. Without the daemon: what can be told from here.
///
/// # Errors
/// A check failed (1), or a daemon elsewhere cannot be reached.
pub async fn run(context: &mut Context<'_>) -> Outcome {
    let value = match context.get(&Address::of(&["api", "doctor"])).await {
        Err(absent) if may_help(&absent, context) => {
            serde_json::to_value(examine(&absent, context)).map_err(|err| {
                Failure::new(Exit::Failed, "the answer cannot be written").because(&err)
            })?
        }
        answer => answer?,
    };
    let doctor: Doctor = shaped(&value)?;
    if context.out.json {
        context.out.document(&value)?;
    } else {
        shown(&doctor, context)?;
    }
    if doctor.ok { Ok(()) } else { Err(Failure::silent(Exit::Failed)) }
}

fn shown(doctor: &Doctor, context: &mut Context<'_>) -> Outcome {
    let mut rows = Rows::new(&[whole(""), short("CHECK", 30), text("FOUND")]);
    for check in &doctor.checks {
        let (tone, word) = match check.state {
            Finding::Ok => (Tone::Good, "ok"),
            Finding::Warn => (Tone::Odd, "warn"),
            Finding::Fail => (Tone::Bad, "fail"),
        };
        let name = Cell::from(&check.name);
        rows.add(&[Cell::toned(tone, word), name, Cell::from(&check.detail)]);
    }
    context.out.table(&rows)?;
    for check in &doctor.checks {
        if let Some(fix) = &check.fix {
            context.out.text("", Tone::Plain, &format!("{}: {fix}", check.name))?;
        }
    }
    Ok(())
}
