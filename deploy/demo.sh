#!/bin/sh
# The main job on real input, from the clone: prepares the machine, builds, runs the demo. Two minutes once built.
set -eu
cd "$(dirname "$0")/.."
sh deploy/prepare.sh
. deploy/env.sh
cargo build --locked --release -p cli --bin modelrail
# By cargo, which knows where it was built.
exec cargo run --locked --release --quiet -p cli --bin modelrail -- demo "$@"
