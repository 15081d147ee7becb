# The recipes of this house; `just` alone lists them.
set positional-arguments

# List the recipes
default:
    @just --list --unsorted

# Type-check everything, tests and benches included
check:
    cargo check --all-targets

# Format the sources
fmt:
    cargo fmt

# Clippy, pedantic; warnings are errors here as in the gate
lint:
    cargo clippy --all-targets -- -D warnings

# Run the tests; arguments are filters (`just test row_`)
test *args:
    cargo test {{args}}

# Review changed snapshots
review:
    cargo insta review

# The fault table: row, whether it holds now, what is injected, what must come of it
faults:
    cargo test --test it row_ 2>&1 | awk -f tests/faults.awk fixtures/faults.tsv -

# 200 tasks onto one main, the landings killed again and again, somebody committing in between; a minute or more
green:
    cargo test --test it green -- --ignored --nocapture

# What takes minutes: 200 tasks on 8 slots, their supervision killed at random
night:
    cargo test --test it at_length -- --ignored --nocapture

# Side by side with git, in one run, as ratios; never fails a build. `just bench workspaces -- --quick`, `fleet`, `conflicts -- REPO…`, `-- --help`
bench *args:
    cargo bench --bench {{ if args == "" { "life" } else { args } }}

# Show the whole life of three tasks in a scratch repository
demo:
    cargo run --release -- demo

# Build the documentation; broken links are errors
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# Exactly what the gate runs
ci:
    bash .ci/run

# Install `wt` and `git-wt`
install:
    cargo install --path .
