//! What a resolver says it gave up, read from its final message.
//!
//! One tag for each text, anywhere in the message; the quote may span lines, the reason stands after the last `|||`:
//!
//! ```text
//! <superseded path="src/a.rs">use std::fs; ||| main imports std::{fs, io} already</superseded>
//! ```
//!
//! A tag without a path, a quote or a reason is ignored, so what it means to excuse stays refused.

use std::sync::LazyLock;

use regex::Regex;

/// A text that the resolver gave up, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superseded {
    /// The path in the repository.
    pub path: String,
    /// The text, as the side had it.
    pub quote: String,
    /// Why it is not needed any more.
    pub reason: String,
}

static TAG: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?s)<superseded\s+path\s*=\s*["']([^"'\n]+)["']\s*>(.*?)</superseded>"#)
        .expect("a constant pattern")
});

/// What the final message lists as given up.
pub fn superseded(message: &str) -> Vec<Superseded> {
    let tags = TAG.captures_iter(message).filter_map(|tag| {
        let (quote, reason) = tag[2].rsplit_once("|||")?;
        let (path, quote, reason) = (tag[1].trim(), quote.trim(), reason.trim());
        if path.is_empty() || quote.is_empty() || !reason.chars().any(char::is_alphanumeric) {
            return None;
        }
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(Superseded { path: path.to_owned(), quote: quote.to_owned(), reason })
    });
    tags.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_anywhere_and_keep_their_quote() {
        let message = "Done.\n<superseded path=\"src/a.rs\">use std::fs;\nuse std::io; ||| main has\n one line</superseded> and\n\
                       <superseded path='b.py'>x = a ||| b ||| renamed</superseded>";
        assert_eq!(
            superseded(message),
            [
                Superseded {
                    path: "src/a.rs".into(),
                    quote: "use std::fs;\nuse std::io;".into(),
                    reason: "main has one line".into()
                },
                Superseded { path: "b.py".into(), quote: "x = a ||| b".into(), reason: "renamed".into() },
            ]
        );
    }

    #[test]
    fn a_tag_that_lacks_something_excuses_nothing() {
        for message in [
            "<superseded>x ||| because</superseded>",
            "<superseded path=\"a\">x</superseded>",
            "<superseded path=\"a\">x ||| </superseded>",
            "<superseded path=\"a\">x ||| - </superseded>",
            "<superseded path=\"a\"> ||| because</superseded>",
            "<superseded path=\"a\">x ||| because",
        ] {
            assert_eq!(superseded(message), [], "{message}");
        }
    }
}
