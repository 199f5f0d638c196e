//! Errors as one line of words.

use std::error::Error;

/// The error and all that led to it, outermost first: `cannot write: No space left on device`.
///
/// Many errors repeat their cause's words in their own; nothing is said twice in a row.
pub fn in_full(err: &dyn Error) -> String {
    let mut words = err.to_string();
    let mut next = err.source();
    while let Some(err) = next {
        let cause = err.to_string();
        if !words.ends_with(&cause) {
            words.push_str(": ");
            words.push_str(&cause);
        }
        next = err.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{words}")]
    struct Link {
        words: &'static str,
        source: Option<Box<Self>>,
    }

    #[test]
    fn names_every_cause_once() {
        let inner = Link { words: "disk full", source: None };
        let middle = Link { words: "no write: disk full", source: Some(Box::new(inner)) };
        let outer = Link { words: "no checkpoint", source: Some(Box::new(middle)) };
        assert_eq!(in_full(&outer), "no checkpoint: no write: disk full");
    }
}
