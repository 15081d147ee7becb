//! `wt status --disk` and `wt gc --artifacts` for people.

use comfy_table::{CellAlignment, Table};

use super::table::{plain, text};
use crate::model::text::{bytes, neutralised};
use crate::model::view::disk::{ArtifactsView, DiskView};

/// Returns `wt status --disk` for people: workspaces, places, and what is free.
pub fn disk(view: &DiskView) -> String {
    let mut parts = Vec::new();
    if view.workspaces.is_empty() {
        parts.push("no workspaces".to_owned());
    } else {
        parts.push(workspaces(view));
    }
    if !view.places.is_empty() {
        parts.push(places(view));
    }
    let mut end = format!("{} in all", bytes(view.total.bytes));
    if let Some(free) = view.free {
        end = format!("{end}, {} free", bytes(free));
    }
    parts.push(end);
    let unreadable: u64 = view.workspaces.iter().map(|one| one.unreadable).sum::<u64>()
        + view.places.iter().map(|one| one.unreadable).sum::<u64>();
    if unreadable > 0 {
        parts.push(format!("folders and files that could not be looked at: {unreadable}"));
    }
    for one in &view.workspaces {
        if let Some(why) = &one.unsorted {
            parts.push(format!("{}: git cannot tell what it ignores: {}", one.name, neutralised(why)));
        }
    }
    parts.join("\n\n")
}

fn workspaces(view: &DiskView) -> String {
    let mut table = plain(&["task", "state", "own", "caches", "ignored", "alone", "shared"]);
    for one in &view.workspaces {
        table.add_row([
            one.name.clone(),
            one.state.clone(),
            bytes(one.own),
            bytes(one.caches),
            bytes(one.ignored),
            bytes(one.bytes),
            bytes(one.shared),
        ]);
    }
    let total = &view.total;
    table.add_row([
        "total".to_owned(),
        String::new(),
        bytes(total.own),
        bytes(total.caches),
        bytes(total.ignored),
        bytes(total.own + total.caches + total.ignored),
        bytes(total.shared),
    ]);
    right(&mut table, 2);
    text(&table)
}

fn places(view: &DiskView) -> String {
    let mut table = plain(&["place", "alone", "shared", "where"]);
    for place in &view.places {
        let path = neutralised(&place.path).into_owned();
        table.add_row([place.what.word().to_owned(), bytes(place.bytes), bytes(place.shared), path]);
    }
    for column in table.column_iter_mut().skip(1).take(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    text(&table)
}

fn right(table: &mut Table, from: usize) {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

/// Returns `wt gc --artifacts` for people.
pub fn artifacts(view: &ArtifactsView) -> String {
    let verb = if view.dry_run { "would drop" } else { "dropped" };
    let mut lines = Vec::new();
    for one in &view.dropped {
        for folder in &one.folders {
            let path = neutralised(&folder.path);
            lines.push(format!("{verb} {} of {}: {}", path, one.name, bytes(folder.bytes)));
        }
    }
    for kept in &view.kept {
        lines.push(format!("kept {}: {}", kept.name, neutralised(&kept.why)));
    }
    lines.push(match (view.dropped.is_empty(), view.dry_run) {
        (true, _) if view.kept.is_empty() => "no build output to drop".to_owned(),
        (true, _) => "nothing to drop".to_owned(),
        (false, true) => format!("{} would be free", bytes(view.bytes)),
        (false, false) => format!("{} are free", bytes(view.bytes)),
    });
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::view::GcKept;
    use crate::model::view::disk::{DroppedFolder, DroppedView, Place, PlaceDisk, TotalDisk, WorkspaceDisk};

    #[test]
    fn sizes_stand_in_columns_with_places_and_free_space_below() {
        let workspace = WorkspaceDisk {
            name: "auth".to_owned(),
            state: "running".to_owned(),
            own: 5_000_000,
            caches: 3_000_000_000,
            ignored: 4096,
            shared: 700_000_000,
            bytes: 3_005_004_096,
            unreadable: 2,
            ..WorkspaceDisk::default()
        };
        let place =
            |what, bytes| PlaceDisk { what, path: "/r/x".to_owned(), bytes, shared: 0, unreadable: 0 };
        let view = DiskView {
            workspaces: vec![workspace],
            places: vec![place(Place::Objects, 90_000_000), place(Place::Trash, 0)],
            total: TotalDisk {
                own: 5_000_000,
                caches: 3_000_000_000,
                ignored: 4096,
                shared: 700_000_000,
                places: 90_000_000,
                bytes: 3_795_004_096,
            },
            free: Some(12_000_000_000),
            ..DiskView::default()
        };
        insta::assert_snapshot!(disk(&view), @r"
         TASK   STATE        OWN   CACHES  IGNORED    ALONE   SHARED
         auth   running  4.7 MiB  2.7 GiB  4.0 KiB  2.7 GiB  667 MiB
         total           4.7 MiB  2.7 GiB  4.0 KiB  2.7 GiB  667 MiB

         PLACE     ALONE  SHARED  WHERE
         objects  85 MiB     0 B  /r/x
         trash       0 B     0 B  /r/x

        3.5 GiB in all, 11 GiB free

        folders and files that could not be looked at: 2
        ");
    }

    #[test]
    fn dropped_folders_are_told_one_by_one() {
        let folder = |path: &str, bytes| DroppedFolder { path: path.to_owned(), bytes };
        let one = DroppedView {
            name: "auth".to_owned(),
            why: "done".to_owned(),
            folders: vec![folder("target", 2_000_000), folder("web/node_modules", 4096)],
            bytes: 2_004_096,
        };
        let kept = GcKept { name: "docs".to_owned(), why: "running".to_owned() };
        let view = ArtifactsView {
            dropped: vec![one],
            kept: vec![kept],
            bytes: 2_004_096,
            ..ArtifactsView::default()
        };
        insta::assert_snapshot!(artifacts(&view), @r"
        dropped target of auth: 1.9 MiB
        dropped web/node_modules of auth: 4.0 KiB
        kept docs: running
        1.9 MiB are free
        ");
    }
}
