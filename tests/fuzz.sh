#!/bin/sh
# Fuzzes the readers of bytes from outside: `sh tests/fuzz.sh [TARGET|all] [SECONDS]`, 60 s each unless said.
#
# What it finds is kept in tests/fuzz/corpus/TARGET: inputs that reach something new, made few by `-merge=1`. A crash,
# an input over a second or over 512 MiB ends it with the input's file, to be mended and put into the corpus.
set -eu
cd "$(dirname "$0")/.."
sh deploy/prepare.sh
. deploy/env.sh
only=${1:-all}
seconds=${2:-60}
work=${FUZZ_WORK:-target/fuzz}
mkdir -p "$work"

# A build of its own: other flags than those of the workspace. With the target named, what runs while it is built is apart.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTC_WRAPPER=$PWD/tests/fuzz/instrument.sh \
    cargo build --locked --manifest-path tests/fuzz/Cargo.toml --target-dir "$work/build" --target "$host"
binary=$work/build/$host/debug/fuzz

targets=$(sed -n 's/^    ("\([a-z]*\)", .*/\1/p' tests/fuzz/src/targets/mod.rs)
found=0
for target in $targets; do
    [ "$only" = all ] || [ "$only" = "$target" ] || continue
    found=1
    corpus=tests/fuzz/corpus/$target
    mkdir -p "$corpus" "$work/new/$target"
    printf '== %s, %s s\n' "$target" "$seconds"
    FUZZ_TARGET=$target "$binary" -max_total_time="$seconds" -rss_limit_mb=512 -malloc_limit_mb=512 -timeout=1 \
        -max_len=16384 -print_final_stats=1 -verbosity=1 -artifact_prefix="$work/crash-$target-" \
        "$work/new/$target" "$corpus" 2>"$work/$target.log" || {
        tail -n 40 "$work/$target.log"
        exit 1
    }
    grep -E 'DONE|exec/s|stat::(number_of_executed_units|average_exec_per_sec|peak_rss_mb|slowest_unit)' \
        "$work/$target.log" | tail -n 5
done
[ "$found" = 1 ] || {
    echo "no target \`$only\`; there are: $targets" >&2
    exit 2
}
