//! Requests to the API: an answer for each, and never one that blames the server.
use std::sync::LazyLock;

use daybook::http::fuzzing::Api;
use daybook::http::routes::ROUTES;

static API: LazyLock<Api> = LazyLock::new(Api::start);

/// Replaces the names in a route's path by `values`, in order.
fn filled(pattern: &str, values: &str) -> String {
    let mut values = values.split(' ');
    let segment = |part: &str| match part.strip_prefix('{') {
        Some(_) => values.next().unwrap_or("fnac").to_owned(),
        None => part.to_owned(),
    };
    pattern.split('/').map(segment).collect::<Vec<_>>().join("/")
}

pub(crate) fn check(bytes: &[u8]) {
    // Which route, then a line with what replaces the names in its path, a line of query, and the body.
    let Some((route, rest)) = bytes.split_first() else { return };
    let route = &ROUTES[usize::from(*route) % ROUTES.len()];
    let mut parts = rest.splitn(3, |byte| *byte == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    let (values, query, body) = (part(), part(), part());
    let (values, query) = (String::from_utf8_lossy(values), String::from_utf8_lossy(query));
    // A head that is no HTTP is hyper's business, which closes some of them without an answer.
    let text = |text: &str| {
        text.bytes().fold(String::new(), |mut uri, byte| {
            if byte.is_ascii_alphanumeric() || b"-_.~/?&=%+:,;@!$'()*".contains(&byte) {
                uri.push(char::from(byte));
            } else {
                uri.push_str(&format!("%{byte:02X}"));
            }
            uri
        })
    };
    let path = text(&filled(route.path, &values));
    let query = text(&query);
    let mut request = format!(
        "{} {path}?{query} HTTP/1.1\r\nhost: daybook\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        route.method,
        body.len(),
    )
    .into_bytes();
    request.extend_from_slice(body);
    let status = API.status_of(&request);
    assert!(
        status.is_some_and(|status| status < 500 || status == 503),
        "{status:?} for {}",
        String::from_utf8_lossy(&request)
    );
}
