//! Kills at every point of a landing, and settling by hand.

use jiff::Timestamp;
use wt::failpoint::POINTS;
use wt::git::Repo;
use wt::land::settle;
use wt::model::{Event, Oid, State};

use super::field::Field;

/// Fault row 22: whatever the moment, main is untouched or fully moved, and `wt merge` again finishes.
#[test]
fn row_22_a_kill_at_any_point_loses_and_doubles_nothing() {
    let points: Vec<&&str> = POINTS
        .iter()
        .filter(|point| point.starts_with("land.") && !point.starts_with("land.resolve."))
        .collect();
    assert_eq!(points.len(), 5);
    for point in points {
        let field = Field::new();
        field.done("a", &[("a", "a\n"), ("a", "aa\n")]);
        field.done("b", &[("b", "b\n")]);
        let old = field.main();
        let mut merge = field.program.command(&["merge", "--all", "--keep", "--quiet"]);
        let killed = crate::program::ran(merge.env("WT_FAILPOINT", point).output().unwrap());
        assert_eq!(killed.code, -1, "{point} was not reached: {}", killed.err);
        let moved = ["land.after_move", "land.after_landed"].contains(point);
        assert_eq!(field.main() != old, moved, "{point}");
        assert_eq!(field.repo().git(&["status", "--porcelain"]), "", "{point}");
        let said = field.merge(&["--all"]);
        assert_eq!(said.code(), 0, "{point}: {}", said.ran.err);
        assert_eq!(field.subjects(), ["change b", "change a", "change a"], "{point}");
        assert_eq!((field.state("a"), field.state("b")), (State::Landed, State::Landed), "{point}");
        field.is_whole();
        let told = field.program.journal();
        let landed = told.iter().filter(|record| record["event"]["type"] == "landed").count();
        assert_eq!(landed, 2, "{point}: each task landed once");
    }
}

struct Scene {
    field: Field,
    repo: Repo,
    old: Oid,
    new: Oid,
}

impl Scene {
    fn new() -> Self {
        let field = Field::new();
        let head = field.done("a", &[("a", "a\n")]);
        let repo = Repo::discover(field.repo().path()).unwrap();
        let old = repo.branch_tip("main").unwrap().unwrap();
        let new = Oid::parse(&head).unwrap();
        field.tell("a", Event::LandingStarted { head: new.clone() });
        Self { field, repo, old, new }
    }

    fn intend(&self) {
        let tasks = vec![("a@1".parse().unwrap(), self.new.clone(), 1)];
        let (old, new) = (self.old.clone(), self.new.clone());
        let (landing, target) = ("l".to_owned(), "main".to_owned());
        let intent = Event::Publishing { landing, target, old, new, tasks };
        self.field.journal().append(Timestamp::UNIX_EPOCH, vec![(None, intent)]).unwrap();
    }

    fn settle(&self) -> usize {
        settle(&self.repo, &self.field.layout(), &mut self.field.journal(), Timestamp::UNIX_EPOCH).unwrap()
    }

    fn last_published(&self) -> bool {
        let told = self.field.program.journal();
        told.last().unwrap()["event"]["moved"].as_bool().unwrap()
    }
}

#[test]
fn a_task_without_intent_goes_back_to_where_it_was() {
    let scene = Scene::new();
    assert_eq!((scene.settle(), scene.settle()), (1, 0));
    assert_eq!(scene.field.state("a"), State::Done { skipped: false });
}

#[test]
fn an_intent_that_did_not_come_true_is_withdrawn() {
    let scene = Scene::new();
    scene.intend();
    // Somebody else moved the target, to something else.
    scene.field.repo().commit("other", "x\n");
    assert_eq!(scene.settle(), 1);
    assert_eq!((scene.field.state("a"), scene.last_published()), (State::Done { skipped: false }, false));
    scene.field.is_whole();
}

#[test]
fn an_intent_that_came_true_has_landed() {
    let scene = Scene::new();
    scene.intend();
    scene.field.repo().git(&["merge", "-q", "--ff-only", scene.new.as_str()]);
    scene.field.repo().commit("later", "x\n");
    assert_eq!(scene.settle(), 1);
    assert_eq!((scene.field.state("a"), scene.last_published()), (State::Landed, true));
    scene.field.is_whole();
}

#[test]
fn a_torn_record_of_a_landing_is_completed() {
    let scene = Scene::new();
    scene.intend();
    scene.field.repo().git(&["merge", "-q", "--ff-only", scene.new.as_str()]);
    // The append was cut after its first line.
    scene.field.tell("a", Event::Landed { tip: scene.new.clone(), commits: 1 });
    scene.settle();
    assert_eq!((scene.field.state("a"), scene.last_published()), (State::Landed, true));
    scene.field.is_whole();
}

#[test]
fn a_landing_under_way_is_not_settled() {
    let scene = Scene::new();
    let lock = wt::store::Lock::try_take(&scene.field.layout().lock("land")).unwrap().unwrap();
    assert_eq!(scene.settle(), 0);
    assert!(matches!(scene.field.state("a"), State::Landing { .. }));
    drop(lock);
    assert_eq!(scene.settle(), 1);
}

#[test]
fn two_landings_at_once_take_turns() {
    let field = Field::new();
    let names = ["a", "b", "c", "d"];
    for name in names {
        field.done(name, &[(name, "x\n")]);
    }
    let start = || {
        let mut merge = field.program.command(&["merge", "--all", "--keep", "--quiet", "--check", "true"]);
        merge.stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    let mut both = [start(), start()];
    for merge in &mut both {
        assert!(merge.wait().unwrap().success());
    }
    assert_eq!(field.subjects(), ["d", "c", "b", "a"].map(|name| format!("change {name}")));
    assert!(names.iter().all(|name| field.state(name) == State::Landed));
    field.is_whole();
}
