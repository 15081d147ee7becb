//! One binary for every test that needs a repository, a process or the program itself.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on panics, and says where"
)]

mod after_done;
mod agent_others;
mod agent_supervised;
mod agent_verdict;
mod architecture;
mod artifacts;
mod bad_input;
mod broken_config;
mod checkout;
mod clash_told;
mod config;
mod conflicts;
mod disk;
mod env;
mod environment;
mod fake_agent;
mod fake_api;
mod fault_agent;
mod fault_launch;
mod fault_limits;
mod fault_machine;
mod fault_supervision;
mod git_entry;
mod git_landed;
mod git_publish;
mod git_replay;
mod git_replay_ahead;
mod git_repo;
mod git_snapshot;
mod git_walk;
mod git_worktree;
mod headroom;
mod journal;
mod land;
mod lock;
mod loop_checkpoint;
mod loop_faults;
mod loop_life;
mod made_history;
mod manual;
mod many;
mod many_killed;
mod many_room;
mod merge_conservation;
mod merge_fixtures;
mod pool;
mod ports;
mod program;
mod readme;
mod real_claude;
mod real_claude_faults;
mod real_claude_fleet;
mod real_claude_loop;
mod real_claude_resolve;
mod real_codex;
mod session;
mod siblings;
mod status_clean;
mod status_seen;
mod status_survey;
mod submodules;
mod task_cost;
mod tidy_cost;
mod tidy_doctor;
mod tidy_gc;
mod tidy_restore;
mod verb_account;
mod verb_attach;
mod verb_breaker;
mod verb_cost;
mod verb_events;
mod verb_life;
mod verb_loop;
mod verb_output;
mod verb_resolve;
mod verb_resume;
mod verb_review;
mod verb_spawn;
mod walk_history;
mod workspace;
