#!/bin/sh
# Prints the commands of kafka-acls.sh that let each role do what it must, and nothing else.
#
#   acls.sh [--prefix modelrail.] [--model-trained model-trained] [--principal USER] [ROLE]...
#
# Without roles: all of them. Each has the principal User:modelrail-ROLE, or the one that is given. Pipe it into a shell
# where kafka-acls.sh is, with the address and the rights of an administrator:
#
#   KAFKA_ACLS="kafka-acls.sh --bootstrap-server HOST:PORT --command-config admin.properties"
#   sh deploy/kafka/acls.sh | sed "s|^kafka-acls.sh|$KAFKA_ACLS|" | sh -e
#
# Roles: topics (whoever calls `modelrail topics create`), engine, api, ingress, package, stage-test, gate, rollout, monitor
# (workers), gateway, publisher (training services), dead-letters (whoever lists, sends again and drops them), keda (whoever
# scales workers by lag). A process of several roles needs the rules of each. A model server needs none: it knows no broker.
set -eu
prefix=modelrail. trained=model-trained principal=''
while [ $# -gt 0 ]; do
    case $1 in
    --prefix) prefix=$2 && shift 2 ;;
    --model-trained) trained=$2 && shift 2 ;;
    --principal) principal=$2 && shift 2 ;;
    -*)
        sed -n '2,15s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || set -- topics engine api ingress package stage-test gate rollout monitor gateway publisher dead-letters keda

may() { printf 'kafka-acls.sh --add --allow-principal %s %s\n' "${principal:-User:modelrail-$role}" "$*"; }
# Ours are named without the prefix. READ and WRITE include DESCRIBE.
reads() { for topic; do may --topic "$prefix$topic" --operation Read; done; }
writes() { for topic; do may --topic "$prefix$topic" --operation Write; done; }
joins() { for group; do may --group "$prefix$group" --operation Read; done; }
# Assigned by itself, it never joins, but asks who coordinates the group that it is called after.
named() { for group; do may --group "$prefix$group" --operation Describe; done; }
# Every process that starts with a look at the topics looks at all of them, at their settings too.
looks() { may --topic "$prefix" --resource-pattern-type prefixed --operation Describe --operation DescribeConfigs; }

# The log, as every process keeps its mirror.
follows() {
    looks
    reads events answers
    named reader follower
}

# A worker of a stage.
works() {
    looks
    reads "commands.$1" cancels
    joins "$1"
    named follower
    writes outcomes heartbeats dead-letters
}

for role; do
    case $role in
    topics)
        looks
        may --topic "$prefix" --resource-pattern-type prefixed --operation Create
        ;;
    engine)
        follows
        # Nobody else writes the log.
        writes events
        reads requests outcomes triggers heartbeats
        joins engines
        named lanes
        writes commands.package commands.stage-test commands.gate commands.rollout commands.monitor
        writes cancels answers dead-letters
        ;;
    api)
        follows
        writes requests triggers
        ;;
    ingress)
        looks
        may --topic "$trained" --operation Read
        joins ingress
        writes triggers dead-letters
        ;;
    package | stage-test | gate) works "$role" ;;
    rollout)
        works "$role"
        reads routes gateways predictions labels
        writes routes
        ;;
    monitor)
        works "$role"
        reads predictions labels
        ;;
    gateway)
        reads routes
        named follower
        writes gateways predictions labels
        ;;
    publisher) may --topic "$trained" --operation Write ;;
    dead-letters)
        reads dead-letters
        named follower
        may --topic "${prefix}dead-letters" --operation Delete
        # Letters go back to where they came from.
        may --topic "$trained" --operation Write
        writes requests outcomes triggers
        writes commands.package commands.stage-test commands.gate commands.rollout commands.monitor
        ;;
    keda)
        for stage in package stage-test gate rollout monitor; do
            may --topic "${prefix}commands.$stage" --operation Describe
            may --group "$prefix$stage" --operation Describe
        done
        ;;
    *)
        printf 'error: unknown role %s\nhint: acls.sh --help says which there are\n' "$role" >&2
        exit 2
        ;;
    esac
done
