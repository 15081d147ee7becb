//! Tables for people, from the same views that `--json` prints.
