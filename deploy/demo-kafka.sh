#!/bin/sh
# The demo over Kafka, from the clone: three brokers, two engines, two workers a stage, gateway, model servers and API as
# processes of their own, of which some are killed in the middle. Prepares the machine, builds, runs.
set -eu
cd "$(dirname "$0")/.."
sh deploy/prepare.sh
sh deploy/kafka/fetch.sh
. deploy/env.sh
cargo build --locked --release -p cli --bin modelrail
brokers=$(mktemp -d)
trap 'sh deploy/kafka/broker.sh stop "$brokers/kafka"; rm -rf "$brokers"' EXIT
sh deploy/kafka/broker.sh start "$brokers/kafka" --nodes 3
cargo run --locked --release --quiet -p cli --bin modelrail -- demo --kafka "$brokers/kafka" "$@"
