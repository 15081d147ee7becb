//! Whether what stands at a place is the sum of what both sides added there.
//!
//! The sum is one addition after the other, in either order, or, where both consist of whole lines or of elements
//! between commas, any mixture that keeps the order of each. What both added alike stands once.

use std::collections::{BTreeSet, HashMap};

use super::language::{Breaks, Text};
use super::template::ids;
use super::token::{Kind, Lexer, Token};

/// Whether `found` is the sum of `ours` and `theirs`.
pub(super) fn is_sum(lexer: &Lexer, ours: &[Token], theirs: &[Token], found: &[Token]) -> bool {
    if !balanced(lexer, ours) || !balanced(lexer, theirs) {
        return false;
    }
    let lines =
        [ours, theirs, found].iter().all(|run| run.first().is_some_and(|token| token.first.is_some()));
    if lines {
        let ends = [ours, theirs].map(last_line);
        if ids(ends[0]) == ids(ends[1]) && belongs_to_next(lexer, ends[0]) {
            // Each says something of what follows, so neither stands for the other.
            return false;
        }
        let [a, b, c] = [ours, theirs, found].map(|run| units(lexer, run));
        // What both added alike must not be doubled, so plain sequence is no shortcut here.
        return is_mixture(lexer, &a, &b, &c);
    }
    if is_list(lexer, ours, theirs, found) {
        return true;
    }
    let in_sequence = follows(lexer, ours, theirs, found) || follows(lexer, theirs, ours, found);
    in_sequence && !share_an_element(lexer, ours, theirs)
}

/// Whether both added the same element, which one after the other would double.
fn share_an_element(lexer: &Lexer, ours: &[Token], theirs: &[Token]) -> bool {
    let (Some(a), Some(b)) = (List::of(lexer, ours), List::of(lexer, theirs)) else { return false };
    a.elements.iter().any(|element| says(lexer, element) && b.elements.contains(element))
}

fn says(lexer: &Lexer, unit: &[u32]) -> bool {
    unit.iter().any(|id| lexer.kind(*id) == Kind::Word)
}

fn follows(lexer: &Lexer, first: &[Token], second: &[Token], found: &[Token]) -> bool {
    if found.len() != first.len() + second.len() {
        return false;
    }
    let word = |token: Option<&Token>| token.is_some_and(|token| lexer.kind(token.id) == Kind::Word);
    let glued = word(first.last()) && word(second.first()) && second[0].first.is_none();
    let operator = |run: &[Token]| {
        let text = run.first().map_or("", |token| lexer.text(token.id));
        matches!(text, "&&" | "||" | "and" | "or" | "+" | "-" | "*" | "/" | "%" | "|" | "&" | "<<" | ">>")
            .then(|| text.to_owned())
    };
    // `a && b` and `a || c` do not tell what binds first.
    let unclear = match (operator(first), operator(second)) {
        (Some(a), Some(b)) => a != b,
        _ => false,
    };
    let sequence = first.iter().chain(second);
    !glued && !unclear && sequence.map(|token| token.id).eq(found.iter().map(|token| token.id))
}

/// Whether every bracket that is opened is closed and the other way round.
fn balanced(lexer: &Lexer, run: &[Token]) -> bool {
    let mut open: HashMap<&str, i32> = HashMap::new();
    for token in run {
        match (lexer.kind(token.id), lexer.text(token.id)) {
            (Kind::Open, text) => *open.entry(text).or_default() += 1,
            (Kind::Close, text) => {
                let opener = match text {
                    ")" => "(",
                    "]" => "[",
                    _ => "{",
                };
                *open.entry(opener).or_default() -= 1;
            }
            _ => {}
        }
    }
    open.values().all(|count| *count == 0)
}

fn last_line(run: &[Token]) -> &[Token] {
    let start = run.iter().rposition(|token| token.first.is_some()).unwrap_or_default();
    &run[start..]
}

/// The lines of a run, grouped: a line with what stands deeper or belongs to it.
fn units(lexer: &Lexer, run: &[Token]) -> Vec<Vec<u32>> {
    let mut lines: Vec<&[Token]> = Vec::new();
    let mut start = 0;
    for n in 1..=run.len() {
        if n == run.len() || run[n].first.is_some() {
            lines.push(&run[start..n]);
            start = n;
        }
    }
    let indent = |line: &[Token]| line[0].first.unwrap_or_default();
    let top = lines.iter().map(|line| indent(line)).min().unwrap_or_default();
    let mut units: Vec<Vec<Token>> = Vec::new();
    let mut open = false;
    for line in lines {
        let begins_element = units.last().is_some_and(|unit| is_next_element(lexer, unit, line));
        let belongs = belongs_to_last(lexer, line) && !begins_element;
        let continues = open || indent(line) > top || belongs;
        match units.last_mut() {
            Some(unit) if continues => unit.extend_from_slice(line),
            _ => units.push(line.to_vec()),
        }
        let unit = units.last().expect("one was just pushed");
        open = belongs_to_next(lexer, line) || !balanced(lexer, unit);
    }
    under_headings(lexer, &units)
}

/// Each unit with the heading that it stands under, so that it cannot slip under another one.
fn under_headings(lexer: &Lexer, units: &[Vec<Token>]) -> Vec<Vec<u32>> {
    let mut heading: Vec<u32> = Vec::new();
    let mut placed = Vec::new();
    for unit in units {
        if is_heading(lexer, unit) {
            heading = ids(unit);
            placed.push(ids(unit));
        } else {
            placed.push(heading.iter().copied().chain(ids(unit)).collect());
        }
    }
    placed
}

/// A heading of a text, a table of a configuration, a stage of a build.
fn is_heading(lexer: &Lexer, unit: &[Token]) -> bool {
    let mut signs = words(lexer, unit);
    match (lexer.layout().text, signs.next()) {
        (Text::Prose, Some(first)) => {
            first == "#" || unit.iter().any(|token| is_underline(lexer, unit, token.line))
        }
        (Text::Code, Some("[")) => lexer.layout().breaks != Breaks::Rarely && signs.last() == Some("]"),
        (Text::Code, Some("FROM")) => true,
        _ => false,
    }
}

/// Whether a line makes the one above it a heading.
fn is_underline(lexer: &Lexer, run: &[Token], line: u32) -> bool {
    let text: String =
        run.iter().filter(|token| token.line == line).map(|token| lexer.text(token.id).trim()).collect();
    text.len() > 2 && ["=", "-", "~", "^"].iter().any(|sign| text.replace(sign, "").is_empty())
}

fn words<'a>(lexer: &'a Lexer, line: &'a [Token]) -> impl Iterator<Item = &'a str> {
    line.iter().map(|token| lexer.text(token.id)).filter(|text| !text.trim().is_empty())
}

/// A decorator, an attribute, a comment: it says something of what follows.
fn belongs_to_next(lexer: &Lexer, line: &[Token]) -> bool {
    if lexer.layout().text == Text::Prose {
        return false;
    }
    let mut words = words(lexer, line);
    match (words.next(), words.next()) {
        (Some("#"), Some(second)) => {
            matches!(second, "[" | "!") || line[0].first.is_some() && lexer.kind(line[0].id) == Kind::Space
        }
        (Some("@" | "//" | "/*" | "*" | "--" | "template"), _) => true,
        _ => false,
    }
}

/// `{ a, b },` after a comma: one more element of a list, and not the body of what stands above.
fn is_next_element(lexer: &Lexer, unit: &[Token], line: &[Token]) -> bool {
    let comma = unit.last().is_some_and(|token| lexer.kind(token.id) == Kind::Comma);
    comma && lexer.kind(line[0].id) == Kind::Open
}

/// A closing bracket or word: it ends or goes on with what stands before it.
fn belongs_to_last(lexer: &Lexer, line: &[Token]) -> bool {
    let first = words(lexer, line).next().unwrap_or_default();
    if lexer.layout().text == Text::Prose {
        return is_underline(lexer, line, line[0].line);
    }
    let closes = line.iter().find(|token| lexer.kind(token.id) != Kind::Space);
    closes.is_some_and(|token| lexer.kind(token.id) == Kind::Close)
        || matches!(
            first,
            "{" | "</"
                | "end"
                | "else"
                | "elif"
                | "elsif"
                | "except"
                | "finally"
                | "catch"
                | "rescue"
                | "ensure"
                | "fi"
                | "done"
                | "esac"
                | "then"
        )
}

/// Elements between commas: the commas at the ends are those of the sides, and one stands between any two.
fn is_list(lexer: &Lexer, ours: &[Token], theirs: &[Token], found: &[Token]) -> bool {
    let [Some(a), Some(b), Some(c)] = [ours, theirs, found].map(|run| List::of(lexer, run)) else {
        return false;
    };
    a.edges == b.edges && b.edges == c.edges && is_mixture(lexer, &a.elements, &b.elements, &c.elements)
}

struct List {
    /// Whether a comma stands at the start and at the end.
    edges: [bool; 2],
    elements: Vec<Vec<u32>>,
}

impl List {
    fn of(lexer: &Lexer, run: &[Token]) -> Option<Self> {
        let prose = lexer.layout().text == Text::Prose;
        let comma = |token: &Token| {
            lexer.kind(token.id) == Kind::Comma || prose && matches!(lexer.text(token.id), "and" | "or")
        };
        let (mut elements, mut element, mut depth) = (Vec::new(), Vec::new(), 0i32);
        let mut last_comma = false;
        for token in run {
            let here = depth == 0 && comma(token);
            if here && !element.is_empty() {
                elements.push(std::mem::take(&mut element));
            } else if here && last_comma && !prose {
                return None;
            } else if !here {
                element.push(token.id);
            }
            match lexer.kind(token.id) {
                Kind::Open => depth += 1,
                Kind::Close => depth -= 1,
                _ => {}
            }
            last_comma = here;
        }
        if !element.is_empty() {
            elements.push(element);
        }
        // The space after a comma belongs to nobody.
        for element in &mut elements {
            let space = |id: &u32| lexer.kind(*id) == Kind::Space && !lexer.text(*id).contains('\n');
            while element.first().is_some_and(space) {
                element.remove(0);
            }
            while element.last().is_some_and(space) {
                element.pop();
            }
        }
        elements.retain(|element| !element.is_empty());
        Some(Self { edges: [run.first().is_some_and(comma), last_comma], elements })
    }
}

/// Whether `found` has all of `a` and all of `b`, each in order, and nothing else. What is in both stands once.
fn is_mixture(lexer: &Lexer, a: &[Vec<u32>], b: &[Vec<u32>], found: &[Vec<u32>]) -> bool {
    let common = |unit: &Vec<u32>| says(lexer, unit) && a.contains(unit) && b.contains(unit);
    if found.len() > a.len() + b.len() {
        return false;
    }
    let mut places = BTreeSet::from([(0usize, 0usize)]);
    for unit in found {
        let shared = common(unit);
        let mut next = BTreeSet::new();
        for (i, j) in places {
            let (left, right) = (a.get(i) == Some(unit), b.get(j) == Some(unit));
            if shared && left && right {
                next.insert((i + 1, j + 1));
            } else if !shared {
                next.extend(left.then_some((i + 1, j)));
                next.extend(right.then_some((i, j + 1)));
            }
        }
        places = next;
    }
    places.contains(&(a.len(), b.len()))
}

#[cfg(test)]
mod tests {
    use super::super::language::Layout;
    use super::*;

    fn sum(path: &str, ours: &str, theirs: &str, found: &str) -> bool {
        let mut lexer = Lexer::new(Layout::of(path));
        let [ours, theirs, found] = [ours, theirs, found].map(|text| lexer.parse(text).tokens);
        is_sum(&lexer, &ours, &theirs, &found)
    }

    /// The same inside a line.
    fn inline(ours: &str, theirs: &str, found: &str) -> bool {
        let mut lexer = Lexer::new(Layout::of("a.rs"));
        let [ours, theirs, found] = [ours, theirs, found].map(|text| {
            let mut tokens = lexer.parse(text).tokens;
            tokens[0].first = None;
            tokens
        });
        is_sum(&lexer, &ours, &theirs, &found)
    }

    #[test]
    fn elements_mix_and_keep_their_commas() {
        assert!(inline(", a", ", b", ", a, b"));
        assert!(inline(", a", ", b", ", b, a"));
        assert!(inline("a", "b", "a, b"));
        assert!(inline(", a, c", ", b", ", a, b, c"));
        assert!(!inline(", a, c", ", b", ", c, b, a"), "the order of one side");
        assert!(!inline(", a", ", b", ", a b"), "a comma is missing");
        assert!(!inline(", a", ", b", "a, b"), "the first comma is missing");
        assert!(!inline("a", "b", "a b"));
        assert!(!inline("&& a", "|| b", "&& a || b"), "which binds first?");
        assert!(inline(", a, s", ", b, s", ", a, b, s"), "what both added stands once");
        assert!(!inline(", a, s", ", b, s", ", a, s, b, s"));
    }

    #[test]
    fn lines_mix_only_between_blocks() {
        assert!(sum("a.py", "import a\nimport c\n", "import b\n", "import a\nimport b\nimport c\n"));
        assert!(!sum("a.py", "def a():\n    x\n", "log()\n", "def a():\nlog()\n    x\n"));
        assert!(!sum("a.py", "@cached\ndef a(): x\n", "log()\n", "@cached\nlog()\ndef a(): x\n"));
        assert!(!sum("a.rs", "a();\n#[x]\n", "b();\n#[x]\n", "a();\nb();\n#[x]\n"), "of what is it said?");
        assert!(!sum("a.rs", "fn a() {\n}\n", "b();\n", "fn a() {\nb();\n}\n"));
        assert!(!sum("a.rs", "if a {", "b();", "if a { b();"), "a bracket stays open");
        assert!(sum("a.c", "{ \"a\", a },\n", "{ \"b\", b },\n", "{ \"b\", b },\n{ \"a\", a },\n"));
        assert!(!sum(
            "a.c",
            "int a()\n{ x(); }\n",
            "int b()\n{ y(); }\n",
            "int a()\nint b()\n{ x(); }\n{ y(); }\n"
        ));
        assert!(sum("a.md", "## X\n- a\n", "## X\n- b\n", "## X\n- a\n- b\n"));
        assert!(!sum("a.md", "- a\n", "## X\n- b\n", "## X\n- a\n- b\n"), "under a heading not its own");
    }
}
