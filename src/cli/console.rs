//! `daybook console`: a fresh login link.

use serde_json::json;

use super::client::{Address, shaped};
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use crate::http::api::tokens::LoginLink;

/// Prints the link.
///
/// # Errors
/// The daemon cannot be reached, or listens on no address.
pub async fn run(context: &mut Context<'_>) -> Outcome {
    let value = context.post(&Address::of(&["api", "login-links"]), &json!({})).await?;
    if context.out.json {
        return Ok(context.out.document(&value)?);
    }
    let link: LoginLink = shaped(&value)?;
    let url = link.url.ok_or_else(|| {
        Failure::new(Exit::Failed, "the daemon listens on no address that a browser could open")
            .hint("start it with `--listen 127.0.0.1:7474`")
    })?;
    context.out.line(url)?;
    let until = context.when(Some(link.expires_at));
    Ok(context.out.message(format!("works once; ends {until}"))?)
}
