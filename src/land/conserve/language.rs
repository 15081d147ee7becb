//! What white space means in a file, told from its path.
//!
//! Where nothing is known of a file, all white space counts: that costs a question to a person, never a change.

/// Where the end of a line means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breaks {
    /// Only after a comment, a directive or a word such as `return`.
    Rarely,
    /// Everywhere but between these brackets.
    Outside(&'static str),
    /// Everywhere.
    Always,
}

/// How a file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Where the end of a line means something.
    pub(super) breaks: Breaks,
    /// What the start of a line means.
    pub(super) start: Start,
    /// What a space between two tokens means.
    pub(super) space: Space,
    /// Whether it is text for people.
    pub(super) text: Text,
}

/// What the white space at the start of a line means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Nothing.
    Free,
    /// The line's place in the structure.
    Indented,
}

/// What white space between two tokens means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    /// Nothing.
    Free,
    /// It separates words, as in a shell.
    Separates,
}

/// What kind of text it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    /// For machines.
    Code,
    /// For people: quotes are no strings, an empty line ends a paragraph.
    Prose,
}

const BRACES: Layout =
    Layout { breaks: Breaks::Rarely, start: Start::Free, space: Space::Free, text: Text::Code };
const LINES: Layout =
    Layout { breaks: Breaks::Outside("(["), start: Start::Free, space: Space::Free, text: Text::Code };
const PYTHON: Layout =
    Layout { breaks: Breaks::Outside("([{"), start: Start::Indented, space: Space::Free, text: Text::Code };
const SHELL: Layout =
    Layout { breaks: Breaks::Always, start: Start::Free, space: Space::Separates, text: Text::Code };
const OUTLINE: Layout =
    Layout { breaks: Breaks::Always, start: Start::Indented, space: Space::Separates, text: Text::Code };
const PROSE: Layout =
    Layout { breaks: Breaks::Always, start: Start::Indented, space: Space::Free, text: Text::Prose };

impl Layout {
    /// The layout of the file at `path`.
    pub(super) fn of(path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path);
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
        match ending.as_str() {
            "rs" | "c" | "h" | "cc" | "cpp" | "cxx" | "hh" | "hpp" | "m" | "mm" | "java" | "cs" | "go"
            | "js" | "jsx" | "mjs" | "cjs" | "ts" | "tsx" | "mts" | "cts" | "json" | "jsonc" | "json5"
            | "css" | "scss" | "less" | "html" | "htm" | "xml" | "svg" | "vue" | "svelte" | "php"
            | "dart" | "proto" | "sql" | "graphql" | "zig" | "tf" | "groovy" | "gradle" | "scala" => BRACES,
            "rb" | "kt" | "kts" | "swift" | "lua" | "r" | "jl" | "ex" | "exs" | "pl" | "pm" | "toml" => LINES,
            "py" | "pyi" => PYTHON,
            "sh" | "bash" | "zsh" | "ini" | "cfg" | "conf" | "env" | "properties" | "dockerfile" => SHELL,
            "md" | "markdown" | "rst" | "txt" | "adoc" => PROSE,
            _ => match name.split('.').next().unwrap_or(name).to_ascii_uppercase().as_str() {
                "DOCKERFILE" | "CODEOWNERS" => SHELL,
                "README" | "CHANGELOG" | "CHANGES" | "NEWS" | "AUTHORS" | "LICENSE" if ending.is_empty() => {
                    PROSE
                }
                _ => OUTLINE,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_layout() {
        for (path, layout) in [
            ("src/a.rs", BRACES),
            ("tool/a.PY", PYTHON),
            ("ci.yaml", OUTLINE),
            ("Makefile", OUTLINE),
            ("Dockerfile", SHELL),
            ("docker/Dockerfile.dev", SHELL),
            (".gitignore", OUTLINE),
            ("CHANGELOG", PROSE),
            ("docs/a.md", PROSE),
            ("a.unheard-of", OUTLINE),
        ] {
            assert_eq!(Layout::of(path), layout, "{path}");
        }
    }
}
