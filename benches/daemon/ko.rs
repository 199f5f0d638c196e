//! The list that an operator opens first: the newest failures.

use serde_json::Value;
use tokio::time::Instant as Stopwatch;

use crate::binary::Home;
use crate::history::PER_EXECUTION;
use crate::{Outcome, Place, figure, files, past};

const EXECUTIONS: u64 = 100_000;
const LIMIT: usize = 100;
const REQUESTS: usize = 51;

pub(crate) fn measure(place: &Place) -> Outcome<()> {
    let home = Home::new(&place.own)?;
    files::define_at_rest(&home, files::HUNDRED)?;
    past::give(&home, place, EXECUTIONS * PER_EXECUTION)?;
    home.start_and_stop()?;
    let daemon = home.start(&[])?;
    daemon.until_indexed()?;
    let mut client = daemon.client()?;
    let mut taken_ms = Vec::new();
    for _ in 0..REQUESTS {
        let began = Stopwatch::now();
        let page = client.text(&format!("/api/executions?status=ko&limit={LIMIT}"))?;
        taken_ms.push(began.elapsed().as_secs_f64() * 1e3);
        let page: Value = serde_json::from_str(&page)?;
        let rows = page["items"].as_array().ok_or("no list of executions")?;
        if rows.len() != LIMIT || rows.iter().any(|row| row["status"] != "ko") {
            return Err("the list is not what was asked for".into());
        }
    }
    daemon.stop()?;
    let name = "last 100 KO of 100,000 executions, ms";
    figure::value(name, figure::median(&taken_ms), "(wanted: 5.00 or less)");
    figure::value("  the slowest of 51, ms", figure::worst(&taken_ms), "");
    Ok(())
}
