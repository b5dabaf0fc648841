#!/bin/sh
# Stands in for rustc (RUSTC_WRAPPER): adds libFuzzer's counters to what reads bytes, and to nothing else, so that
# the counters of a run are few and each says something. The flags are those of a stable compiler. What runs while
# something is built (macros, build scripts, and what these are made of) is built for no target.
set -eu
rustc=$1
shift
case "$*" in
*" --target "*) ;;
*) exec "$rustc" "$@" ;;
esac
case "${CARGO_PKG_NAME:-}" in
api | domain | engine | gateway | log-kafka | model-server | oci | rocks | stages | wire | fuzz | \
    cel | csv | csv-core | granit-parser | prost | serde_json | toml | toml_parser | winnow | url | base64)
    exec "$rustc" "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
*) exec "$rustc" "$@" ;;
esac
