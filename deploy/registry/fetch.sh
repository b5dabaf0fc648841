#!/bin/sh
# Prints where an OCI registry's program is, for tests: Debian's docker-registry. Where the system has none, the package is
# unpacked once into the cache outside of the clone (5 MB); nothing is installed, no server is started.
set -eu
cd "$(dirname "$0")/../.."
. deploy/env.sh

say() { printf '%s\n' "$*" >&2; }

if command -v docker-registry; then
    exit 0
fi
kept=$MODELRAIL_CACHE/docker-registry
if [ ! -x "$kept/usr/bin/docker-registry" ]; then
    for tool in apt-get dpkg; do
        if ! command -v "$tool" >/dev/null 2>&1; then
            say "missing: docker-registry"
            say "hint: install it with the package tool of this system, so that it is on the path"
            exit 1
        fi
    done
    say "fetching docker-registry once, into $kept"
    part=$kept.part-$$
    trap 'rm -rf "$part"' EXIT
    mkdir -p "$part"
    # Lists may be missing or old on a fresh machine.
    download() { (cd "$part" && apt-get download -qq docker-registry >&2); }
    download || { apt-get update -qq >&2 && download; }
    dpkg -x "$part"/docker-registry_*.deb "$part"
    rm "$part"/docker-registry_*.deb
    # In place under its name only when whole. Another one may have been faster.
    mv -T "$part" "$kept" 2>/dev/null || [ -d "$kept" ]
fi
printf '%s\n' "$kept/usr/bin/docker-registry"
