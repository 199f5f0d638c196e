//! What a query for re-runs passes over: that somebody or something has dealt with an execution, or a newer run of it
//! exists. Whoever names it by its id, or forces it, means it all the same.

use std::collections::{BTreeMap, BTreeSet};

use crate::http::problem::{Code, Problem};
use crate::http::reads::Reads;
use crate::ids::ExecutionId;
use crate::projection::view::{Execution, Status};

/// Why some of `rows`, which a query found, are not run again.
///
/// # Errors
/// The lists cannot be read.
pub(super) async fn passed_over(
    reads: &Reads,
    rows: &[Execution],
) -> Result<BTreeMap<ExecutionId, Problem>, Problem> {
    let found: BTreeSet<ExecutionId> = rows.iter().map(|row| row.id).collect();
    let mut passed = BTreeMap::new();
    for row in rows {
        let why = match dealt_with(row) {
            Some(why) => Some(why),
            None => newer(reads, row, &found)
                .await?
                .map(|id| (format!("`{id}` is a newer run of it"), Some(id))),
        };
        let Some((why, by)) = why else { continue };
        let problem = Problem::new(Code::NotOpen, why);
        let problem = match by {
            Some(id) => problem.with_execution(id),
            None => problem,
        };
        passed.insert(row.id, problem);
    }
    Ok(passed)
}

/// Why a KO is no longer open (contract, rule 5), and the execution that made it so.
fn dealt_with(row: &Execution) -> Option<(String, Option<ExecutionId>)> {
    if row.status != Status::Ko {
        return None;
    }
    match (row.solved_by, row.superseded_by, &row.acknowledged) {
        (Some(by), _, _) => Some((format!("it is solved by `{by}`"), Some(by))),
        (None, Some(by), _) => Some((format!("a later slot ended ok: `{by}`"), Some(by))),
        (None, None, Some(seen)) => Some((format!("{} acknowledged it", seen.actor), None)),
        (None, None, None) => None,
    }
}

/// The newest run of the same root after `row`. A cancelled one counts only when the query found it: it tried nothing.
async fn newer(
    reads: &Reads,
    row: &Execution,
    found: &BTreeSet<ExecutionId>,
) -> Result<Option<ExecutionId>, Problem> {
    let chain = if row.root == row.id {
        row.reruns.clone()
    } else {
        known(reads, row.root).await?.map(|root| root.reruns).unwrap_or_default()
    };
    for id in chain.into_iter().rev().take_while(|id| *id != row.id) {
        let counts = found.contains(&id)
            || known(reads, id).await?.is_some_and(|run| run.status != Status::Cancelled);
        if counts {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// An execution, unless retention has removed it.
async fn known(reads: &Reads, id: ExecutionId) -> Result<Option<Execution>, Problem> {
    match reads.execution(id).await {
        Ok(execution) => Ok(Some(execution)),
        Err(problem) if problem.code() == Code::NotFound => Ok(None),
        Err(problem) => Err(problem),
    }
}
