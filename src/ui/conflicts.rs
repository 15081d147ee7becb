//! `wt conflicts` for people: the branches in the proposed order, a matrix of their conflicts, and the files on request.

use std::fmt::Write as _;

use comfy_table::CellAlignment;

use super::table::{plain, text};
use crate::model::text::{count, neutralised};
use crate::model::view::conflicts::{ClashView, ComparedView, ConflictsView};

/// With more branches than this, only those that conflict stand in the matrix: it would not fit on a screen.
const FIT: usize = 24;

/// Whether the files that do not merge are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// They are.
    Listed,
    /// They are only counted.
    Counted,
}

/// Returns `wt conflicts` for people. `compared` branches were compared; the view may have only some of them.
pub fn conflicts(view: &ConflictsView, files: Files, compared: usize) -> String {
    if view.tasks.is_empty() && compared > 0 {
        return foot(view, compared);
    }
    if view.tasks.is_empty() {
        return "nothing to compare: no live task has changed anything yet".to_owned();
    }
    let mut blocks = vec![tasks(&view.tasks)];
    let partly: Vec<String> = view.tasks.iter().filter_map(commits_only).collect();
    if !partly.is_empty() {
        blocks.push(partly.join("\n"));
    }
    let troubled = !(view.pairs.is_empty() && view.unknown.is_empty());
    if troubled {
        blocks.push(matrix(view));
    }
    if files == Files::Listed {
        blocks.extend(view.tasks.iter().filter(|task| !task.target_conflicts.is_empty()).map(with_target));
        blocks.extend(view.pairs.iter().map(with_each_other));
    }
    blocks.push(foot(view, compared));
    blocks.join("\n\n")
}

fn tasks(tasks: &[ComparedView]) -> String {
    let mut table = plain(&["#", "task", "state", "files", "with target"]);
    for task in tasks {
        let star = if task.uncommitted { "*" } else { "" };
        let target = match (&task.skipped, task.target_conflicts.len()) {
            (Some(why), _) => format!("not compared: {}", neutralised(why)),
            (None, 0) => "·".to_owned(),
            (None, n) => format!("{} in `{}`", count(n, "conflict"), neutralised(&task.target)),
        };
        table.add_row([
            task.place.to_string(),
            neutralised(&task.name).into_owned(),
            task.state.clone(),
            format!("{}{star}", task.files_changed),
            target,
        ]);
    }
    if let Some(column) = table.column_mut(0) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    text(&table)
}

fn commits_only(task: &ComparedView) -> Option<String> {
    let why = task.commits_only.as_ref()?;
    Some(format!("{}: only its commits are compared, {}", neutralised(&task.name), neutralised(why)))
}

fn matrix(view: &ConflictsView) -> String {
    let pair = |a: &str, b: &str| view.pairs.iter().find(|pair| pair.tasks == [a, b] || pair.tasks == [b, a]);
    let unknown = |a: &str, b: &str| view.unknown.iter().any(|pair| *pair == [a, b] || *pair == [b, a]);
    let troubled = |task: &&ComparedView| {
        let named = |pair: &[String; 2]| pair.contains(&task.name);
        view.pairs.iter().any(|pair| named(&pair.tasks)) || view.unknown.iter().any(named)
    };
    let compared = view.tasks.iter().filter(|task| task.skipped.is_none());
    let shown: Vec<&ComparedView> = if compared.clone().count() <= FIT {
        compared.collect()
    } else {
        compared.filter(troubled).collect()
    };
    let cell = |a: &ComparedView, b: &ComparedView| {
        if a.name == b.name {
            return "- ".to_owned();
        }
        match pair(&a.name, &b.name) {
            Some(pair) => {
                let files =
                    if pair.files.len() > 99 { "99".to_owned() } else { pair.files.len().to_string() };
                files + if pair.uncommitted { "*" } else { " " }
            }
            None if unknown(&a.name, &b.name) => "? ".to_owned(),
            None if a.target != b.target => "  ".to_owned(),
            None => "· ".to_owned(),
        }
    };
    let mut lines =
        vec![shown.iter().fold("   ".to_owned(), |line, task| line + &format!("{:>2} ", task.place))];
    for row in &shown {
        let mut line = format!("{:>2} ", row.place);
        for column in &shown {
            let _ = write!(line, "{:>3}", cell(row, column));
        }
        lines.push(line);
    }
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

fn with_target(task: &ComparedView) -> String {
    let mut lines =
        vec![format!("{} with its target `{}`:", neutralised(&task.name), neutralised(&task.target))];
    lines.extend(task.target_conflicts.iter().map(|file| listed(&file.path, file.kind.words())));
    lines.join("\n")
}

fn with_each_other(pair: &ClashView) -> String {
    let [a, b] = pair.tasks.each_ref().map(|name| neutralised(name));
    let star = if pair.uncommitted { " (by uncommitted work)" } else { "" };
    let mut lines = vec![format!("{a} with {b}{star}:")];
    lines.extend(pair.files.iter().map(|file| listed(&file.path, file.kind.words())));
    lines.join("\n")
}

fn listed(path: &str, kind: &str) -> String {
    format!("  {} ({kind})", neutralised(path))
}

fn foot(view: &ConflictsView, compared: usize) -> String {
    let shown = view.tasks.iter().filter(|task| task.skipped.is_none()).count();
    let branches = match compared {
        1 => "1 branch".to_owned(),
        n => format!("{n} branches"),
    };
    let mut foot = match view.pairs.len() {
        0 if compared < 2 => format!("{branches} to compare"),
        0 if shown < compared => format!("{branches}, none conflicts with what was named"),
        0 => format!("{branches}, no two of them conflict"),
        n => format!("{branches}, {} in conflict", count(n, "pair")),
    };
    if view.tasks.iter().any(|task| task.uncommitted) {
        foot += "; *: with uncommitted work";
    }
    if !view.unknown.is_empty() {
        foot += "; ?: git could not merge them";
    }
    foot
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{ConflictKind, ConflictedPath};

    fn task(n: usize) -> ComparedView {
        ComparedView {
            name: format!("task-{n}"),
            state: "running".to_owned(),
            target: "main".to_owned(),
            place: n,
            files_changed: n,
            ..ComparedView::default()
        }
    }

    fn file(path: &str) -> ConflictedPath {
        ConflictedPath { path: path.to_owned(), kind: ConflictKind::Content }
    }

    fn pair(a: usize, b: usize, files: usize, uncommitted: bool) -> ClashView {
        let tasks = [format!("task-{a}"), format!("task-{b}")];
        ClashView { tasks, files: (0..files).map(|n| file(&format!("f{n}"))).collect(), uncommitted }
    }

    #[test]
    fn a_matrix_tells_conflicts_uncommitted_work_and_what_git_cannot_say() {
        let mut tasks: Vec<ComparedView> = (1..=4).map(task).collect();
        tasks[1].uncommitted = true;
        tasks[2].target_conflicts = vec![file("f0")];
        tasks[3].target = "next".to_owned();
        tasks[3].commits_only = Some("its workspace is on the branch `x`".to_owned());
        let view = ConflictsView {
            tasks,
            pairs: vec![pair(1, 2, 2, true)],
            unknown: vec![["task-2".to_owned(), "task-3".to_owned()]],
            ..ConflictsView::default()
        };
        insta::assert_snapshot!(conflicts(&view, Files::Listed, 4), @r"
         #  TASK    STATE    FILES  WITH TARGET
         1  task-1  running  1      ·
         2  task-2  running  2*     ·
         3  task-3  running  3      1 conflict in `main`
         4  task-4  running  4      ·

        task-4: only its commits are compared, its workspace is on the branch `x`

            1  2  3  4
         1  -  2* ·
         2  2* -  ?
         3  ·  ?  -
         4           -

        task-3 with its target `main`:
          f0 (both changed)

        task-1 with task-2 (by uncommitted work):
          f0 (both changed)
          f1 (both changed)

        4 branches, 1 pair in conflict; *: with uncommitted work; ?: git could not merge them
        ");
    }

    #[test]
    fn twenty_branches_fit_on_eighty_columns() {
        let pairs: Vec<ClashView> = (1..20).map(|n| pair(n, n + 1, 120, true)).collect();
        let view = ConflictsView { tasks: (1..=20).map(task).collect(), pairs, ..ConflictsView::default() };
        let said = conflicts(&view, Files::Counted, 20);
        assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
        let many =
            ConflictsView { tasks: (1..=60).map(task).collect(), pairs: vec![pair(7, 9, 1, false)], ..view };
        let said = conflicts(&many, Files::Counted, 60);
        assert!(said.contains("\n    7  9\n 7  -  1\n 9  1  -"), "{said}");
    }
}
