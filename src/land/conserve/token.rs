//! Texts as tokens: words, numbers, operators, brackets, and white space only where it means something.
//!
//! The rules are those of no language in particular, and the same for all versions of a file: a text that is cut oddly is
//! cut oddly three times, which costs an explanation but never makes a wrong one. Inside a string all white space counts.

use std::collections::HashMap;

use super::language::{Breaks, Layout, Space, Start, Text};

/// Operators of more than one character, longest first.
const OPERATORS: [&str; 40] = [
    "===", "!==", "<=>", "**=", "...", "..=", ">>=", "<<=", "&&=", "||=", "??=", "==", "!=", "<=", ">=",
    "&&", "||", "->", "=>", "::", ":=", "+=", "-=", "*=", "/=", "%=", "|=", "&=", "^=", "++", "--", "**",
    "//", "/*", "*/", "??", "?.", "..", "<<", "</",
];

/// Words after which the end of a line ends a statement.
const ENDING: [&str; 5] = ["return", "throw", "break", "continue", "yield"];

/// What a token is, as far as the rules care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word or a number.
    Word,
    /// An opening bracket.
    Open,
    /// A closing bracket.
    Close,
    /// A comma.
    Comma,
    /// White space that means something.
    Space,
    /// Anything else.
    Sign,
}

/// One token in its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    /// Equal tokens have equal ids.
    pub(super) id: u32,
    /// The line, counted from 0.
    pub(super) line: u32,
    /// The indentation, if it is the first of its line.
    pub(super) first: Option<u16>,
}

/// A text in lines and tokens.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// An id for each line: equal lines have equal ids.
    pub(super) lines: Vec<u32>,
    /// Where each line's tokens begin; one more than there are lines.
    pub(super) starts: Vec<usize>,
    /// The tokens.
    pub(super) tokens: Vec<Token>,
}

impl Parsed {
    /// The tokens of some lines.
    pub(super) fn of_lines(&self, lines: std::ops::Range<usize>) -> &[Token] {
        &self.tokens[self.starts[lines.start]..self.starts[lines.end]]
    }
}

/// Gives equal texts equal ids.
#[derive(Debug)]
pub(super) struct Lexer {
    layout: Layout,
    ids: HashMap<String, u32>,
    kinds: Vec<Kind>,
    texts: Vec<String>,
    lines: HashMap<String, u32>,
}

impl Lexer {
    /// For the versions of one file.
    pub(super) fn new(layout: Layout) -> Self {
        Self { layout, ids: HashMap::new(), kinds: Vec::new(), texts: Vec::new(), lines: HashMap::new() }
    }

    /// The layout.
    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// What a token is.
    pub(super) fn kind(&self, id: u32) -> Kind {
        self.kinds[id as usize]
    }

    /// The text of a token.
    pub(super) fn text(&self, id: u32) -> &str {
        &self.texts[id as usize]
    }

    /// Cuts a text.
    pub(super) fn parse(&mut self, text: &str) -> Parsed {
        let mut parsed = Parsed::default();
        let mut depth = 0usize;
        for (n, line) in text.lines().enumerate() {
            let next = u32::try_from(self.lines.len()).expect("a text has less than 2^32 lines");
            let id = match self.lines.get(line) {
                Some(id) => *id,
                None => *self.lines.entry(line.to_owned()).or_insert(next),
            };
            parsed.lines.push(id);
            parsed.starts.push(parsed.tokens.len());
            let line_number = u32::try_from(n).expect("a text has less than 2^32 lines");
            self.line(line, line_number, &mut depth, &mut parsed.tokens);
        }
        parsed.starts.push(parsed.tokens.len());
        parsed
    }

    fn push(&mut self, text: &str, kind: Kind, line: u32, tokens: &mut Vec<Token>) {
        let id = if let Some(id) = self.ids.get(text) {
            *id
        } else {
            let id = u32::try_from(self.texts.len()).expect("a text has less than 2^32 tokens");
            self.ids.insert(text.to_owned(), id);
            self.kinds.push(kind);
            self.texts.push(text.to_owned());
            id
        };
        tokens.push(Token { id, line, first: None });
    }

    fn line(&mut self, text: &str, number: u32, depth: &mut usize, tokens: &mut Vec<Token>) {
        let body = text.trim_start();
        if body.is_empty() {
            return;
        }
        let indent = &text[..text.len() - body.len()];
        let body = body.trim_end();
        // A word at the left edge starts something new, whatever a bracket in a comment made of the depth.
        if indent.is_empty() && body.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '@') {
            *depth = 0;
        }
        let begin = tokens.len();
        let hard = match self.layout.breaks {
            Breaks::Rarely => false,
            Breaks::Outside(_) => *depth == 0,
            Breaks::Always => true,
        };
        if hard {
            let indent = if self.layout.start == Start::Indented { indent } else { "" };
            self.push(&format!("\n{indent}"), Kind::Space, number, tokens);
        }
        let ending = self.body(body, number, depth, tokens);
        if self.layout.breaks == Breaks::Rarely && (ending || body.starts_with('#') || body.ends_with('\\')) {
            self.push("\n", Kind::Space, number, tokens);
        }
        if let Some(first) = tokens.get_mut(begin) {
            first.first = Some(u16::try_from(indent.chars().count()).unwrap_or(u16::MAX));
        }
    }

    /// The tokens of a line without its edges; whether the line's end means something.
    fn body(&mut self, body: &str, number: u32, depth: &mut usize, tokens: &mut Vec<Token>) -> bool {
        let mut rest = body;
        let mut quote: Option<char> = None;
        let mut before = ' ';
        let mut ending = false;
        while let Some(c) = rest.chars().next() {
            let length = if c.is_whitespace() {
                let length = run(rest, char::is_whitespace);
                if quote.is_some() {
                    self.push(&rest[..length], Kind::Space, number, tokens);
                } else if self.layout.space == Space::Separates {
                    self.push(" ", Kind::Space, number, tokens);
                }
                length
            } else if is_word(c) {
                let length = word(rest);
                ending = quote.is_none() && ENDING.contains(&&rest[..length]) && length == rest.len();
                self.push(&rest[..length], Kind::Word, number, tokens);
                length
            } else if quote == Some(c) && before != '\\' {
                quote = None;
                self.push(&rest[..c.len_utf8()], Kind::Sign, number, tokens);
                c.len_utf8()
            } else if quote.is_none() && self.opens(c, before, rest) {
                quote = Some(c);
                self.push(&rest[..c.len_utf8()], Kind::Sign, number, tokens);
                c.len_utf8()
            } else {
                let sign = OPERATORS.iter().find(|sign| rest.starts_with(**sign));
                let length = sign.map_or(c.len_utf8(), |sign| sign.len());
                let comment = quote.is_none() && (rest.starts_with("//") || rest.starts_with("--"));
                let kind = if quote.is_some() { Kind::Sign } else { self.bracket(c, depth) };
                self.push(&rest[..length], kind, number, tokens);
                if comment {
                    self.body(&rest[length..], number, &mut 0, tokens);
                    return true;
                }
                length
            };
            before = rest[..length].chars().next_back().unwrap_or(' ');
            rest = &rest[length..];
        }
        ending
    }

    /// Whether a string begins here: one that ends on the same line, and no apostrophe.
    fn opens(&self, c: char, before: char, rest: &str) -> bool {
        self.layout.text == Text::Code
            && matches!(c, '"' | '`' | '\'')
            && !(c == '\'' && is_word(before))
            && rest[1..].contains(c)
    }

    fn bracket(&self, c: char, depth: &mut usize) -> Kind {
        let counted = match self.layout.breaks {
            Breaks::Outside(brackets) => brackets,
            Breaks::Rarely | Breaks::Always => "",
        };
        match c {
            '(' | '[' | '{' => {
                *depth += usize::from(counted.contains(c));
                Kind::Open
            }
            ')' | ']' | '}' => {
                let open = match c {
                    ')' => '(',
                    ']' => '[',
                    _ => '{',
                };
                *depth = depth.saturating_sub(usize::from(counted.contains(open)));
                Kind::Close
            }
            ',' => Kind::Comma,
            _ => Kind::Sign,
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

fn run(text: &str, part: impl Fn(char) -> bool) -> usize {
    text.find(|c| !part(c)).unwrap_or(text.len())
}

/// The length of the word at the start; a number keeps its fraction.
fn word(text: &str) -> usize {
    let length = run(text, is_word);
    let number = text.starts_with(|c: char| c.is_ascii_digit());
    let fraction =
        text[length..].strip_prefix('.').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    match fraction {
        Some(rest) if number => length + 1 + run(rest, is_word),
        _ => length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(path: &str, text: &str) -> Vec<String> {
        let mut lexer = Lexer::new(Layout::of(path));
        let parsed = lexer.parse(text);
        parsed.tokens.iter().map(|token| lexer.text(token.id).to_owned()).collect()
    }

    #[test]
    fn code_is_words_and_signs() {
        assert_eq!(
            cut("a.rs", "f(x,\n  1.5) >= 'a' // no"),
            ["f", "(", "x", ",", "1.5", ")", ">=", "'", "a", "'", "//", "no", "\n"]
        );
        assert_eq!(cut("a.rs", "a.b != !c"), ["a", ".", "b", "!=", "!", "c"]);
    }

    #[test]
    fn white_space_counts_in_strings_and_where_lines_do() {
        assert_ne!(cut("a.rs", "\"a b\""), cut("a.rs", "\"a  b\""));
        assert_eq!(cut("a.rs", "a(\n)"), cut("a.rs", "a()"));
        assert_eq!(cut("a.py", "a(\n)"), cut("a.py", "a()"));
        assert_ne!(cut("a.py", "if x:\n    a()"), cut("a.py", "if x:\na()"));
        assert_ne!(cut(".gitignore", "a\nb"), cut(".gitignore", "a b"));
        assert_ne!(cut("a.sh", "rm / tmp"), cut("a.sh", "rm /tmp"));
    }

    #[test]
    fn a_line_that_slips_behind_a_comment_is_seen() {
        assert_ne!(cut("a.rs", "a(); // b\nc();"), cut("a.rs", "a(); // b c();"));
        assert_ne!(cut("a.sql", "a -- b\nc"), cut("a.sql", "a -- b c"));
        assert_ne!(cut("a.js", "return\nx"), cut("a.js", "return x"));
    }
}
