#!/bin/sh
# All tests, as CI runs them: formatting, lints, unit tests, properties, the simulator, the real process.
set -eu
cd "$(dirname "$0")/.."
sh deploy/prepare.sh
sh deploy/registry/fetch.sh >/dev/null
. deploy/env.sh
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"

step() { printf '\n== %s\n' "$*"; }

step "formatting"
cargo fmt --all --check
step "lints"
cargo clippy --locked --workspace --all-targets -- -D warnings
# The fuzzers are a workspace of their own, built by another command: here only that its lock file is as ours.
cargo metadata --locked --format-version 1 --manifest-path tests/fuzz/Cargo.toml >/dev/null
step "build"
# The real binary too: `cargo test` alone builds none, and the tests of the process start it.
cargo build --locked --workspace --all-targets
step "tests"
cargo test --locked --workspace --all-targets
