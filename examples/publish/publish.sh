#!/bin/sh
# Publishes a ModelTrained event to a server by HTTP, and prints which runs it leads to.
#
#   sh publish.sh http://127.0.0.1:7400 modelrail-data/admin.token EVENT.json
set -eu
[ $# -eq 3 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; }
# The token goes through stdin: everybody on this machine can read a command line.
printf 'Authorization: Bearer %s\n' "$(cat "$2")" |
    curl --silent --show-error --fail-with-body --header @- \
        --header 'Content-Type: application/cloudevents+json' --data-binary "@$3" "$1/v1/events"
