//! Whether a line of plain text waits for a person's answer.
//!
//! Only asked of an agent that has been silent for as long as it may be: a line alone proves nothing.

use std::sync::LazyLock;

use regex::Regex;

use crate::model::text::one_line;

/// The longest question, in characters.
const LONGEST: usize = 240;

static ASKS: LazyLock<Regex> = LazyLock::new(|| {
    let choices = r"[\[(]\s*(y|yes|n|no|a|all|d)(\s*[/|,]\s*[a-z?]+)+\s*[\])]\s*(\(default[^)]*\)|\[[a-z]+\])?\s*[:?>]?";
    let asked = r"\b(do you (want|wish)|would you like|are you sure|may i|shall i|should i|allow|proceed|continue|overwrite)\b.*\?";
    let key = r"\b(press|hit)\b.{0,20}\b(enter|return|any key)\b.*";
    let secret = r"\b(password|passphrase|username|token|api key)\b.{0,80}:";
    Regex::new(&format!(r"(?i)({choices}|{asked}|{key}|{secret})\s*$")).expect("the pattern is a constant")
});

/// Returns the question at the end of `line`, made safe to show; `None` if it asks nothing.
pub(super) fn in_line(line: &str) -> Option<String> {
    let shown = one_line(line.trim(), LONGEST);
    ASKS.is_match(&shown).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_wait_for_an_answer() {
        for line in [
            "Add .aider* to .gitignore (recommended)? (Y)es/(N)o [Yes]: (y/n) ",
            "Overwrite src/a.rs? [y/N]",
            "Run shell command? (yes/no): ",
            "Apply? [Y/n/a/?]",
            "Do you want to proceed?",
            "Would you like to allow this command?",
            "Are you sure you want to continue connecting (yes/no/[fingerprint])?",
            "Press ENTER to continue...",
            "Password for 'https://example.com': ",
        ] {
            assert!(in_line(line).is_some(), "{line}");
        }
    }

    #[test]
    fn lines_that_only_say_something() {
        for line in [
            "",
            "running 12 tests",
            "What should the parser do? I will look at it.",
            "Thinking about (a/b) testing",
            "downloading 3/7",
            r#"{"type":"text","text":"Do you want to proceed?"}"#,
            "continue with step 2",
        ] {
            assert_eq!(in_line(line), None, "{line}");
        }
    }
}
