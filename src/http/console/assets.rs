//! What pages load: styles, scripts, the icon. Compiled in; each has its hash in its name, so that browsers may keep it.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header;

use crate::http::input::Params;
use crate::http::problem::Problem;
use crate::ids::hex;

/// A year: the name changes with the content.
const KEEP: &str = "public, max-age=31536000, immutable";

/// A file that pages load.
struct Asset {
    /// Its name before the hash, and behind it.
    name: (&'static str, &'static str),
    kind: &'static str,
    text: &'static str,
}

const fn script(name: &'static str, text: &'static str) -> Asset {
    Asset { name: (name, "js"), kind: "text/javascript; charset=utf-8", text }
}

const ASSETS: [Asset; 7] = [
    Asset {
        name: ("app", "css"),
        kind: "text/css; charset=utf-8",
        text: include_str!("assets/app.css"),
    },
    script("app", include_str!("assets/app.js")),
    script("log-rows", include_str!("assets/log-rows.js")),
    script("log-full", include_str!("assets/log-full.js")),
    script("log-list", include_str!("assets/log-list.js")),
    script("log", include_str!("assets/log.js")),
    script("htmx-2.0.11", include_str!("assets/htmx-2.0.11.min.js")),
];

static NAMES: LazyLock<[String; ASSETS.len()]> = LazyLock::new(|| {
    ASSETS.each_ref().map(|asset| {
        let hash = blake3::hash(asset.text.as_bytes());
        format!("{}.{}.{}", asset.name.0, hex(&hash.as_bytes()[..6]), asset.name.1)
    })
});

/// The address of an asset, such as `app.css`.
///
/// # Panics
/// There is none with this name: a page that names one is a mistake of ours, which its test finds.
pub(super) fn address(name: &str) -> String {
    let at = ASSETS
        .iter()
        .position(|asset| name.strip_prefix(asset.name.0) == Some(&format!(".{}", asset.name.1)))
        .expect("pages name only assets that there are");
    format!("/assets/{}", NAMES[at])
}

/// An asset.
///
/// # Errors
/// There is none with this name and hash: the page was made by another version.
pub(super) async fn show(
    Path(name): Path<String>,
    Params(input): Params,
) -> Result<Response, Problem> {
    input.finish()?;
    let found = NAMES.iter().zip(&ASSETS).find(|(known, _)| **known == name);
    let (_, asset) = found.ok_or_else(|| Problem::not_found("such a part of the console"))?;
    let headers = [(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, KEEP)];
    Ok((headers, asset.text).into_response())
}
