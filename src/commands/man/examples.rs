//! The examples of the manual, by verb: each a command line that parses, and what it does.

/// One example: the command line and what it does.
pub type Example = (&'static str, &'static str);

/// The examples of `wt` itself.
pub const GENERAL: &[Example] = &[
    ("wt spawn feature-auth \"Add JWT login\"", "hand a task to an agent, at once"),
    ("wt status", "who works, who waits, who is done"),
    ("wt merge --all", "rebase, verify, fast-forward, tidy up"),
    ("wt gc", "remove what is landed or stale"),
];

/// The examples of each verb.
pub const BY_VERB: &[(&str, &[Example])] = &[
    (
        "spawn",
        &[
            ("wt spawn feature-auth \"Add JWT login\"", "a worktree, a branch and an agent"),
            ("wt spawn payments --after feature-auth -f prompt.md", "starts when feature-auth has landed"),
            (
                "wt spawn payments --loop 20 --verify \"cargo test\" \"Charge cards\"",
                "a loop of at most 20 agents",
            ),
            ("wt spawn fix-typo --no-agent", "a workspace for yourself"),
            ("wt spawn --from tasks.jsonl", "several tasks, one JSON line each"),
        ],
    ),
    (
        "status",
        &[
            ("wt status --watch", "shown anew whenever something changes"),
            ("wt status feature-auth", "everything known of one task"),
            ("wt status --disk", "what the workspaces take on the disk"),
        ],
    ),
    ("logs", &[("wt logs feature-auth -f", "what the agent does, as it does it")]),
    (
        "wait",
        &[
            ("wt wait --all", "until nothing runs or is queued"),
            ("wt wait feature-auth --timeout 30m", "at most half an hour"),
        ],
    ),
    (
        "events",
        &[
            ("wt events --follow --type done,conflict", "tell me when a task is done or needs me"),
            ("wt events feature-auth --all --json", "all that ever happened to a task, as data"),
        ],
    ),
    ("stop", &[("wt stop --all", "end every agent; the work stays")]),
    ("retry", &[("wt retry feature-auth", "run it again in the same workspace")]),
    (
        "resume",
        &[
            (
                "wt resume --dry-run",
                "what was alive before a reboot or `wt stop --all`, and how it would go on",
            ),
            ("wt resume", "go on with all of it"),
        ],
    ),
    ("attach", &[("wt attach feature-auth", "the agent itself, interactive")]),
    ("done", &[("wt done fix-typo", "your own work is finished, check it")]),
    ("diff", &[("wt diff feature-auth --stat", "what would land, by file")]),
    (
        "merge",
        &[
            ("wt merge --all", "land every task that is done"),
            ("wt merge feature-auth --dry-run", "what would happen"),
            ("wt merge --all --fetch --push", "with what others landed, and back to them"),
            ("wt merge --all --squash", "one commit for each task"),
            ("wt merge --abort", "end the landing that is under way; what is not landed stays as it was"),
        ],
    ),
    (
        "conflicts",
        &[
            ("wt conflicts", "which branches would not merge with which"),
            ("wt conflicts feature-auth", "in which files, and with whom"),
        ],
    ),
    (
        "undo",
        &[
            ("wt undo --dry-run", "what the last landing brought, and whether it can be taken back"),
            ("wt undo", "take the last landing back; `wt merge` would land it again"),
        ],
    ),
    ("cost", &[("wt cost --by model", "where the money went")]),
    ("approve", &[("wt approve feature-auth", "let a reviewed task land as it is")]),
    ("resolve", &[("wt resolve feature-auth", "merge a conflict yourself")]),
    ("exec", &[("wt exec feature-auth -- cargo test", "run a command in a workspace")]),
    ("path", &[("wt path feature-auth", "print its worktree")]),
    (
        "gc",
        &[
            ("wt gc --dry-run", "what would go, and why"),
            ("wt gc idea --force", "discard one task; `wt restore idea` brings it back"),
            ("wt gc --artifacts", "drop build output of idle workspaces, keep the rest"),
        ],
    ),
    (
        "restore",
        &[
            ("wt restore idea", "bring back a removed workspace"),
            ("wt restore payments --checkpoint 2", "go back to an earlier iteration"),
        ],
    ),
    ("doctor", &[("wt doctor --fix", "find and repair what is out of order")]),
    ("trust", &[("wt trust --approve", "approve the commands of .wt.toml")]),
    ("demo", &[("wt demo", "three tasks in a scratch repository")]),
    ("completions", &[("wt completions bash", "the line for ~/.bashrc")]),
    (
        "man",
        &[
            ("wt man", "print this manual, for `man -l -`"),
            ("wt man --out man1", "write every page into a folder"),
        ],
    ),
    (
        "schema",
        &[
            ("wt schema config", "the JSON schema of the configuration, for editors"),
            ("wt schema --all", "every schema in one document"),
        ],
    ),
];
