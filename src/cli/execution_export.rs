//! `daybook execution export`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::client::Address;
use super::context::Context;
use super::failure::{Failure, Outcome};
use super::target::Target;

/// Which executions, and where to.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// Id, unique prefix, `latest` or `latest-ko`
    #[arg(value_name = "ID", required_unless_present = "query", conflicts_with = "query")]
    pub id: Option<String>,
    /// All that fit these filters, such as `status=ko&interface=fnac`, without their logs
    #[arg(long, value_name = "QUERY")]
    pub query: Option<String>,
    /// In which form, and where to.
    #[command(flatten)]
    pub form: Form,
}

/// The form, with its file.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Form {
    /// As a workbook, to this file; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub xlsx: Option<PathBuf>,
    /// As CSV, to this file; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// As JSON Lines, to this file; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub jsonl: Option<PathBuf>,
}

impl Form {
    /// The file, and what the daemon calls its form.
    fn file(&self) -> Outcome<(&Path, &'static str)> {
        let forms =
            [(&self.xlsx, "export.xlsx"), (&self.csv, "export.csv"), (&self.jsonl, "export.jsonl")];
        let named = forms.into_iter().find_map(|(file, form)| Some((file.as_deref()?, form)));
        named.ok_or_else(|| Failure::usage("give --xlsx FILE, --csv FILE or --jsonl FILE"))
    }
}

impl Export {
    fn address(&self, form: &str, context: &Context<'_>) -> Outcome<Address> {
        let Some(query) = &self.query else {
            let id = self.id.as_deref().unwrap_or("latest");
            return Ok(Address::of(&["api", "executions", id, form]));
        };
        let mut address = Address::of(&["api", "executions", form]);
        let filters = super::filters::query(query, &context.times)?;
        for (name, value) in filters.as_object().into_iter().flatten() {
            address = address.with(name, value.as_str().unwrap_or_default());
        }
        Ok(address)
    }
}

/// Does it.
///
/// # Errors
/// The file is there already, or cannot be written; the daemon cannot be reached, or refuses.
pub async fn run(asked: &Export, context: &mut Context<'_>) -> Outcome {
    let (path, form) = asked.form.file()?;
    if asked.form.xlsx.is_some() && path.as_os_str() == "-" && context.out.terminal {
        return Err(Failure::usage("a workbook is nothing for a terminal")
            .hint("name a file: --xlsx FILE, or send it on with `|` or `>`"));
    }
    let address = asked.address(form, context)?;
    let mut target = Target::begin(path)?;
    let mut parts = context.file(&address).await?;
    while let Some(part) = parts.piece().await? {
        target.write(&part, context)?;
    }
    target.finish(path)?;
    if path.as_os_str() == "-" {
        return Ok(());
    }
    if context.out.json {
        return Ok(context.out.document(&json!({"file": path.display().to_string()}))?);
    }
    Ok(context.out.message(format!("exported to {}", path.display()))?)
}
