//! `<promise>…</promise>` in an agent's final message: the one way in which it says how it stands.
//!
//! The rule is the official one: the first tag counts, its text is trimmed, blanks collapse, and it is compared
//! literally. Only the final message is looked at, never tool output or the prompt; the caller sees to that.

/// What an agent promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Promise {
    /// The work is complete.
    Complete,
    /// It cannot go on, and why.
    Blocked(String),
    /// There is nothing to do.
    Nothing,
    /// Any other text; loops may wait for one of their own.
    Other(String),
}

impl Promise {
    /// Returns the promise in `message`, if there is one.
    pub fn of(message: &str) -> Option<Self> {
        let text = promised_text(message)?;
        Some(match text.as_str() {
            "COMPLETE" => Self::Complete,
            "NOTHING" => Self::Nothing,
            "BLOCKED" => Self::Blocked(String::new()),
            _ => match text.strip_prefix("BLOCKED:") {
                Some(reason) => Self::Blocked(reason.trim().to_owned()),
                None => Self::Other(text),
            },
        })
    }
}

/// Returns the text of the first promise in `message`, trimmed, with blanks collapsed.
pub fn promised_text(message: &str) -> Option<String> {
    promised_texts(message).into_iter().next()
}

/// Returns the texts of all promises in `message`, in order, trimmed, with blanks collapsed.
pub fn promised_texts(message: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = message;
    while let Some((_, after)) = rest.split_once("<promise>")
        && let Some((inside, behind)) = after.split_once("</promise>")
    {
        found.push(inside.split_whitespace().collect::<Vec<_>>().join(" "));
        rest = behind;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_promise_counts_literally() {
        let of = |text: &str| Promise::of(text);
        assert_eq!(of("done\n\n<promise>\n COMPLETE </promise>"), Some(Promise::Complete));
        assert_eq!(of("<promise>NOTHING</promise><promise>COMPLETE</promise>"), Some(Promise::Nothing));
        assert_eq!(of("<promise>BLOCKED:  no\n key</promise>"), Some(Promise::Blocked("no key".to_owned())));
        assert_eq!(of("<promise>BLOCKED</promise>"), Some(Promise::Blocked(String::new())));
        assert_eq!(of("<promise>complete</promise>"), Some(Promise::Other("complete".to_owned())));
        assert_eq!(of("<promise>COMPLETE"), None);
        assert_eq!(of("I will say COMPLETE </promise> later <promise>"), None);
        assert_eq!(of(""), None);
    }
}
