#!/bin/sh
# Installs what a build needs (a C++ compiler, libclang, what librdkafka links with, cargo), builds RocksDB's archive
# once, and fetches the broker of Apache Kafka that tests, demo and bench start (java and maven).
# Says what is missing where it may not install it.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

need=
command -v c++ >/dev/null 2>&1 || need="$need g++"
command -v make >/dev/null 2>&1 || need="$need make"
command -v git >/dev/null 2>&1 || need="$need git"
# libclang-cpp is another library: there are machines that have it alone.
if [ -z "${LIBCLANG_PATH:-}" ] && [ -z "$(find /usr/lib /usr/lib64 -name 'libclang.so*' -o -name 'libclang-[0-9]*.so*' 2>/dev/null)" ]; then
    need="$need libclang-dev"
fi
# librdkafka is built by configure and make; its TLS and its compression are the system's.
command -v pkg-config >/dev/null 2>&1 || need="$need pkg-config"
[ -f /usr/include/openssl/ssl.h ] || need="$need libssl-dev"
[ -f /usr/include/zlib.h ] || need="$need zlib1g-dev"
# The keys of the tests' brokers.
command -v openssl >/dev/null 2>&1 || need="$need openssl"
command -v java >/dev/null 2>&1 || need="$need openjdk-17-jre-headless"
command -v mvn >/dev/null 2>&1 || need="$need maven"
if [ -n "$need" ]; then
    if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
        say "installing:$need"
        apt-get update -qq
        # shellcheck disable=SC2086
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $need >/dev/null
    else
        say "missing:$need"
        say "hint: install them with the package tool of this system, then call this again"
        exit 1
    fi
fi
if ! command -v cargo >/dev/null 2>&1; then
    say "missing: cargo"
    say "hint: install Rust $(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml) with rustup, then call this again"
    exit 1
fi

. deploy/env.sh
if [ ! -f "$rocksdb_archive/librocksdb.a" ]; then
    say "building RocksDB $rocksdb_version once, into $rocksdb_archive (10 to 20 minutes on two cores)"
    build=$MODELRAIL_CACHE/build-$$
    mkdir -p "$rocksdb_archive" "$build"
    trap 'rm -rf "$build"' EXIT
    cargo build --locked --release -p librocksdb-sys --target-dir "$build"
    archive=$(find "$build" -name librocksdb.a | head -n 1)
    strip -g "$archive"
    # In place under its name only when whole.
    cp "$archive" "$rocksdb_archive/librocksdb.a.part"
    mv "$rocksdb_archive/librocksdb.a.part" "$rocksdb_archive/librocksdb.a"
fi
sh deploy/kafka/fetch.sh
