//! Review: what needs a person, and what a person's decision changes.

use wt::config::{self, Layers};
use wt::git::Repo;
use wt::land::review::{self, ReviewError};
use wt::model::clock::SystemClock;
use wt::model::{Settings, State, Task};
use wt::store::Layout;
use wt::workspace::Site;

use super::field::Field;
use super::resolve::{BASE, Scene, both, writes};

/// Everything that a decision needs, without `wt`.
struct Desk {
    repo: Repo,
    layout: Layout,
    settings: Settings,
}

impl Desk {
    fn of(field: &Field) -> Self {
        let built_in =
            Layers { built_in: &wt::agent::BUILT_IN, user: None, repository: None, environment: &[] };
        let settings = config::load(&built_in).unwrap().settings;
        Self { repo: Repo::discover(field.repo().path()).unwrap(), layout: field.layout(), settings }
    }

    fn site(&self) -> Site<'_> {
        let Self { repo, layout, settings } = self;
        Site { repo, layout, settings, clock: &SystemClock, template: None, iteration: None }
    }
}

fn task(field: &Field, name: &str) -> Task {
    let name = name.parse().unwrap();
    field.journal().read().unwrap().newest(&name).unwrap().clone()
}

fn approve(field: &Field, name: &str) -> Result<Vec<String>, ReviewError> {
    let desk = Desk::of(field);
    review::approve(&desk.site(), &mut field.journal(), &task(field, name))
}

#[test]
fn an_approved_resolution_lands_without_another_call() {
    let result = both() + "# joined\n";
    let scene = Scene::combined(&writes(&result), "");
    let said = scene.merge();
    assert_eq!((said.code(), said.result("b")), (4, "review"), "{}", said.ran.out);
    let calls = scene.calls();
    let again = scene.merge();
    assert_eq!(
        (again.code(), again.view["tasks"].as_array().unwrap().len()),
        (0, 0),
        "only a person goes on"
    );
    assert_eq!(approve(&scene.field, "b").unwrap(), ["code.py"]);
    assert_eq!(scene.field.state("b"), State::Done { skipped: false });
    let said = scene.merge();
    assert_eq!((said.code(), said.result("b"), scene.calls()), (0, "landed", calls), "{}", said.ran.out);
    assert_eq!(said.of("b")["resolved"][0]["by"], "rerere");
    assert_eq!(scene.field.repo().read("code.py"), result);
    assert_eq!(scene.field.repo().git(&["for-each-ref", "refs/wt/review"]), "");
    assert!(matches!(approve(&scene.field, "b"), Err(ReviewError::State { .. })));
    scene.field.is_whole();
}

#[test]
fn nothing_is_approved_that_was_not_looked_at() {
    let scene = Scene::combined(&writes(&(both() + "# joined\n")), "");
    scene.merge();
    assert_eq!(scene.field.state("b"), State::Review);
    let workspace = scene.field.program.env.at(&scene.field.program.worktree("b"));
    workspace.commit("late", "late\n");
    assert!(matches!(approve(&scene.field, "b"), Err(ReviewError::Changed { .. })));
    assert_eq!(scene.field.state("b"), State::Review);
    assert_eq!(scene.field.repo().git(&["for-each-ref", "refs/wt/resolution"]), "");
}

#[test]
fn a_guarded_path_needs_a_person_even_where_it_merges() {
    let field = Field::new();
    field.done("a", &[("migrations/1.sql", "create\n")]);
    field.done("b", &[("other", "x\n")]);
    let told = field.merge(&["--all", "--dry-run"]);
    assert_eq!((told.code(), told.result("a"), told.result("b")), (4, "review", "landed"));
    let said = field.merge(&["--all"]);
    assert_eq!((said.code(), said.result("a"), said.result("b")), (4, "review", "landed"));
    assert_eq!(said.reason("a"), "a change of `migrations/1.sql` needs a person's approval");
    assert_eq!(field.state("a"), State::Review);
    assert!(approve(&field, "a").unwrap().is_empty());
    // The target has moved since; the approval is for the branch.
    field.repo().commit("later", "x\n");
    let said = field.merge(&["--all"]);
    assert_eq!((said.code(), said.result("a")), (0, "landed"), "{}", said.ran.out);
    assert_eq!(field.repo().git(&["for-each-ref", "refs/wt/review"]), "");

    field.done("c", &[("migrations/2.sql", "create\n")]);
    field.merge(&["--all"]);
    approve(&field, "c").unwrap();
    let workspace = field.program.env.at(&field.program.worktree("c"));
    workspace.commit("migrations/3.sql", "drop\n");
    let said = field.merge(&["--all"]);
    assert_eq!(said.result("c"), "review", "what was committed after the approval was not approved");
}

#[test]
fn what_a_person_resolves_lands() {
    let scene = Scene::combined("exit 1", "");
    assert_eq!(scene.merge().result("b"), "conflict");
    let desk = Desk::of(&scene.field);
    let site = desk.site();
    let open = review::next_by_hand(&site, &task(&scene.field, "b")).unwrap().unwrap();
    let file = &open.files[0];
    assert_eq!((file.path.as_str(), file.base.as_deref()), ("code.py", Some(BASE.as_bytes())));
    let marked = String::from_utf8(file.marked.clone()).unwrap();
    assert!(marked.contains("<<<<<<< ours (target main)\nf(x, LEFT)\n||||||| base\n"), "{marked}");
    assert!(marked.contains(">>>>>>> theirs (task b)\n"), "{marked}");
    assert!(matches!(
        review::settle_by_hand(&site, &open, std::slice::from_ref(&file.marked)),
        Err(ReviewError::Unresolved(_))
    ));
    let mine = BASE.replace("f(x", "f(x, EVERYTHING");
    review::settle_by_hand(&site, &open, &[mine.clone().into_bytes()]).unwrap();
    assert_eq!(review::next_by_hand(&site, &task(&scene.field, "b")).unwrap(), None);
    review::finish_by_hand(&site, &mut scene.field.journal(), &task(&scene.field, "b")).unwrap();
    assert_eq!(scene.field.state("b"), State::Done { skipped: false });
    let calls = scene.calls();
    let said = scene.merge();
    assert_eq!((said.code(), said.result("b"), scene.calls()), (0, "landed", calls), "{}", said.ran.out);
    assert_eq!(scene.field.repo().read("code.py"), mine);
}

#[test]
fn what_is_only_foretold_is_not_there_to_be_approved_or_resolved() {
    let field = Field::with("[merge]\nreview = [\"guarded/**\"]\n");
    field.repo().commit("f", "1\n");
    field.done("guarded", &[("guarded/a", "x\n")]);
    let told = field.program.wt(&["merge", "--all", "--dry-run"]).fails(4);
    assert!(told.contains("error: `guarded` would not be landed\n"), "{told}");
    let hint = "hint: put it into review with `wt merge guarded`; then see it with `wt diff guarded`";
    assert!(told.contains(hint) && !told.contains("approve"), "{told}");
    field.done("one", &[("f", "one\n")]);
    field.done("two", &[("f", "two\n")]);
    let told = field.program.wt(&["merge", "--all", "--dry-run", "--no-agent"]).fails(4);
    assert!(told.contains("error: 2 of 3 tasks would not be landed\n"), "{told}");
    assert!(
        told.contains("hint: land it with `wt merge two`: what nobody merges is then for `wt resolve two`")
    );
    let told = field.program.wt(&["merge", "guarded"]).fails(4);
    assert!(
        told.contains("then `wt approve guarded`, and `wt merge guarded`"),
        "there is no conflict: {told}"
    );
}
