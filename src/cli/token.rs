//! `daybook token`.

use serde_json::json;

use super::client::{Address, shaped};
use super::context::Context;
use super::failure::Outcome;
use super::table::{Cell, Rows, text, whole};
use crate::http::api::tokens::{CreatedToken, Token};
use crate::projection::view::Page;

/// What can be done with tokens.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Make a token and print it: it is shown this once
    Create(Create),
    /// List the live tokens
    List,
    /// End a token
    Revoke(Revoke),
}

/// A new token.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// What people call it; it stands in events as the actor
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What its holder may do; each role may do all that those before it may
    #[arg(long, default_value = "viewer", value_parser = ["viewer", "operator", "admin"])]
    pub role: String,
}

/// A token to end.
#[derive(Debug, clap::Args)]
pub struct Revoke {
    /// Its short id, as `token list` shows it
    #[arg(value_name = "ID")]
    pub id: String,
}

/// Does it.
///
/// # Errors
/// The daemon cannot be reached, or refuses.
pub async fn run(verb: Verb, context: &mut Context<'_>) -> Outcome {
    match verb {
        Verb::Create(Create { name, role }) => {
            let body = json!({"name": name, "role": role});
            let value = context.post(&Address::of(&["api", "tokens"]), &body).await?;
            if context.out.json {
                return Ok(context.out.document(&value)?);
            }
            let created: CreatedToken = shaped(&value)?;
            context.out.line(&created.token)?;
            Ok(context.out.message(format!(
                "{} `{}` ({}): keep it safe, nobody can show it again; `daybook token revoke {}` ends it",
                created.role, created.name, created.id, created.id
            ))?)
        }
        Verb::List => list(context).await,
        Verb::Revoke(Revoke { id }) => {
            context.delete(&Address::of(&["api", "tokens", &id])).await?;
            if context.out.json {
                return Ok(context.out.document(&json!({"id": id, "revoked": true}))?);
            }
            Ok(context.out.message(format!("token {id} no longer works"))?)
        }
    }
}

async fn list(context: &mut Context<'_>) -> Outcome {
    let value = context.all(&Address::of(&["api", "tokens"])).await?;
    if context.out.json {
        return Ok(context.out.document(&value)?);
    }
    let page: Page<Token> = shaped(&value)?;
    let mut rows = Rows::new(&[whole("ID"), whole("ROLE"), whole("CREATED"), text("NAME")]);
    for token in &page.items {
        rows.add(&[
            Cell::from(&token.id),
            Cell::from(&token.role),
            Cell::from(context.when(Some(token.created_at))),
            Cell::from(&token.name),
        ]);
    }
    Ok(context.out.table(&rows)?)
}
