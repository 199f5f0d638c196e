//! Pages of lists that may be long: executions, events, a schedule's slots.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::client::{Address, shaped};
use super::context::Context;
use super::failure::Outcome;
use super::table::{Cell, Column, Rows};
use crate::projection::view::Page;

/// Which page of a list.
#[derive(Clone, Debug, clap::Args)]
pub struct Paging {
    /// Rows at most, 1 to 1000
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub limit: u16,
    /// `next` of the page before
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
}

impl Paging {
    /// Reads the page of the list at `address` and shows it: as it came, or as a table of `columns`, with a row of `cells` for each item.
    /// Gives what came.
    ///
    /// # Errors
    /// The daemon cannot be reached, or refuses.
    pub async fn show<T: DeserializeOwned>(
        &self,
        address: Address,
        columns: &[Column],
        cells: impl Fn(&T, &Context<'_>) -> Vec<Cell>,
        context: &mut Context<'_>,
    ) -> Outcome<Value> {
        let address = address
            .with("limit", self.limit.to_string())
            .with_some("cursor", self.cursor.as_deref());
        let value = context.get(&address).await?;
        if context.out.json {
            context.out.document(&value)?;
            return Ok(value);
        }
        let page: Page<T> = shaped(&value)?;
        let mut rows = Rows::new(columns);
        for item in &page.items {
            rows.add(&cells(item, context));
        }
        context.out.table(&rows)?;
        if page.items.is_empty() {
            context.out.message("nothing fits")?;
        }
        if let Some(cursor) = page.next {
            context.out.message(format!("there are more: --cursor {cursor}"))?;
        }
        Ok(value)
    }
}
